"""Hashes of files as they were when Borg read them: kept on this host alone, for restore drills to compare with.

One file per archive below state/noted, written when the archive is in the repository, for its owner alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.settings import write_private
from saveos.protocol import entry_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VARIABLE = "SAVEOS_NOTED"  # the folder
SUFFIX = ".json"
KEY, PLACE = "key", "place"
ARCHIVES_KEPT = 64
ENTRIES_LIMIT = 2000  # of an archive: some 400 KB
KEY_BYTES, MARK_BYTES = 32, 16


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A regular file. `path` as `protocol.entry_path` writes it; `mtime`: nanoseconds since 1970."""

    path: str
    size: int
    mtime: int
    mode: int
    sha256: str


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What was noted of one archive. `round`: how many came before it. `changed`: marks of older entries that are void.

    An older entry is void when its file was read again, which Borg only does of a file that has changed.
    """

    archive: str
    round: int = 0
    entries: tuple[Entry, ...] = ()
    changed: tuple[str, ...] = ()


def key_of(folder: Path) -> bytes:
    """Return the secret by which files are chosen, so that nobody on the host can know which; make it once."""
    with contextlib.suppress(OSError):
        if len(key := (folder / KEY).read_bytes()) == KEY_BYTES:
            return key
    key = secrets.token_bytes(KEY_BYTES)
    write_private(folder / KEY, key)
    return key


def mark_of(key: bytes, path: str) -> str:
    """Return a path's place in the order in which files are chosen, in hex."""
    return hashlib.blake2b(entry_bytes(path), key=key, digest_size=MARK_BYTES).hexdigest()


def share_of(key: bytes, path: bytes, shares: int) -> int:
    """Return in which of so many shares a path is: the bytes as they are, asked of every file of a backup."""
    return int.from_bytes(hashlib.blake2b(path, key=key, digest_size=MARK_BYTES).digest()[:4]) % shares


def keep(folder: Path, noted: Noted) -> None:
    """Keep what was noted of an archive; the oldest go."""
    write_private(folder / (noted.archive + SUFFIX), msgspec.json.encode(noted))
    for old in [path for path, _noted in _files(folder)][:-ARCHIVES_KEPT]:
        old.unlink(missing_ok=True)


def load(folder: Path) -> list[Noted]:
    """Return what was noted of each archive, the oldest first; a file that cannot be read counts for nothing."""
    return [noted for _path, noted in _files(folder)]


def valid(key: bytes, everything: Iterable[Noted]) -> dict[str, tuple[str, Entry]]:
    """Return the last word on each file, by its mark: the archive of which it was noted, and the entry.

    `everything`: the oldest first.
    """
    found: dict[str, tuple[str, Entry]] = {}
    for noted in everything:
        for mark in noted.changed:
            found.pop(mark, None)
        for entry in noted.entries:
            found[mark_of(key, entry.path)] = noted.archive, entry
    return found


def _files(folder: Path) -> list[tuple[Path, Noted]]:
    found = []
    for path in folder.glob("*" + SUFFIX):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append((path, msgspec.json.decode(path.read_bytes(), type=Noted)))
    return sorted(found, key=lambda each: (each[1].round, each[1].archive))
