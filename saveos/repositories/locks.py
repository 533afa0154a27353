"""Locks that are never mistaken: a lock names its holder by process id and moment of birth.

Borg names it by process id alone, and after a restart another process may carry that id: the lock would stay for ever.
Borg's own programs leave locks named like this alone. Source: borg/locking.py and borg/platform, 1.4.5.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from borg import locking, platform

from saveos.errors import Unavailable

BORG_VERSION = "1.4.5"
RETRY_SECONDS = 0.1


class Timer(locking.TimeoutTimer):  # type: ignore[misc]
    """Tries again often: Borg sleeps a tenth of the whole time between two attempts."""

    def __init__(self, timeout: float | None = None, sleep: float | None = None) -> None:
        """Keep what Borg asks for, but for the pause it would work out."""
        super().__init__(timeout, RETRY_SECONDS if sleep is None else sleep)


def adopt() -> None:
    """Let Borg in this process name and judge locks so. Raises Unavailable with another version of Borg."""
    import borg  # noqa: PLC0415 - its version, before anything of it is replaced

    if borg.__version__ != BORG_VERSION:
        message = f"Borg {BORG_VERSION} is needed, {borg.__version__} is here."
        raise Unavailable(message)
    platform.get_process_id = identity
    platform.process_alive = is_alive
    locking.TimeoutTimer = Timer


def identity() -> tuple[str, int, int]:
    """Return who this process is: host, process id, moment of birth (clock ticks since the machine started)."""
    pid = os.getpid()
    return platform.hostid, pid, born_at(pid) or 0


def is_alive(host: str, pid: int, birth: int) -> bool:
    """Return whether the holder of a lock may still be there. `birth` 0: made by Borg itself."""
    if host != platform.hostid:
        return True
    known = born_at(pid)
    if birth and known is not None:
        return birth == known
    return bool(platform.local_pid_alive(pid)) and known != 0


def born_at(pid: int) -> int | None:
    """Return a process's moment of birth, 0 when it is gone or waits to be buried, None where nobody can tell."""
    if not Path("/proc/self/stat").exists():
        return None
    try:
        fields: Any = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
