"""Protect the appliance's own machine: enrol it as any host, by its own executable run here as a child process.

As root where systemd runs, the agent's service is installed. Anyone else only enrols, and is told what is left to do.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.agents import handout, hostnames, provisioning
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import AlreadyEnrolled, Conflict, HostError, PlatformUnavailable, SaveOSError
from saveos.identity.principals import Permission, system
from saveos.installers import bases, stamp
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn
from saveos.protocol import JobId, Kind, Platform, Stamp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

FILE = "own-agent"  # in the data folder, only while it runs
HOURS = 1.0
CHILD_SECONDS = 300.0
GRACE_SECONDS = 10.0
POLL_SECONDS = 0.2
SYSTEMD = Path("/run/systemd/system")
PRIORITY = 20  # somebody watches
BUILT_PERCENT, STAMPED_PERCENT = 80, 85


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the appliance is, and whom to trust: what the stamp holds besides the token."""

    addresses: tuple[str, ...]
    root_certificate: str


class _Refusal(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Answer(msgspec.Struct):
    error: _Refusal | None = None


def hostname() -> str:
    """Return what this machine is called."""
    name = socket.gethostname().rstrip(".")
    return name if hostnames.is_hostname(name) else "appliance"


def may_serve() -> bool:
    """Return whether a service can be installed by this process: root, with systemd running."""
    return os.geteuid() == 0 and SYSTEMD.is_dir()


def remaining_command(settings: Settings) -> str:
    """Return what a person has to run once after the enrolment, empty when nothing is left to do."""
    base = bases.find(settings, Platform.LINUX)
    if may_serve() or base is None:
        return ""
    words = [str(base), "--config", str(_config())]
    return shlex.join([*words, "daemon"] if not SYSTEMD.is_dir() else ["sudo", *words, "install"])


def request(database: Database, settings: Settings, principal: Principal) -> Job:
    """Ask for it; a job that waits or runs already is returned instead. Raises PlatformUnavailable."""
    principal.require(Permission.PROVISION)
    if sys.platform != "linux":
        message = "Only an appliance on Linux can protect its own machine."
        raise PlatformUnavailable(message)
    if bases.find(settings, Platform.LINUX) is None:
        bases.require_buildable(Platform.LINUX)

    def write(connection: sqlite3.Connection) -> Job:
        running = jobs.waiting_on_appliance(connection, Kind.PROTECT_APPLIANCE)
        if running is not None:
            return running
        job = NewJob(
            id=JobId(new_id("job")),
            tenant_id=principal.tenant_id,
            kind=Kind.PROTECT_APPLIANCE,
            runs_on=RunsOn.APPLIANCE,
            order={"hostname": hostname()},
            requested_by=principal.label,
            priority=PRIORITY,
            attempts_limit=1,  # a second attempt finds a half-enrolled machine: a person looks first
        )
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="appliance-protection-requested",
            target=job.id,
        )
        return lifecycle.request(connection, job)

    return database.write(write)


def latest(database: Database, principal: Principal) -> Job | None:
    """Return the newest job of this kind, if there ever was one."""
    return lifecycle.newest_of_appliance(database, principal, Kind.PROTECT_APPLIANCE)


def protect(
    settings: Settings,
    database: Database,
    job: Job,
    place: Place,
    on_step: Callable[[str, int], None],
    is_cancelled: Callable[[], bool],
) -> str:
    """Build, stamp, run, and remove what was run. `on_step` gets a line and a percentage. Return a sentence.

    Raises HostError with what the agent said, AlreadyEnrolled, BuildError.
    """
    base = _base(settings, on_step, is_cancelled)
    principal = system(job.tenant_id, f"job:{job.id}")
    made, _unused = provisioning.create(database, principal, job.order["hostname"], Platform.LINUX, hours=HOURS)
    executable = settings.folder / FILE
    try:
        right, token = handout.take_by_person(database, principal, made.id)
        payload = Stamp(
            addresses=_nearest_first(place.addresses),
            root_certificate=place.root_certificate,
            token=token.text,
            hostname=right.hostname,
        )
        stamp.write(base, payload, executable)
        on_step("The executable is stamped.", STAMPED_PERCENT)
        verb = "install" if may_serve() else "enrol"
        _run([str(executable), "--json", "--config", str(_config()), verb], on_step, is_cancelled)
    except (OSError, SaveOSError) as error:
        with contextlib.suppress(Conflict):  # it enrolled, and something later failed: the host shows that
            provisioning.withdraw(database, principal, made.id)
        if isinstance(error, OSError):
            message = f"The executable cannot be run here: {error}."
            raise HostError(message) from error
        raise
    finally:
        executable.unlink(missing_ok=True)
    left = remaining_command(settings)
    return f"This machine is enrolled. Run once: {left}" if left else "This machine is protected; its service runs."


def sweep(settings: Settings) -> None:
    """Remove the executable, and the token in it, that a killed process could not. Call it before jobs run."""
    (settings.folder / FILE).unlink(missing_ok=True)


def _base(settings: Settings, on_step: Callable[[str, int], None], is_cancelled: Callable[[], bool]) -> Path:
    if (base := bases.find(settings, Platform.LINUX)) is not None:
        return base

    def on_line(line: str) -> None:
        percent, _sign, _rest = line.partition(" % ")
        on_step(line, int(percent) * BUILT_PERCENT // 100 if percent.isdigit() else 0)

    return bases.build(settings, Platform.LINUX, on_line, is_cancelled)


def _config() -> Path:
    """Return the agent's own place for root or this user: given to it, so that the two never disagree."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "saveos" / "config.json"


def _nearest_first(addresses: Sequence[str]) -> tuple[str, ...]:
    """Put loopback first: it works whatever becomes of the network."""
    return tuple(sorted(addresses, key=lambda address: not address.startswith(("127.", "localhost:", "[::1]"))))


def _run(command: list[str], on_step: Callable[[str, int], None], is_cancelled: Callable[[], bool]) -> None:
    """Run the agent to its end. Raises HostError, AlreadyEnrolled."""
    process = subprocess.Popen(
        command,
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    deadline = time.monotonic() + CHILD_SECONDS
    on_step("The agent enrols this machine and makes its repository.", STAMPED_PERCENT)
    while True:
        try:
            said, complaints = process.communicate(timeout=POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if is_cancelled() or time.monotonic() > deadline:
                _end(process)
                message = "Cancelled." if is_cancelled() else "The agent did not end in time."
                raise HostError(message) from None
    for line in complaints.splitlines():
        on_step(line, STAMPED_PERCENT)
    if process.returncode:
        _refuse(said, complaints)


def _refuse(said: str, complaints: str) -> None:
    try:
        refusal = msgspec.json.decode(said.strip() or "{}", type=_Answer).error
    except msgspec.DecodeError:
        refusal = None
    message = (refusal.message if refusal else complaints.strip()[-1000:]) or "The agent ended without a word."
    if refusal is not None and refusal.code == AlreadyEnrolled.code:
        raise AlreadyEnrolled(message)
    raise HostError(message)


def _environment() -> dict[str, str]:
    """Return this process's environment without what a frozen appliance put there for itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("_PYI", "BORG_", "SAVEOS_"))}
    original = kept.pop("LD_LIBRARY_PATH_ORIG", None)
    if getattr(sys, "frozen", False):
        kept.pop("LD_LIBRARY_PATH", None)
    return kept | ({"LD_LIBRARY_PATH": original} if original else {}) | {"PYINSTALLER_RESET_ENVIRONMENT": "1"}


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE_SECONDS)
            return
