"""The segments of a repository, or of a checkpoint of one, as they lie on the disk; and their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from saveos.offsite.hands import Stopped

if TYPE_CHECKING:
    import threading
    from pathlib import Path

PIECE = 1 << 20


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """A segment in a file."""

    number: int
    path: str
    bytes: int
    mtime_ns: int


def of_folder(folder: Path) -> list[Local]:
    """Return the segments of a repository in the order of their numbers. Raises OSError."""
    found = []
    for path in (folder / "data").glob("[0-9]*/[0-9]*"):
        if path.name.isdigit():
            status = path.stat()
            local = Local(number=int(path.name), path=str(path), bytes=status.st_size, mtime_ns=status.st_mtime_ns)
            found.append(local)
    return sorted(found, key=lambda local: local.number)


def digest(path: str, is_cancelled: threading.Event) -> str:
    """Return the SHA-256 of a file, hex. Raises OSError, Stopped."""
    found = hashlib.sha256()
    buffer = bytearray(PIECE)
    view = memoryview(buffer)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path as the segment names it
        while count := file.readinto(view):
            if is_cancelled.is_set():
                raise Stopped("Stopped: the next one goes on from there.")
            found.update(view[:count])
    return found.hexdigest()
