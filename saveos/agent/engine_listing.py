"""What `borg create` archives, noted while it does: a spool of unsorted runs, from which the listing is made later.

The place of an entry is the number of the metadata chunk in which it begins. It is known only once the chunk is cut, so
the spool keeps where in the metadata stream the entry begins, and where each chunk ends.
"""

from __future__ import annotations

import errno
import shutil
import stat
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.protocol_listing import KEY_LIMIT_BYTES, key_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VARIABLE = "SAVEOS_LISTINGS"  # the folder of listings
UNFINISHED = "unfinished"
COMPLETE = "complete.json"
RUN_LINES = 50_000  # held in memory: some 15 MB
RESERVE_BYTES = 256 * 1024**2  # left free on the host's disk
MASTERS_LIMIT = 500_000  # files with several names whose size is remembered for the other names

_KINDS = {
    stat.S_IFDIR: b"d",
    stat.S_IFLNK: b"l",
    stat.S_IFIFO: b"p",
    stat.S_IFCHR: b"c",
    stat.S_IFBLK: b"c",
}


class Complete(msgspec.Struct, frozen=True, kw_only=True):
    """What closes a spool: where in the metadata stream each chunk ends."""

    ends: list[int]


class Spool:
    """The notes of one archive in the making. What cannot be written is given up: backup and host matter more."""

    def __init__(self, listings: Path) -> None:
        """Begin in a folder of its own below `listings`; what another attempt left there is dropped."""
        self._listings, self._folder = listings, listings / UNFINISHED
        self._lines: list[bytes] = []
        self._runs = 0
        self._masters: dict[bytes, int] = {}
        self._is_given_up = False
        self.ends: list[int] = []
        self.written = 0  # bytes of the metadata stream that are cut into chunks
        shutil.rmtree(self._folder, ignore_errors=True)
        self._attempt(lambda: self._folder.mkdir(parents=True, mode=0o700))

    def note(self, item: dict[str, Any], at: int) -> None:
        """Note an item of Borg that begins at this byte of the metadata stream."""
        path = item["path"]
        if "part" in item or path in (b".", b"", b"/"):
            return  # a half of a file from before a checkpoint; the root itself
        mode = item["mode"]
        kind, size = _KINDS.get(mode & 0o170000, b"f"), item.get("size", 0)
        if kind == b"f" and "source" in item:
            kind, size = b"h", self._masters.get(item["source"], 0)
        elif item.get("hardlink_master") and len(self._masters) < MASTERS_LIMIT:
            self._masters[path] = size
        key = key_of(path.strip(b"/"))
        if len(key) > KEY_LIMIT_BYTES:
            return
        mtime = item.get("mtime")
        moment = b"%d" % (mtime // 1_000_000) if isinstance(mtime, int) else b"?"
        self._lines.append(b"%b\0%b %d %b %o %d\n" % (key, kind, size, moment, mode & 0o7777, at))
        if len(self._lines) >= RUN_LINES:
            self._write_run()

    def chunk(self, size: int) -> None:
        """Note that the stream's next chunk is cut."""
        self.written += size
        self.ends.append(self.written)

    def finish(self, archive: str) -> None:
        """Close the spool: the archive is in the repository under this name."""
        self._write_run()
        shutil.rmtree(self._listings / archive, ignore_errors=True)
        closing = msgspec.json.encode(Complete(ends=self.ends))
        self._attempt(lambda: (self._folder / COMPLETE).write_bytes(closing))
        self._attempt(lambda: self._folder.rename(self._listings / archive))

    def _write_run(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            lines.sort()
            run = self._folder / f"run-{self._runs:06d}"
            self._runs += 1
            self._attempt(lambda: _write_within_reserve(run, b"".join(lines)))

    def _attempt(self, work: Callable[[], Any]) -> None:
        """Do it; after the first failure write nothing more and drop it: a spool that is not closed is of no use."""
        if self._is_given_up:
            return
        try:
            work()
        except OSError:
            self._is_given_up = True
            shutil.rmtree(self._folder, ignore_errors=True)


def _write_within_reserve(path: Path, data: bytes) -> None:
    if shutil.disk_usage(path.parent).free - len(data) < RESERVE_BYTES:
        raise OSError(errno.ENOSPC, "The disk is nearly full.")
    path.write_bytes(data)


def install(archive: Any, archiver: Any, listings: Path) -> None:
    """Let `borg create` fill a spool, and `borg list ::ARCHIVE` make one from the repository. For Borg 1.4.5."""
    buffer = archive.CacheChunkBuffer
    buffer.add = _add(buffer.add, listings)
    buffer.write_chunk = _write_chunk(buffer.write_chunk)
    archive.Archive.save = _save(archive.Archive.save)
    archiver.Archiver._list_archive = _list_archive(archive, listings)  # noqa: SLF001 - the very thing


def _add(original: Callable[..., Any], listings: Path) -> Callable[..., Any]:
    def add(self: Any, item: Any) -> None:
        spool: Spool | None = self.__dict__.get("saveos_spool")
        if spool is None:
            spool = self.saveos_spool = Spool(listings)
        at = spool.written + self.buffer.tell()
        original(self, item)
        spool.note(item._dict, at)  # noqa: SLF001 - as_dict() would copy it

    return add


def _write_chunk(original: Callable[..., Any]) -> Callable[..., Any]:
    def write_chunk(self: Any, chunk: bytes) -> Any:
        spool: Spool | None = self.__dict__.get("saveos_spool")
        if spool is not None:
            spool.chunk(len(chunk))
        return original(self, chunk)

    return write_chunk


def _save(original: Callable[..., Any]) -> Callable[..., Any]:
    def save(self: Any, name: str | None = None, **how: Any) -> None:
        original(self, name, **how)
        spool: Spool | None = self.items_buffer.__dict__.get("saveos_spool")
        if spool is not None and name in (None, self.name):  # else a checkpoint
            spool.finish(self.name)

    return save


def _list_archive(archive: Any, listings: Path) -> Callable[..., Any]:
    """Read the metadata chunk by chunk, as Borg's own listing would not say where an entry lies."""

    def list_archive(_self: Any, args: Any, repository: Any, manifest: Any, key: Any) -> None:
        from borg.helpers import msgpack  # noqa: PLC0415

        found = archive.Archive(repository, key, manifest, args.location.archive)
        spool, unpacker = Spool(listings), msgpack.Unpacker()
        ids = found.metadata.items
        for chunk_id, sealed in zip(ids, repository.get_many(ids), strict=True):
            data = key.decrypt(chunk_id, sealed)
            spool.chunk(len(data))
            unpacker.feed(data)
            while True:
                at = unpacker.tell()
                try:
                    item = next(unpacker)
                except StopIteration:
                    break
                spool.note({name.decode(): value for name, value in item.items()}, at)
        spool.finish(found.name)

    return list_archive
