"""Make ready to become another executable: fetch it, check it, try it. Until the daemon ends, nothing has changed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import __version__
from saveos.agent import locks, succession, update_download
from saveos.agent.executable import fresh_environment, own_build, own_path, stamp_of
from saveos.agent.failures import Failure
from saveos.agent.settings import is_frozen
from saveos.protocol import UpdateOrder, is_newer

if TYPE_CHECKING:
    from saveos.agent.work import Work

TRIAL_SECONDS = 120.0
POLL_SECONDS = 0.2
BUSY_TRIES = 20
_BASE = re.compile(r"saveos-agent-[a-z]+-.+-[0-9a-f]{16}")


class Successor(msgspec.Struct, frozen=True, kw_only=True):
    """A checked and tried executable that waits beside the present one. `turn`: no Borg runs while this is held."""

    path: Path
    order: UpdateOrder
    turn: int


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What an executable that is tried says of itself; `error` instead when it could not do its work."""

    version: str = ""
    error: str = ""


def prepare(work: Work, order: UpdateOrder) -> Successor | None:
    """Return the successor; None when this executable is the ordered one already. Raises Failure, OSError."""
    if own_build() == order.sha256:
        return None
    executable = _replaceable()
    if not work.config.takes_updates:
        message = f"This host refuses updates: {work.home.config} says so."
        raise Failure("update-refused", message)
    if is_newer(__version__, order.version):
        message = f"Version {order.version} is older than the present one, {__version__}."
        raise Failure("update-downgrade", message)
    path = succession.new_path(executable, order.sha256)
    for left in succession.leftovers(executable):
        if left != path:
            left.unlink(missing_ok=True)
    try:
        update_download.fetch(work, order, path)
        _finish(executable, order, path)
        _try(work, order, path)
        turn = _turn(work)
    except Failure as failure:
        if failure.code != "unreachable":  # what is here of it is good for another attempt
            path.unlink(missing_ok=True)
        raise
    return Successor(path=path, order=order, turn=turn)


def _replaceable() -> Path:
    executable = own_path()
    if not is_frozen() or os.name != "posix":
        message = "Only the one-file executable can be replaced, and not on Windows."
        raise Failure("update-impossible", message)
    if _BASE.fullmatch(executable.name):
        message = (
            f"{executable} belongs to the appliance. Run 'install' with it, or copy it, to have one of this host's."
        )
        raise Failure("update-impossible", message)
    return executable


def _finish(executable: Path, order: UpdateOrder, path: Path) -> None:
    """Give it this host's stamp and the rights of the present one, on the disk."""
    present = executable.stat()
    with path.open("rb+") as file:
        file.seek(order.size_bytes)
        file.write(stamp_of(executable))
        file.truncate()
        if os.geteuid() == 0:
            os.fchown(file.fileno(), present.st_uid, present.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(present.st_mode) & 0o755 | stat.S_IRWXU)
        file.flush()
        os.fsync(file.fileno())


def _try(work: Work, order: UpdateOrder, path: Path) -> None:
    """Let it start, reach the appliance as this host, and start Borg. Raises Failure."""
    work.note(phase="trying")
    command = [str(path), "update-trial", "--config", str(work.home.config)]
    try:
        said, complaints = _run(work, command)
        trial = msgspec.json.decode(said, type=Trial)
    except (OSError, msgspec.MsgspecError) as error:
        message = f"The new executable cannot be used on this host: {error}. Nothing was changed."
        raise Failure("update-trial-failed", message) from error
    if trial.error or trial.version != order.version:
        why = trial.error or f"it says to be {trial.version or 'nothing'}, not {order.version}"
        message = f"The new executable failed its trial: {why}. Nothing was changed. {complaints}".strip()
        raise Failure("update-trial-failed", message)
    work.say(f"Version {trial.version} starts here, reaches the appliance and has its Borg.")


def _run(work: Work, command: list[str]) -> tuple[bytes, str]:
    """Run the trial to its end; return its output and its last complaints. Raises OSError, Failure."""
    process = _start(command)
    deadline = time.monotonic() + TRIAL_SECONDS
    while True:
        try:
            said, complaints = process.communicate(timeout=POLL_SECONDS)
            return said, complaints.decode(errors="replace")[-500:]
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline or work.is_cancelled.is_set():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                work.go_on()
                message = f"The new executable did not end its trial in {TRIAL_SECONDS:.0f} s. Nothing was changed."
                raise Failure("update-trial-failed", message) from None


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    """Start it. A process that another thread is just starting may still hold the file open for writing."""
    for _ in range(BUSY_TRIES):
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=fresh_environment(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            if error.errno != errno.ETXTBSY:
                raise
        time.sleep(POLL_SECONDS)
    raise OSError(errno.ETXTBSY, os.strerror(errno.ETXTBSY))


def _turn(work: Work) -> int:
    """Wait until no Borg of this host runs: it starts itself by the name of the executable that is to be replaced."""
    while (turn := locks.try_take(work.home.writer_lock)) is None:
        work.note(phase="waiting for its turn")
        work.go_on()
        work.is_cancelled.wait(POLL_SECONDS)
    work.note(phase="restarting")
    return turn
