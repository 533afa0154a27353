"""Memory that nobody else may look into: of a process that holds keys which are not this machine's own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

VARIABLE = "SAVEOS_PRIVATE"  # set for a Borg that works with somebody's unlocked key
_SET_DUMPABLE, _SET_PARENT_DEATH = 4, 1  # prctl(2)
_LOCK_CURRENT, _LOCK_FUTURE, _LOCK_ON_FAULT = 1, 2, 4  # mlockall(2)


def hide() -> None:
    """Leave no core file, let no debugger in, and keep the memory out of swap where the system allows it."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not there on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    library.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    # Under a limit, locking could make a later allocation fail; root has none.
    if os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        library.mlockall(_LOCK_CURRENT | _LOCK_FUTURE | _LOCK_ON_FAULT)


def end_with_parent(number: int) -> None:
    """Let the system send this signal when the parent's thread that started us is gone (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH, number, 0, 0, 0)
