"""What kind of machine this host seems to be: from what its maker wrote into it, a battery, and a screen.

Source: SMBIOS specification (DSP0134), table 17, "System enclosure or chassis types".
"""

from __future__ import annotations

import contextlib
import sys
from functools import lru_cache
from pathlib import Path

from saveos.protocol import MachineClass

SYS = Path("/sys")
PORTABLE = frozenset((8, 9, 10, 11, 14, 30, 31, 32))  # portable, laptop, notebook, …, tablet, convertible, detachable
DESKTOP = frozenset((3, 4, 5, 6, 7, 13, 15, 16, 24, 35, 36))  # desktop, tower, all in one, …, mini and stick PC


@lru_cache(maxsize=1)
def machine() -> str:
    """Return a MachineClass, or "" when it cannot be told."""
    return guess(SYS) if sys.platform == "linux" else ""


def guess(sys_folder: Path) -> str:
    """Return what the files below /sys come to. A tower is a workstation when it has a screen, else it may serve."""
    chassis = _number(sys_folder / "class" / "dmi" / "id" / "chassis_type")
    if chassis in PORTABLE or _has_battery(sys_folder):
        return MachineClass.LAPTOP.value
    if chassis in DESKTOP and _has_screen(sys_folder):
        return MachineClass.WORKSTATION.value
    return MachineClass.SERVER.value if chassis is not None else ""


def _has_battery(sys_folder: Path) -> bool:
    """Return whether the machine itself runs on a battery, not only its mouse or an uninterruptible supply."""
    for supply in _folders(sys_folder / "class" / "power_supply"):
        if _word(supply / "type") == "Battery" and _word(supply / "scope") != "Device":
            return True
    return False


def _has_screen(sys_folder: Path) -> bool:
    return any(_word(output / "status") == "connected" for output in _folders(sys_folder / "class" / "drm"))


def _folders(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _word(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()[:64].strip()
    return ""


def _number(path: Path) -> int | None:
    word = _word(path)
    return int(word) if word.isascii() and word.isdigit() else None
