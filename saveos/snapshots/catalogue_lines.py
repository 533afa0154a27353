"""Read a listing that a host sent, believing nothing: bounds, order and form of every line."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import InvalidRequest
from saveos.protocol_listing import FOLDERS, GONE, KEY_LIMIT_BYTES, LINE_LIMIT_BYTES, SEPARATOR, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LINES_LIMIT = 20_000_000
STEP_BYTES = 256 * 1024
SIZE_LIMIT = 2**62
MODE_LIMIT = 0o10000
PLACE_LIMIT = 2**31
MOMENT_LIMIT = 2**53
_KINDS = frozenset(b"dflhpci")


class MalformedListing(InvalidRequest):
    """No host of ours sends this."""

    code = "malformed-listing"


class MissingParts(InvalidRequest):
    """What was received is not here any more."""

    code = "parts-missing"


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line. `kind`: a letter, "" when the entry is gone. `modified`: ms since 1970."""

    key: bytes
    name: bytes
    kind: str = ""
    size: int = 0
    modified: int | None = None
    mode: int = 0
    place: int = -1

    @property
    def is_gone(self) -> bool:
        """Whether the entry is there no more."""
        return not self.kind

    @property
    def facts(self) -> tuple[str, int, int | None, int]:
        """What makes a version: all but the place."""
        return self.kind, self.size, self.modified, self.mode

    @property
    def is_leaf(self) -> bool:
        """Whether it can hold nothing."""
        return self.kind.encode() not in FOLDERS


def parts_of(folder: Path) -> Iterator[bytes]:
    """Give the parts of a received listing in their order. Raises MissingParts."""
    try:
        paths = sorted(folder.iterdir())
    except FileNotFoundError:
        paths = []
    if not paths or int(paths[-1].name) != len(paths) - 1:
        raise MissingParts("Parts of the listing are lost.")
    for path in paths:
        yield path.read_bytes()


def read(parts: Iterable[bytes]) -> Iterator[Line]:
    """Give the lines of a zlib stream. Raises MalformedListing; holds one line and a step of the stream in memory."""
    last = b""
    for count, raw in enumerate(_raw_lines(parts)):
        line = parse(raw)
        if line.key <= last or count >= LINES_LIMIT:
            raise MalformedListing("The lines of the listing are out of order, or too many.")
        last = line.key
        yield line


def parse(raw: bytes) -> Line:
    """Return a line without its end. Raises MalformedListing."""
    key, _, facts = raw.partition(b"\0")
    if len(key) > KEY_LIMIT_BYTES:
        raise MalformedListing("A path of the listing is too long.")
    try:
        name = name_of(key.rpartition(SEPARATOR)[2])
        if facts == GONE:
            return Line(key=key, name=name)
        words, _, place = facts.rpartition(b" ")
        kind, size, modified, mode = words.split(b" ")
        line = Line(key, name, kind.decode(), int(size), _moment(modified), int(mode, 8), int(place))
    except ValueError as error:
        raise MalformedListing(f"A line of the listing is none: {raw[:100]!r}.") from error
    is_sane = len(kind) == 1 and kind[0] in _KINDS and 0 <= line.size < SIZE_LIMIT and 0 <= line.mode < MODE_LIMIT
    if not is_sane or not -1 <= line.place < PLACE_LIMIT:
        raise MalformedListing(f"A line of the listing is out of bounds: {raw[:100]!r}.")
    return line


def _moment(word: bytes) -> int | None:
    moment = None if word == b"?" else int(word)
    if moment is not None and not -MOMENT_LIMIT < moment < MOMENT_LIMIT:
        return None
    return moment


def _raw_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Inflate step by step: a bomb is met by its lines, one by one."""
    stream, rest = zlib.decompressobj(), b""
    try:
        for part in parts:
            data = part
            while data:
                inflated = rest + stream.decompress(data, STEP_BYTES)
                data = stream.unconsumed_tail
                *lines, rest = inflated.split(b"\n")
                if len(rest) > LINE_LIMIT_BYTES:
                    raise MalformedListing("A line of the listing is too long.")
                yield from lines
            if stream.unused_data:
                raise MalformedListing("The listing goes on after its end.")
    except zlib.error as error:
        raise MalformedListing("The listing cannot be inflated.") from error
    while not stream.eof and (inflated := stream.decompress(b"", STEP_BYTES)):
        *lines, rest = (rest + inflated).split(b"\n")
        yield from lines
    if rest or not stream.eof:
        raise MalformedListing("The listing ends in the middle.")
