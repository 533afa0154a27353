"""A tar made while it is sent, with all that Borg kept: PAX headers carry times, attributes, ACLs, names of any bytes.

Compressed by Borg's own zstd, a frame for each block: one after the other they are a .zst file (RFC 8878 § 3).
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

from borg.compress import get_compressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BLOCK_BYTES = 1024 * 1024
LEVEL = 3
BORG_ZSTD = b"\x03\x00"  # in front of what Borg compresses: which compressor it was
RAW_BLOCK_BYTES = 128 * 1024  # RFC 8878 § 3.1.1.2.4
NANOSECONDS = 1_000_000_000
TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class TarZst:
    """Writes one .tar.zst, entry by entry."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Write to this."""
        self._write = write
        self._compressor = get_compressor("zstd", level=LEVEL)
        self._block = bytearray()

    def add(
        self, item: dict[bytes, Any], name: bytes, link: bytes, parts: Iterable[bytes | memoryview], size: int
    ) -> None:
        """Add an item. `link`: of a symbolic link its target, of a file the name in here that it is a hard link to."""
        info = tarfile.TarInfo(_text(name))
        info.type = TYPES[stat.S_IFMT(item[b"mode"])]
        if info.isreg() and link:
            info.type = tarfile.LNKTYPE
        info.size, info.linkname = size, _text(link)
        info.mode = stat.S_IMODE(item[b"mode"])
        info.uid, info.gid = item.get(b"uid", 0), item.get(b"gid", 0)
        info.uname, info.gname = _text(item.get(b"user") or b""), _text(item.get(b"group") or b"")
        if info.ischr() or info.isblk():
            info.devmajor, info.devminor = os.major(item.get(b"rdev", 0)), os.minor(item.get(b"rdev", 0))
        info.pax_headers = _more(item)
        self._emit(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        for part in parts:
            self._emit(part)
        self._emit(bytes(-size % tarfile.BLOCKSIZE))

    def close(self) -> None:
        """Write the end."""
        self._emit(bytes(2 * tarfile.BLOCKSIZE))
        self._flush()

    def _emit(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            room = BLOCK_BYTES - len(self._block)
            self._block += view[:room]
            view = view[room:]
            if len(self._block) >= BLOCK_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._block:
            block = bytes(self._block)
            packed = self._compressor.compress(block)
            self._write(packed[len(BORG_ZSTD) :] if packed.startswith(BORG_ZSTD) else raw_frame(block))
            self._block.clear()


def raw_frame(data: bytes) -> bytes:
    """Return a frame of zstd with data as it is: Borg leaves what does not get smaller. RFC 8878 § 3.1.1."""
    parts = [b"\x28\xb5\x2f\xfd\xa0", len(data).to_bytes(4, "little")]  # one segment; its size in four bytes
    for start in range(0, len(data), RAW_BLOCK_BYTES):
        block = data[start : start + RAW_BLOCK_BYTES]
        is_last = start + RAW_BLOCK_BYTES >= len(data)
        parts += [(len(block) << 3 | is_last).to_bytes(3, "little"), block]
    return b"".join(parts)


def _more(item: dict[bytes, Any]) -> dict[str, str]:
    """Return what an old tar header has no place for, by the keywords that star and GNU tar know."""
    headers = {"mtime": _decimal(nanoseconds(item.get(b"mtime", 0)))}
    for key, keyword in ((b"acl_access", "SCHILY.acl.access"), (b"acl_default", "SCHILY.acl.default")):
        if item.get(key):
            headers[keyword] = _text(item[key])
    for name, value in (item.get(b"xattrs") or {}).items():
        headers[f"SCHILY.xattr.{_text(name)}"] = _text(value or b"")
    return headers


def nanoseconds(raw: Any) -> int:
    """Return a time of Borg's in nanoseconds since 1970: it is bytes where it needs more than 63 bits."""
    return int.from_bytes(raw, "little", signed=True) if isinstance(raw, bytes) else int(raw)


def _decimal(moment: int) -> str:
    sign, moment = ("-", -moment) if moment < 0 else ("", moment)
    return f"{sign}{moment // NANOSECONDS}.{moment % NANOSECONDS:09d}"


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
