"""What belongs to a one-file executable ends with it: a kill -9 leaves no Python and no unpacked folder behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)


def hold_to_loader() -> None:
    """End with the loader of a one-file executable: killed alone, it would leave its Python behind."""
    if getattr(sys, "frozen", False) and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def hold_to_parent() -> None:
    """End at once with the thread that started this process, where the system can tell (Linux)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def sweep() -> None:
    """Remove what one-file executables of ours that were killed, or replaced, left unpacked beside this one.

    The loader of a replaced one waits for us to end and removes its folder then: that stays for it, empty.
    """
    here = getattr(sys, "_MEIPASS", None)
    if here is None or "TMPDIR" not in os.environ:
        return  # only a service has an unpacking folder of its own
    for leftover in Path(here).parent.glob("_MEI*"):
        if leftover == Path(here):
            continue
        with contextlib.suppress(OSError):
            for unpacked in leftover.iterdir():
                if unpacked.is_dir() and not unpacked.is_symlink():
                    shutil.rmtree(unpacked, ignore_errors=True)
                else:
                    unpacked.unlink()
        if not _is_awaited(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_awaited(folder: Path) -> bool:
    """Return whether the loader that unpacked this folder lives: PyInstaller names it by the loader's process id."""
    try:
        os.kill(int(folder.name[len("_MEI") :][:8], 16), 0)
    except (ValueError, OSError):
        return False
    return True
