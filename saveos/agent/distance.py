"""Pieces of a repository that lies elsewhere, asked for over a socket in a folder: whoever answers has the way there.

So a process that holds a key needs no network, and the one that has the network no key. A request is a segment, a first
byte and a count; the answer a word, a count and so many bytes, fewer at the segment's end.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import OrderedDict
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET = "line"
REQUEST = struct.Struct(">QQI")
ANSWER = struct.Struct(">BI")
BLOCK = 128 * 1024  # as much as a chunk of metadata
AHEAD_BLOCKS = 32  # at once, of what is read one after the other
KEPT_BLOCKS = 512


class Word(IntEnum):
    """How a request was answered."""

    HERE = 0
    MISSING = 1  # it is not there any more
    UNREACHED = 2  # nobody could look


class Missing(Exception):
    """A segment is not where it should be."""


class Unreached(Exception):
    """Nobody can tell now what a segment holds."""


class Line:
    """The way to whoever answers; blocks that came are kept for a while. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Connect. Raises Unreached."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._blocks: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._following = (-1, -1)  # what comes behind the block that was asked for last
        self._ahead = 1
        try:
            with reachable(folder) as path:
                self._socket.connect(path)
        except OSError as error:
            self._give_up(error)

    def read(self, segment: int, first: int, count: int) -> bytes:
        """Return so many bytes of a segment, fewer at its end. Raises Missing, Unreached."""
        found = bytearray()
        while len(found) < count:
            number, offset = divmod(first + len(found), BLOCK)
            wanted = -(-(offset + count - len(found)) // BLOCK)
            part = self._block(segment, number, wanted)[offset : offset + count - len(found)]
            if not part:
                break
            found += part
        return bytes(found)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _block(self, segment: int, number: int, wanted: int) -> bytes:
        """Return a block; what is not here comes together with the `wanted` that are needed, or ahead."""
        if (segment, number) not in self._blocks:
            is_following = (segment, number) == self._following
            self._ahead = min(2 * self._ahead, AHEAD_BLOCKS) if is_following else 1
            self._fetch(segment, number, max(wanted, self._ahead))
        self._blocks.move_to_end((segment, number))
        return self._blocks[segment, number]

    def _fetch(self, segment: int, number: int, count: int) -> None:
        try:
            self._socket.sendall(REQUEST.pack(segment, number * BLOCK, count * BLOCK))
            word, size = ANSWER.unpack(self._exactly(ANSWER.size))
            data = self._exactly(size)
        except OSError as error:
            self._give_up(error)
        if word == Word.MISSING:
            raise Missing(segment)
        if word != Word.HERE or size > count * BLOCK:
            self._give_up(None)
        for step in range(count):
            self._blocks[segment, number + step] = data[step * BLOCK : (step + 1) * BLOCK]
        self._following = segment, number + count
        while len(self._blocks) > max(KEPT_BLOCKS, count):
            self._blocks.popitem(last=False)

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            part = self._socket.recv(min(size - len(found), 1 << 20))
            if not part:
                raise ConnectionResetError
            found += part
        return bytes(found)

    def _give_up(self, error: OSError | None) -> NoReturn:
        """Hang up for good: who asks for a thousand pieces is not to wait for each of them."""
        self._socket.close()
        message = "The store of the copy cannot be reached."
        raise Unreached(message) from error


@contextlib.contextmanager
def reachable(folder: Path) -> Iterator[str]:
    """Give a path to the socket in a folder, however long the folder's own is: 108 bytes are all that one may have."""
    if not Path("/proc/self/fd").is_dir():
        yield str(folder / SOCKET)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
