"""The segments of a repository, or of a checkpoint of one, as they lie on the disk; its index; and their hashes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from saveos.offsite import layout
from saveos.offsite.hands import Stopped

if TYPE_CHECKING:
    import threading
    from pathlib import Path

PIECE = 1 << 20


class Local(msgspec.Struct, frozen=True, kw_only=True):
    """A segment in a file, or Borg's index at one."""

    number: int
    path: str
    bytes: int
    mtime_ns: int
    is_index: bool = False

    def key(self, sha256: str) -> str:
        """Return its key below its host's folder."""
        name = layout.index_key if self.is_index else layout.segment_key
        return name(self.number, sha256)


def of_folder(folder: Path) -> list[Local]:
    """Return the segments of a repository in the order of their numbers. Raises OSError."""
    found = []
    for path in (folder / "data").glob("[0-9]*/[0-9]*"):
        if path.name.isdigit():
            status = path.stat()
            local = Local(number=int(path.name), path=str(path), bytes=status.st_size, mtime_ns=status.st_mtime_ns)
            found.append(local)
    return sorted(found, key=lambda local: local.number)


def index_of_folder(folder: Path, moment: int) -> Local | None:
    """Return Borg's index of a commit, if it is there: Borg writes it after the commit. Raises OSError."""
    path = folder / f"index.{moment}"
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Local(number=moment, path=str(path), bytes=status.st_size, mtime_ns=status.st_mtime_ns, is_index=True)


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
