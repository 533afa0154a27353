"""One executable takes the place of another, and gives it back when it cannot reach the appliance.

At every moment a whole executable lies in its place: the former one is linked beside it first, then one rename puts the
new one there. The mark in `update.json` is written before, so that whichever of the two starts next knows what to do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from saveos.agent.executable import fresh_environment, own_build, own_path
from saveos.agent.settings import write_private
from saveos.protocol import JobId, JobReport, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agent.settings import Home
    from saveos.protocol import UpdateOrder

log = logging.getLogger("saveos.agent")
STARTS_LIMIT = 3
# From its start to its first heartbeat; longer on a host whose network takes its time to come up.
GRACE_SECONDS = float(os.environ.get("SAVEOS_UPDATE_GRACE_SECONDS") or 120)
ROLLED_BACK = "update-rolled-back"


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """An update that is under way. `starts`: how often the new executable has been started as a daemon."""

    job_id: JobId
    executable: str
    old_build: str
    new_build: str
    version: str
    starts: int = 0
    is_rolling_back: bool = False
    why: str = ""


def new_path(executable: Path, sha256: str) -> Path:
    """Return where the next executable is fetched to: beside the present one, so that a rename is enough."""
    return executable.with_name(f".{executable.name}.{sha256[:16]}.new")


def previous_path(executable: Path) -> Path:
    """Return where the former executable stays."""
    return executable.with_name(f"{executable.name}.previous")


def leftovers(executable: Path) -> list[Path]:
    """Return what unfinished updates left beside an executable."""
    return list(executable.parent.glob(f".{executable.name}.*.new"))


def remove(executable: Path) -> None:
    """Remove an executable, its predecessor, and what unfinished updates left."""
    for path in (executable, previous_path(executable), *leftovers(executable)):
        path.unlink(missing_ok=True)


def replace(executable: Path, new: Path, mark: Mark, mark_path: Path) -> None:
    """Put `new` in the place of `executable`, which stays beside it. Raises OSError: then nothing has changed."""
    write_private(mark_path, msgspec.json.encode(mark))
    try:
        _keep(executable)
        new.replace(executable)
    except OSError:
        mark_path.unlink(missing_ok=True)
        raise
    _settle(executable.parent)


def put_back(executable: Path) -> None:
    """Put the former executable in its place again. Raises OSError."""
    previous_path(executable).replace(executable)
    _settle(executable.parent)


def restart(executable: Path) -> NoReturn:
    """Become what lies there now, with the same arguments: the process id stays, so a service manager sees no end.

    Raises OSError.
    """
    for handler in logging.getLogger().handlers:
        handler.flush()
    os.execve(executable, [str(executable), *sys.argv[1:]], fresh_environment())  # noqa: S606 - our own words


def hand_over(home: Home, new: Path, order: UpdateOrder, job_id: JobId) -> NoReturn:
    """Put the new executable in the place of this one and become it. Raises OSError: then nothing has changed."""
    executable = own_path()
    mark = Mark(
        job_id=job_id,
        executable=str(executable),
        old_build=own_build(),
        new_build=order.sha256,
        version=order.version,
    )
    replace(executable, new, mark, home.update)
    try:
        restart(executable)
    except OSError:
        put_back(executable)
        home.update.unlink(missing_ok=True)
        raise


class Succession:
    """What a daemon knows of the update that it came by, if it did."""

    def __init__(self, home: Home) -> None:
        """Nothing is looked at before `begin`."""
        self._home = home
        self._mark: Mark | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def job_id(self) -> JobId | None:
        """The update that is not confirmed yet."""
        return self._mark.job_id if self._mark else None

    def begin(self) -> None:
        """Find out what this daemon is: a new executable on probation, the former one that is back, or neither.

        A former one that was never replaced says nothing: the appliance hears that the job is lost, and gives it anew.
        A disk that takes no writing keeps neither from serving.
        """
        build, mark = own_build(), _read(self._home.update)
        if mark is None:
            return
        if build != mark.new_build:
            what = f"The former version serves again. {mark.why}"
            report = JobReport(outcome=Outcome.FAILED, error_code=ROLLED_BACK, message=what)
            self._close(mark, report if mark.is_rolling_back else None)
            return
        self._mark = mark
        if mark.is_rolling_back or mark.starts >= STARTS_LIMIT:
            self._roll_back(mark.why or f"The new one was started {mark.starts} times and reached no appliance.")
            return
        self._write(msgspec.structs.replace(mark, starts=mark.starts + 1))
        self._timer = threading.Timer(
            GRACE_SECONDS, self._roll_back, (f"The new one reached no appliance in {GRACE_SECONDS:.0f} s.",)
        )
        self._timer.daemon = True
        self._timer.start()

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Roll back when what is done inside fails in a way that nobody foresaw, until the update is confirmed."""
        try:
            yield
        except Exception as error:
            self._roll_back(f"The new one failed: {error!r}.")
            raise

    def confirm(self) -> bool:
        """Take the appliance's answer as the end of the update; return whether there is a report to send now.

        While the disk takes no report, the update stays unconfirmed, without a deadline: try again.
        """
        with self._lock:
            mark = self._mark
            if mark is None:
                return False
            if self._timer is not None:
                self._timer.cancel()
            if not self._close(mark, JobReport(outcome=Outcome.DONE, message=f"Version {mark.version} serves.")):
                return False
            self._mark = None
            log.info("The update to %s is confirmed.", mark.version)
            return True

    def _roll_back(self, why: str) -> None:
        """Give the place back and become the former executable. Returns only if there is nothing to go back to."""
        with self._lock:
            mark = self._mark
            if mark is None:
                return
            executable = Path(mark.executable)
            log.error("The update is taken back. %s", why)
            try:
                self._write(msgspec.structs.replace(mark, is_rolling_back=True, why=why[:1000]))
                put_back(executable)
            except OSError:
                log.exception("The former executable cannot be put back; this one goes on.")
                return
            try:
                restart(executable)
            except OSError:
                log.exception("The former executable is back, but cannot be started from here.")
                os._exit(1)  # whoever starts the agent again starts the former one

    def _write(self, mark: Mark) -> None:
        """Note where the update stands. Unnoted it goes on all the same: a start is not counted, a return not told."""
        self._mark = mark
        try:
            write_private(self._home.update, msgspec.json.encode(mark))
        except OSError:
            log.exception("The update cannot be noted.")

    def _close(self, mark: Mark, report: JobReport | None) -> bool:
        """Report how the update ended, if there is anything to say, and forget it; return False when that fails."""
        try:
            if report is not None:
                write_private(self._home.reports / f"{mark.job_id}.json", msgspec.json.encode(report))
            self._home.update.unlink(missing_ok=True)
        except OSError:
            log.exception("The end of the update cannot be noted.")
            return False
        return True


def _read(path: Path) -> Mark | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mark)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        path.unlink(missing_ok=True)
        return None


def _keep(executable: Path) -> None:
    """Let the present executable stay beside its place, under its other name."""
    link = executable.with_name(f".{executable.name}.previous.new")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(executable)
    except OSError:  # a file system without hard links
        shutil.copy2(executable, link)
        with link.open("rb+") as file:
            os.fsync(file.fileno())
    link.replace(previous_path(executable))
    link.unlink(missing_ok=True)  # two names of one file: such a rename does nothing


def _settle(folder: Path) -> None:
    """Let the renames be on the disk."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
