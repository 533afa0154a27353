"""The items of a Borg archive, found in its stream of metadata without unpacking all of it.

Nothing in the stream says where an item begins, and everybody on the host may put bytes into it: names, extended
attributes. So an item counts in two ways only. `find_file` reads forwards from a list of chunks to the path behind it,
and Borg writes what stands between the two. Ids of chunks are keyed hashes that nobody on the host can know: one that
the repository holds was not made up, and whoever calls looks there. `items` walks from the stream's first byte, item by
item. Source: borg/item.pyx and borg/archive.py, 1.4.5.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, Protocol

import msgpack

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

CHUNKS_KEY, PATH_KEY = b"\xa6chunks", b"\xa4path"
# What Borg writes of an item from its chunks to its path: in this order, not all of it always.
BETWEEN = (b"chunks_healthy", b"ctime", b"gid", b"group", b"hardlink_master", b"mode", b"mtime")
ID_BYTES = 32
ENTRY_FIELDS = 3  # id, size, compressed size
FIRST_CHUNKS = 2  # to each side of the hint; then four times as many each time
LONG_BYTES = 1024**2  # of one item: much more than any but a very large file has
LENGTH_LIMIT = 2**31 - 1
CHUNKS_LIMIT = 2**25  # of one file: 64 TiB; the room for them is taken before they have come
BACK_LIMIT_BYTES = 32 * 1024**2  # of a list of chunks before its path: a file of more than a terabyte


class Stream(Protocol):
    """The chunks of an archive's metadata."""

    count: int

    def fetch(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Give these chunks in their order."""


def needle(path: bytes) -> bytes:
    """Return how a path stands in the stream: its key and itself, packed as Borg does."""
    return PATH_KEY + bytes(msgpack.packb(path, use_bin_type=False))


def find_file(stream: Stream, path: bytes, place: int | None) -> tuple[dict[bytes, Any] | None, bool]:
    """Look for a regular file that has content, around `place` first.

    Return its item from its chunks on, and whether the path was seen at all: if it was, but there is no such item,
    only `items` can tell what it is. An item of which the repository does not hold the first chunk counts as none. What
    stands before the chunks (flags and ACLs) is left out.
    """
    wanted, is_seen = needle(path), False
    for first, end in around(stream.count, place):
        for number, offset in _hits(stream, first, end, wanted):
            is_seen = True
            item = _read_back(stream, number, offset, wanted)
            if item is not None:
                return item, True
        if is_seen:
            return None, True
    return None, False


def around(count: int, place: int | None) -> Iterator[tuple[int, int]]:
    """Give parts of 0…count that grow outwards from a place; without one, all of it at once."""
    if place is None or place >= count:
        yield 0, count
        return
    low, high, step = max(0, place - FIRST_CHUNKS), min(count, place + FIRST_CHUNKS + 1), FIRST_CHUNKS
    yield low, high
    while low > 0 or high < count:
        step *= 4
        if high < count:
            yield high, min(count, high + step)
            high = min(count, high + step)
        if low > 0:
            yield max(0, low - step), low
            low = max(0, low - step)


def items(stream: Stream, marks: Sequence[bytes]) -> Iterator[tuple[int, dict[bytes, Any]]]:
    """Give every item that holds one of these bytes, and others beside them, with the chunk in which each ends.

    Raises Damaged when the stream is not made of items.
    """
    pieces: list[bytes] = []  # from where an item begins that is not whole yet
    size = enough = 0
    for number, data in enumerate(stream.fetch(range(stream.count))):
        pieces.append(data)
        size += len(data)
        if size < enough and number + 1 < stream.count:
            continue
        buffer = b"".join(pieces)
        end = yield from _whole_items(buffer, marks, number)
        pieces, size = [buffer[end:]], len(buffer) - end
        enough = size + size // 2 if size > LONG_BYTES else 0  # else a long item would be begun anew with each chunk
    if size:
        raise Damaged


def _whole_items(
    buffer: bytes, marks: Sequence[bytes], number: int
) -> Generator[tuple[int, dict[bytes, Any]], None, int]:
    """Give the items of a buffer when it holds a mark; return where those that are whole end. Raises Damaged."""
    is_worth_it = any(mark in buffer for mark in marks)
    unpacker = _unpacker(buffer)
    end = 0
    try:
        while True:
            if is_worth_it:
                item = unpacker.unpack()
                if not (isinstance(item, dict) and isinstance(item.get(b"path"), bytes)):
                    raise Damaged
                end = unpacker.tell()
                yield number, item
            else:
                unpacker.skip()
                end = unpacker.tell()
    except msgpack.OutOfData:
        return end
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # TypeError: a map is the key of a map
        raise Damaged from error


class Damaged(Exception):
    """The archive is not as Borg wrote it."""


def _unpacker(data: bytes) -> Any:
    """Return what unpacks this, which may end in the middle: lengths in it are of what is still to come, too."""
    unpacker = msgpack.Unpacker(
        use_list=False,
        raw=True,
        strict_map_key=False,
        max_buffer_size=len(data),
        max_str_len=LENGTH_LIMIT,
        max_bin_len=LENGTH_LIMIT,
        max_map_len=LENGTH_LIMIT,
        max_array_len=CHUNKS_LIMIT,
    )
    unpacker.feed(data)
    return unpacker


def _hits(stream: Stream, first: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Give where these bytes begin, in these chunks: (chunk, offset in it). They may end in the next one."""
    pieces = stream.fetch(range(first, min(stream.count, end + 1)))
    data = next(pieces, b"")
    for number in range(first, end):
        following = next(pieces, b"")
        joined = data + following[: len(wanted) - 1]
        at = joined.find(wanted)
        while at >= 0:
            yield number, at
            at = joined.find(wanted, at + 1)
        data = following


def _read_back(stream: Stream, number: int, offset: int, wanted: bytes) -> dict[bytes, Any] | None:
    """Return the item from its chunks on whose path stands there, if it is a regular file with content."""
    (text,) = stream.fetch((number,))
    text = text[:offset]
    while (begin := text.rfind(CHUNKS_KEY)) < 0:
        if not number or len(text) > BACK_LIMIT_BYTES:
            return None
        number -= 1
        (before,) = stream.fetch((number,))
        text = before + text
    item = _parse(text[begin:])
    if item is None or not stat.S_ISREG(item.get(b"mode", 0)):
        return None
    item[b"path"] = msgpack.unpackb(wanted[len(PATH_KEY) :], raw=True)
    return item


def _parse(text: bytes) -> dict[bytes, Any] | None:
    """Return what Borg wrote from an item's chunks up to its path, if it is that and nothing else."""
    unpacker = _unpacker(text)
    item: dict[bytes, Any] = {}
    last = -1
    try:
        if unpacker.unpack() != b"chunks" or not _is_content(chunks := unpacker.unpack()):
            return None
        item[b"chunks"] = chunks
        while unpacker.tell() < len(text):
            key = unpacker.unpack()
            if key not in BETWEEN or BETWEEN.index(key) <= last:
                return None
            last = BETWEEN.index(key)
            item[key] = unpacker.unpack()
    except (msgpack.OutOfData, ValueError, TypeError, msgpack.UnpackException):
        return None
    return item if isinstance(item.get(b"mode"), int) else None


def _is_content(chunks: Any) -> bool:
    return (
        isinstance(chunks, tuple)
        and len(chunks) > 0
        and all(
            isinstance(entry, tuple)
            and len(entry) == ENTRY_FIELDS
            and isinstance(entry[0], bytes)
            and len(entry[0]) == ID_BYTES
            and isinstance(entry[1], int)
            and entry[1] >= 0
            for entry in chunks
        )
    )
