"""A ZIP made while it is sent: sizes follow their contents, ZIP64 where a number does not fit, names as UTF-8.

Its directory, which comes last, is kept compressed: the standard library's would take half a kilobyte for each file.
Source: APPNOTE.TXT 6.3.10 (PKWARE); extra field 0x5455 of Info-ZIP for times.
"""

from __future__ import annotations

import re
import stat
import struct
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
STORED, DEFLATED = 0, 8
UTF8, SIZES_FOLLOW = 0x800, 0x8
UNIX = 3 << 8
PLAIN, WIDE = 20, 45  # the version that reads it: 4.5 knows ZIP64
BIG, MANY = 0xFFFFFFFF, 0xFFFF
DEFLATE_MAY_GROW = 1024  # a 32-bit entry must hold also what does not get smaller
LEVEL = 1  # the host has other things to do
PROBE_BYTES, WORTH_IT = 64 * 1024, 0.95
FOLDER_BIT = 0x10
_ESCAPE = re.compile(r"[\udc80-\udcff\\:\x00-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into a ZIP. `mode` with the file's type; `modified` seconds since 1970."""

    name: str
    mode: int
    modified: float


def safe_name(path: bytes) -> str:
    """Return a name that leads nowhere else on any system, from which a percent decoder gives back every byte.

    What is no UTF-8, backslashes, colons (of drives and streams) and control characters become a percent sign and two
    hexadecimal digits.
    """
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    return "/".join("%2E%2E" if part == b".." else _escaped(part) for part in parts)


def _escaped(part: bytes) -> str:
    text = part.decode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", text)


class Zip:
    """Writes one ZIP, entry by entry."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """Write to this."""
        self._write = write
        self._offset = self._count = self._directory_size = 0
        self._packer = zlib.compressobj(LEVEL)
        self._directory: list[bytes] = []

    def add(self, entry: Entry, content: bytes) -> None:
        """Add a folder, a link (its target is the content), or a small file."""
        name = entry.name.encode() + (b"/" if stat.S_ISDIR(entry.mode) else b"")
        crc, size, start = zlib.crc32(content), len(content), self._offset
        moment, extra = _dos(entry.modified), _unix_time(entry.modified)
        head = LOCAL.pack(b"PK\3\4", PLAIN, UTF8, STORED, *moment, crc, size, size, len(name), len(extra))
        self._emit(head + name + extra + content)
        self._list(entry, name, UTF8, STORED, crc, size, size, start)

    def add_large(self, entry: Entry, parts: Iterable[bytes | memoryview], size: int) -> None:
        """Add a file of a known size, in parts."""
        name, start = entry.name.encode(), self._offset
        is_wide = size + size // DEFLATE_MAY_GROW + DEFLATE_MAY_GROW > BIG
        extra = _unix_time(entry.modified) + (struct.pack("<2H2Q", 1, 16, 0, 0) if is_wide else b"")
        flags, version, none = UTF8 | SIZES_FOLLOW, WIDE if is_wide else PLAIN, BIG if is_wide else 0
        moment = _dos(entry.modified)
        head = LOCAL.pack(b"PK\3\4", version, flags, DEFLATED, *moment, 0, none, none, len(name), len(extra))
        self._emit(head + name + extra)
        packer, crc, begin = None, 0, self._offset
        for part in parts:
            if packer is None:
                packer = zlib.compressobj(_level(part), zlib.DEFLATED, -zlib.MAX_WBITS)
            crc = zlib.crc32(part, crc)
            self._emit(packer.compress(part))
        self._emit((packer or zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)).flush())
        packed = self._offset - begin
        self._emit(struct.pack("<4sI2Q" if is_wide else "<4s3I", b"PK\7\x08", crc, packed, size))
        self._list(entry, name, flags, DEFLATED, crc, packed, size, start)

    def close(self, comment: str = "") -> None:
        """Write the directory."""
        start = self._offset
        self._directory.append(self._packer.flush())
        unpacker = zlib.decompressobj()
        for part in self._directory:
            self._emit(unpacker.decompress(part))
        size, count, end = self._offset - start, self._count, self._offset
        if count >= MANY or size >= BIG or start >= BIG:
            self._emit(END64.pack(b"PK\6\6", END64.size - 12, UNIX | WIDE, WIDE, 0, 0, count, count, size, start))
            self._emit(LOCATOR.pack(b"PK\6\7", 0, end, 1))
        said = comment.encode()[:MANY]
        few = min(count, MANY)
        self._emit(END.pack(b"PK\5\6", 0, 0, few, few, min(size, BIG), min(start, BIG), len(said)) + said)

    def _list(  # noqa: PLR0913, PLR0917 - a record of the directory has these
        self, entry: Entry, name: bytes, flags: int, method: int, crc: int, packed: int, size: int, start: int
    ) -> None:
        wide = [number for number in (size, packed, start) if number >= BIG]
        extra = _unix_time(entry.modified)
        if wide:
            extra += struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide)
        version = WIDE if wide else PLAIN
        attributes = (entry.mode & MANY) << 16 | (FOLDER_BIT if stat.S_ISDIR(entry.mode) else 0)
        record = CENTRAL.pack(
            b"PK\1\2", UNIX | version, version, flags, method, *_dos(entry.modified), crc, min(packed, BIG),
            min(size, BIG), len(name), len(extra), 0, 0, 0, attributes, min(start, BIG),
        )  # fmt: skip
        self._directory.append(self._packer.compress(record + name + extra))
        self._count += 1

    def _emit(self, data: bytes) -> None:
        if data:
            self._offset += len(data)
            self._write(data)


def _level(part: bytes | memoryview) -> int:
    """Return how hard to try, by a file's beginning: most large files are compressed already."""
    probe = part[:PROBE_BYTES]
    return LEVEL if len(zlib.compress(probe, LEVEL)) < len(probe) * WORTH_IT else 0


def _dos(seconds: float) -> tuple[int, int]:
    """Return (time, date) as DOS has them, in UTC: what is exact stands in the extra field."""
    moment = datetime.fromtimestamp(min(max(seconds, 315532800.0), 4354819198.0), UTC)  # 1980 to 2107
    return (
        moment.hour << 11 | moment.minute << 5 | moment.second // 2,
        (moment.year - 1980) << 9 | moment.month << 5 | moment.day,
    )


def _unix_time(seconds: float) -> bytes:
    fitting = int(min(max(seconds, -(2**31)), 2**31 - 1))
    return struct.pack("<2HBi", 0x5455, 5, 1, fitting)
