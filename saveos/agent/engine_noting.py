"""Hashes of a sample of the files, taken from the very bytes that `borg create` reads. For Borg 1.4.5.

Which files: one share of all paths in each backup, chosen by a keyed hash, another share in the next one; what was
noted before and is read again; and the first few small ones, so that a small host is not left without any. A file that
Borg does not read, as it has not changed, is read here if its turn has come, within bounds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any

from saveos.agent import noted
from saveos.agent.noted import Entry, Noted
from saveos.protocol import entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHARES = 32
FEW, SMALL_BYTES = 40, 1024**2
FILE_BYTES = 128 * 1024**2  # of one file; what is larger is left to the verification of the repository
READ_BYTES = 1024**3  # of all files that Borg reads anyway
OWN_BYTES, OWN_FILES = 64 * 1024**2, 500  # of those that only we read
PIECE = 1024**2
ZEROS = bytes(PIECE)


class Notes:
    """The notes of one archive in the making. Whatever fails here, the backup matters more."""

    def __init__(self, folder: Path) -> None:
        """Learn what was noted before."""
        self._folder, self._key = folder, noted.key_of(folder)
        before = noted.load(folder)
        self.round = before[-1].round + 1 if before else 0
        self._known = noted.valid(self._key, before).keys()
        self._entries: list[Entry] = []
        self._changed: list[str] = []
        self._few = self._read = self._own = self._own_files = 0
        self.reads_count = 0  # of files by Borg

    def begin(self, path: bytes) -> Any:
        """Return a hash to fill with a file's content, or None when it is not to be noted. Called before it is read."""
        self.reads_count += 1
        is_full = self._read >= READ_BYTES or len(self._entries) >= noted.ENTRIES_LIMIT
        if is_full or not (self._is_known(path) or self.is_due(path) or self._few < FEW):
            return None
        return hashlib.sha256()

    def end(self, path: bytes, item: Any, digest: Any, size: int) -> None:
        """Keep a file's hash, or that it changed."""
        is_whole = digest is not None and size <= FILE_BYTES
        is_chosen = self._is_known(path) or self.is_due(path)
        if is_whole and not is_chosen and size <= SMALL_BYTES:
            self._few += 1
            is_chosen = True
        if digest is not None:
            self._read += min(size, FILE_BYTES)
        if is_whole and is_chosen:
            self._add(path, size, item.mtime, item.mode, digest)
        elif self._is_known(path):
            self._changed.append(noted.mark_of(self._key, entry_path(path)))

    def look(self, path: bytes, name: str, known: os.stat_result) -> None:
        """Read and note a file that Borg did not need to read: its turn has come. `known`: as Borg saw it."""
        is_regular = stat.S_ISREG(known.st_mode) and known.st_nlink == 1
        is_full = self._own_files >= OWN_FILES or len(self._entries) >= noted.ENTRIES_LIMIT
        if not is_regular or is_full or self._own + known.st_size > OWN_BYTES:
            return
        self._own += known.st_size
        self._own_files += 1
        with contextlib.suppress(OSError):
            digest = _hash(name, known)
            if digest is not None:
                self._add(path, known.st_size, known.st_mtime_ns, known.st_mode, digest)

    def is_due(self, path: bytes) -> bool:
        """Return whether it is the turn of a path's share."""
        return noted.share_of(self._key, path, SHARES) == self.round % SHARES

    def finish(self, archive: str) -> None:
        """Keep it all: the archive is in the repository under this name."""
        said = Noted(archive=archive, round=self.round, entries=tuple(self._entries), changed=tuple(self._changed))
        with contextlib.suppress(OSError):
            noted.keep(self._folder, said)

    def _is_known(self, path: bytes) -> bool:
        return bool(self._known) and noted.mark_of(self._key, entry_path(path)) in self._known

    def _add(self, path: bytes, size: int, mtime: int, mode: int, digest: Any) -> None:
        entry = Entry(path=entry_path(path), size=size, mtime=mtime, mode=stat.S_IMODE(mode), sha256=digest.hexdigest())
        self._entries.append(entry)


def install(archive: Any, folder: Path) -> None:
    """Let `borg create` note hashes of what it reads."""
    try:
        notes = Notes(folder)
    except OSError:
        return  # a full disk, perhaps: no notes this time
    processor, files = archive.ChunksProcessor, archive.FilesystemObjectProcessors
    processor.process_file_chunks = _process_file_chunks(processor.process_file_chunks, notes)
    files.process_file = _process_file(files.process_file, notes)
    archive.Archive.save = _save(archive.Archive.save, notes)


def _process_file_chunks(original: Callable[..., Any], notes: Notes) -> Callable[..., Any]:
    def process_file_chunks(
        self: Any, item: Any, cache: Any, stats: Any, show_progress: Any, chunk_iter: Any, *more: Any
    ) -> Any:
        path = os.fsencode(item.path)
        digest = notes.begin(path)
        if digest is None:
            result = original(self, item, cache, stats, show_progress, chunk_iter, *more)
            notes.end(path, item, None, 0)
            return result
        size = 0

        def tapped() -> Iterator[Any]:
            nonlocal size
            for chunk in chunk_iter:
                length = chunk.meta["size"]
                if size + length <= FILE_BYTES:
                    _feed(digest, chunk.data, length)
                size += length
                yield chunk

        result = original(self, item, cache, stats, show_progress, tapped(), *more)
        notes.end(path, item, digest, size)
        return result

    return process_file_chunks


def _process_file(original: Callable[..., Any], notes: Notes) -> Callable[..., Any]:
    def process_file(self: Any, *, path: Any, st: Any, strip_prefix: Any, **more: Any) -> Any:
        count = notes.reads_count
        result = original(self, path=path, st=st, strip_prefix=strip_prefix, **more)
        is_unread = result is None and notes.reads_count == count and strip_prefix is None
        if is_unread and notes.is_due(os.fsencode(path).lstrip(b"/")):
            from borg.helpers import make_path_safe  # noqa: PLC0415 - loaded by now

            notes.look(os.fsencode(make_path_safe(path)), path, st)
        return result

    return process_file


def _save(original: Callable[..., Any], notes: Notes) -> Callable[..., Any]:
    def save(self: Any, name: str | None = None, **how: Any) -> None:
        original(self, name, **how)
        if name in (None, self.name):  # else a checkpoint
            notes.finish(self.name)

    return save


def _feed(digest: Any, data: Any, length: int) -> None:
    if data is not None:
        digest.update(data)
        return
    while length > 0:  # a hole, or zeros that Borg knows without keeping them
        digest.update(ZEROS[: min(length, PIECE)])
        length -= PIECE


def _hash(name: str, known: os.stat_result) -> Any:
    """Return the hash of a file that is, before and after, the one that Borg saw; None when it is not."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not _is_same(os.fstat(descriptor), known):
            return None
        digest = hashlib.sha256()
        while data := file.read(PIECE):
            digest.update(data)
        return digest if _is_same(os.fstat(descriptor), known) else None


def _is_same(seen: os.stat_result, known: os.stat_result) -> bool:
    names = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    return all(getattr(seen, name) == getattr(known, name) for name in names)
