"""`saveos-agent mount-archive ARCHIVE FOLDER`: mounts an archive, read-only, and serves it until it is unmounted.

A process of its own, started by `saveos-agent mount` through the tunnel. It says one line of JSON, a ReadHead: that it
is mounted, or why not. On SIGTERM it unmounts.
"""

from __future__ import annotations

import bisect
import errno
import itertools
import os
import signal
import stat
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from borg.helpers import Error

from saveos.agent import engine_items, mount_fuse
from saveos.agent.borg_log import printable
from saveos.agent.engine import PARENT_VARIABLE, end_with
from saveos.agent.engine_archive import Opened, Refused, opened
from saveos.agent.engine_tar import nanoseconds
from saveos.agent.mount_place import NoFuse, NoPlace, Place
from saveos.agent.mount_tree import Node, Tree
from saveos.protocol import EntryKind, ReadHead

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE_BYTES = 64 * 1024**2  # of chunks, up to 8 MiB each
AHEAD_COUNT = 3  # chunks that are fetched before a program that reads on asks for them
FILES_KEPT = 16
MESSAGE_LENGTH = 4000


def main(words: Sequence[str]) -> int:
    """Mount and serve."""
    parent = os.environ.get(PARENT_VARIABLE, "")
    if parent.isdigit():
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    try:
        with Place(words[1]) as place, opened(words[0]) as archive:
            _serve(archive, place)
    except Refused as refusal:
        return _refuse(refusal.code, str(refusal))
    except NoPlace as error:
        return _refuse("usage", str(error))
    except NoFuse as error:
        return _refuse("no-fuse", str(error))
    except engine_items.Damaged:
        return _refuse("damaged", "The snapshot's list of files cannot be read.")
    except OSError as error:
        return _refuse("host-error", str(error))
    return 0


def _serve(archive: Opened, place: Place) -> None:
    tree = grown(archive, Path(os.environ["BORG_BASE_DIR"]))
    descriptor = place.mount()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: place.unmount())
    try:
        _say(ReadHead(kind=EntryKind.FOLDER))
        mount_fuse.Server(descriptor, tree, Contents(archive, tree)).serve()
    except BaseException:
        place.unmount()
        raise
    finally:
        os.close(descriptor)


def grown(archive: Opened, folder: Path | None = None) -> Tree:
    """Return the archive's entries as a tree. Raises Damaged."""
    tree = Tree(folder)
    for _number, item in engine_items.items(archive, (engine_items.PATH_KEY,)):
        if b"part" in item:
            continue  # of a file that a backup was cut short in
        is_other_name = b"source" in item and not stat.S_ISLNK(item.get(b"mode", 0))
        tree.add(
            item[b"path"],
            _node(item),
            item[b"source"].strip(b"/") if is_other_name else None,
            is_master=bool(item.get(b"hardlink_master")),
        )
    return tree


def _node(item: dict[bytes, Any]) -> Node:
    mode = _number(item.get(b"mode"))
    chunks = tuple(tuple(entry) for entry in item.get(b"chunks") or ())
    mtime = nanoseconds(item.get(b"mtime", 0))
    target = item.get(b"source", b"") if stat.S_ISLNK(mode) else b""
    return Node(
        mode=mode,
        uid=_number(item.get(b"uid")),
        gid=_number(item.get(b"gid")),
        size_bytes=len(target) or sum(entry[1] for entry in chunks),
        mtime=mtime,
        atime=nanoseconds(item.get(b"atime", mtime)),
        ctime=nanoseconds(item.get(b"ctime", mtime)),
        device=_number(item.get(b"rdev")),
        target=target,
        xattrs={name: value or b"" for name, value in (item.get(b"xattrs") or {}).items()},
        chunks=chunks,
        is_damaged=b"chunks_healthy" in item,
    )


def _number(raw: Any) -> int:
    return raw if isinstance(raw, int) else 0


class Contents:
    """Reads files piece by piece; the last pieces are kept."""

    def __init__(self, archive: Opened, tree: Tree) -> None:
        """Have read nothing yet."""
        self._archive, self._tree = archive, tree
        self._begins: OrderedDict[int, list[int]] = OrderedDict()  # where each chunk of a file begins
        self._ends: dict[int, int] = {}  # where each of them was read up to
        self._pieces: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Return bytes of a file, fewer only at its end. Raises OSError."""
        node = self._tree.node(number)
        if node.is_damaged:
            raise OSError(errno.EIO, "parts of this file are lost")
        end = min(offset + size, node.size_bytes)
        if offset >= end:
            return b""
        begins = self._begins_of(number, node)
        first = bisect.bisect_right(begins, offset) - 1
        last = bisect.bisect_left(begins, end)
        goes_on = self._ends.get(number) == offset
        self._ends[number] = end
        pieces = self._fetch(node.chunks[first:last], node.chunks[last : last + AHEAD_COUNT] if goes_on else ())
        start = offset - begins[first]
        return b"".join(pieces)[start : start + end - offset]

    def _begins_of(self, number: int, node: Node) -> list[int]:
        begins = self._begins.pop(number, None)
        if begins is None:
            begins = [0, *itertools.accumulate(entry[1] for entry in node.chunks[:-1])]
        self._begins[number] = begins
        if len(self._begins) > FILES_KEPT:
            forgotten, _begins = self._begins.popitem(last=False)
            self._ends.pop(forgotten, None)
        return begins

    def _fetch(self, wanted: Sequence[Any], ahead: Sequence[Any]) -> list[bytes]:
        """Return these pieces; those ahead come along when something has to be fetched anyway."""
        missing = {entry[0]: entry for entry in wanted if entry[0] not in self._pieces}
        if missing:
            missing |= {entry[0]: entry for entry in ahead if entry[0] not in self._pieces}
        entries = list(missing.values())
        try:
            for entry, piece in zip(entries, self._archive.content(entries), strict=True):
                self._pieces[entry[0]] = bytes(piece)
                self._kept_bytes += len(piece)
        except (Refused, Error) as error:
            raise OSError(errno.EIO, str(error)) from error
        found = []
        for entry in wanted:
            self._pieces.move_to_end(entry[0])
            found.append(self._pieces[entry[0]])
        while self._kept_bytes > CACHE_BYTES and len(self._pieces) > 1:
            _id, piece = self._pieces.popitem(last=False)
            self._kept_bytes -= len(piece)
        return found


def _refuse(code: str, message: str) -> int:
    _say(ReadHead(error_code=code, message=printable(message)[:MESSAGE_LENGTH]))
    return 1


def _say(head: ReadHead) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(head) + b"\n")
    sys.stdout.buffer.flush()
