"""What lies in a folder of this host: names, kinds and sizes, for a person who chooses what to back up."""

from __future__ import annotations

import errno
import heapq
import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.borg_log import printable
from saveos.protocol import EntryKind, FolderEntry, FolderListing

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from saveos.protocol import ListFolder

ENTRIES_LIMIT = 2000
NAMES_LIMIT_BYTES = 600_000  # of all names together as JSON
NAME_LENGTH, PATH_LENGTH = 2048, 4096
SCAN_SECONDS = 15.0
NOT_A_FOLDER = {errno.ENOTDIR, errno.ELOOP}  # what opening a file or a link as a folder gives, by system


def list_folder(asked: ListFolder, stopping: threading.Event) -> FolderListing:
    """Return what lies in a folder. Links are neither followed nor looked into."""
    if sys.platform == "win32" and asked.path in ("", "/"):
        drives = tuple(FolderEntry(name=drive, kind=EntryKind.FOLDER) for drive in os.listdrives())
        return FolderListing(entries=drives)
    path = os.path.normpath(asked.path) if asked.path else "/"
    shown = printable(path)[:PATH_LENGTH]
    if not os.path.isabs(path) or "\0" in path:  # noqa: PTH117 - odd names stay as they are
        return FolderListing(path=shown, error="not-found", message=f"{shown} is not a whole path.")
    try:
        entries, is_cut = _entries(path, stopping)
    except OSError as error:
        return FolderListing(path=shown, error=_code(error), message=f"{shown}: {printable(error.strerror or '?')}.")
    return FolderListing(path=shown, entries=entries, is_cut=is_cut)


def _entries(path: str, stopping: threading.Event) -> tuple[tuple[FolderEntry, ...], bool]:
    """Return the first entries, and whether there are more. Holds no more in memory, however many there are."""
    deadline = time.monotonic() + SCAN_SECONDS
    is_hurried = False

    def seen() -> Iterator[tuple[bool, str, str, os.DirEntry[str]]]:
        nonlocal is_hurried
        for entry in found:
            if stopping.is_set() or time.monotonic() > deadline:
                is_hurried = True
                return
            yield (not _is_folder(entry), entry.name.casefold(), entry.name, entry)

    with _scanned(path) as found:
        first = heapq.nsmallest(ENTRIES_LIMIT + 1, seen(), key=lambda seen: seen[:3])
        entries: list[FolderEntry] = []
        size = 0
        for *_order, entry in first[:ENTRIES_LIMIT]:
            described = _described(entry)
            size += len(msgspec.json.encode(described.name))
            if size > NAMES_LIMIT_BYTES:
                break
            entries.append(described)
    return tuple(entries), is_hurried or len(entries) < len(first)


@contextmanager
def _scanned(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Open a folder that is no link, and read it; entries can be asked for more while it is open."""
    if os.scandir not in os.supports_fd:
        if not os.path.isdir(path) or os.path.islink(path):  # noqa: PTH112, PTH114
            raise (
                NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                if os.path.lexists(path)
                else FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            )
        with os.scandir(path) as found:
            yield found
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as found:
            yield found
    finally:
        os.close(descriptor)


def _described(entry: os.DirEntry[str]) -> FolderEntry:
    name = printable(entry.name)[:NAME_LENGTH]
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return FolderEntry(name=name, kind=_kind(entry))
    modified_at = None
    if 0 < status.st_mtime < 253_402_300_800:  # noqa: PLR2004 - the year 10000, the first that a datetime cannot say
        modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
    return FolderEntry(name=name, kind=_kind(entry), size_bytes=max(0, status.st_size), modified_at=modified_at)


def _kind(entry: os.DirEntry[str]) -> EntryKind:
    try:
        if entry.is_symlink() or _is_junction(entry):
            return EntryKind.LINK
        if entry.is_dir(follow_symlinks=False):
            return EntryKind.FOLDER
        return EntryKind.FILE if entry.is_file(follow_symlinks=False) else EntryKind.OTHER
    except OSError:
        return EntryKind.OTHER


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return _kind(entry) is EntryKind.FOLDER


def _is_junction(entry: os.DirEntry[str]) -> bool:
    return sys.platform == "win32" and entry.is_junction()


def _code(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "not-found"
    if isinstance(error, PermissionError):
        return "not-permitted"
    return "not-a-folder" if error.errno in NOT_A_FOLDER else "host-error"
