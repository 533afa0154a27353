"""The folders of an archive as a mount needs them: by number, a few dozen bytes of memory for each entry.

What is known of an entry lies in a file without a name; memory holds where, and the names of each folder in one piece.
"""

from __future__ import annotations

import functools
import stat
import tempfile
from array import array
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = 1  # what FUSE calls the root
NUMBER_BYTES = 8
FOLDER_MODE = stat.S_IFDIR | 0o755  # of one that the archive holds entries of, but not itself


class Node(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """An entry. Times in nanoseconds since 1970; `chunks`: (id, bytes, stored bytes) of a regular file."""

    mode: int = FOLDER_MODE
    uid: int = 0
    gid: int = 0
    size_bytes: int = 0
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    device: int = 0
    target: bytes = b""  # of a symbolic link
    xattrs: dict[bytes, bytes] = {}
    chunks: tuple[tuple[bytes, int, int], ...] = ()
    is_damaged: bool = False


class Tree:
    """Entries of one archive, added as it tells them, then read."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: where the file without a name may lie."""
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - as long as the tree
        self._ends = array("Q", [0])
        self._begins = array("Q", [0])
        self._links = array("I", [0])
        self._names: dict[int, bytearray] = {}
        self._folders: dict[bytes, int] = {b"": self._new(Node())}
        self._masters: dict[bytes, int] = {}
        self._names[ROOT] = bytearray()

    def add(self, path: bytes, node: Node, linked_to: bytes | None = None, *, is_master: bool = False) -> None:
        """Add an entry under its path. `linked_to`: the path of the file that it is another name of.

        An entry with the path of an earlier one takes its place; what cannot be a path is left out.
        """
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." in parts or not all(len(part) <= 255 for part in parts):  # noqa: PLR2004 - NAME_MAX
            return
        path = b"/".join(parts)
        if stat.S_ISDIR(node.mode):
            self._set(self._folder(parts), node)
            return
        if not parts:
            return
        number = self._masters.get(linked_to) if linked_to is not None else None
        if number is None:
            is_lost = linked_to is not None and not node.chunks  # its content went with a name that is not there
            number = self._new(msgspec.structs.replace(node, is_damaged=True) if is_lost else node)
        else:
            self._links[number] += 1
        if is_master:
            self._masters[path] = number
        self._enter(self._folder(parts[:-1]), parts[-1], number)

    def node(self, number: int) -> Node:
        """Return an entry. Raises KeyError."""
        if not 0 < number < len(self._begins):
            raise KeyError(number)
        return self._read(number)

    def links(self, number: int) -> int:
        """Return how many names an entry has."""
        return self._links[number]

    def names(self, folder: int) -> dict[bytes, int]:
        """Return the numbers of what a folder holds, by name. Raises KeyError when it is none."""
        return self._parsed(folder)

    def __len__(self) -> int:
        return len(self._begins) - 1

    def _folder(self, parts: list[bytes]) -> int:
        """Return a folder's number; it and those above it are made when the archive has not told of them."""
        path = b"/".join(parts)
        number = self._folders.get(path)
        if number is None:
            above = self._folder(parts[:-1])
            number = self._folders[path] = self._new(Node())
            self._names[number] = bytearray()
            self._enter(above, parts[-1], number)
        return number

    def _new(self, node: Node) -> int:
        self._begins.append(0)
        self._ends.append(0)
        self._links.append(1)
        number = len(self._begins) - 1
        self._set(number, node)
        return number

    def _set(self, number: int, node: Node) -> None:
        at = self._file.seek(0, 2)
        self._file.write(msgspec.msgpack.encode(node))
        self._begins[number], self._ends[number] = at, self._file.tell()

    def _enter(self, folder: int, name: bytes, number: int) -> None:
        self._names[folder] += name + b"\0" + number.to_bytes(NUMBER_BYTES, "big")

    @functools.lru_cache(maxsize=4096)  # noqa: B019 - one tree a process
    def _read(self, number: int) -> Node:
        self._file.seek(self._begins[number])
        raw = self._file.read(self._ends[number] - self._begins[number])
        return msgspec.msgpack.decode(raw, type=Node)

    @functools.lru_cache(maxsize=256)  # noqa: B019 - one tree a process
    def _parsed(self, folder: int) -> dict[bytes, int]:
        return dict(_pairs(self._names[folder]))


def _pairs(raw: bytearray) -> Iterator[tuple[bytes, int]]:
    at = 0
    while at < len(raw):
        end = raw.index(0, at)
        at_next = end + 1 + NUMBER_BYTES
        yield bytes(raw[at:end]), int.from_bytes(raw[end + 1 : at_next], "big")
        at = at_next
