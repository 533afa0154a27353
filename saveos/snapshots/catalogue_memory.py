"""The folder in memory where opened names lie, and nowhere else: this user's alone, one for each data folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from saveos import in_memory
from saveos.errors import Unavailable

if TYPE_CHECKING:
    from saveos.config import Settings

KEPT_FREE_BYTES = 256 * 1024**2


def folder(settings: Settings) -> Path | None:
    """Return the folder if there is one; whatever somebody else put in its place does not count."""
    path = _path(settings)
    return path if path is not None and _is_ours(path) else None


def make(settings: Settings) -> Path:
    """Return the folder, made if need be. Raises Unavailable."""
    path = _path(settings)
    if path is None:
        raise Unavailable("Sealed names are opened in memory alone, and this machine has no file system in memory.")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"Sealed names cannot be opened: {error}.") from error
    if not _is_ours(path):
        raise Unavailable(f"Sealed names cannot be opened: {path} belongs to somebody else.")
    return path


def wipe(settings: Settings) -> None:
    """Delete all of it: what a killed appliance left, and when this one ends."""
    if path := folder(settings):
        shutil.rmtree(path, ignore_errors=True)


def room_bytes(path: Path) -> int:
    """Return how much more may be opened: half of what the file system and the machine's memory have left."""
    free = shutil.disk_usage(path).free
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), free)
    return max(0, min(free, available) - KEPT_FREE_BYTES) // 2


def _path(settings: Settings) -> Path | None:
    of_folder = hashlib.sha256(os.fsencode(settings.folder.absolute())).hexdigest()[:24]
    place = in_memory.place()
    return Path(place) / f"saveos-names-{of_folder}" if place else None


def _is_ours(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077
