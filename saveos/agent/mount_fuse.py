"""Speaks FUSE with the Linux kernel, read-only: no library between, so that one executable mounts on every machine.

Names are bytes and entries have numbers, as in the kernel. Source: Documentation/filesystems/fuse.rst and
include/uapi/linux/fuse.h (7.31 is spoken; the kernel understands whoever is older).
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, Protocol

from saveos.agent.mount_tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.agent.mount_tree import Tree

MAJOR, MINOR = 7, 31
WANTED = 1 | 1 << 22 | 1 << 23  # FUSE_ASYNC_READ, FUSE_MAX_PAGES, FUSE_CACHE_SYMLINKS
READ_BYTES = 1024**2
BUFFER_BYTES = 256 * 1024  # for what the kernel says: nobody writes
FOREVER = 365 * 86400  # nothing changes here
KEEP_CACHE = 2  # FOPEN_KEEP_CACHE
BLOCK = 512
SECOND = 10**9

HEAD = struct.Struct("<IIQQIIII")
ANSWER = struct.Struct("<IiQ")
INIT = struct.Struct("<IIII")
INITED = struct.Struct("<IIIIHHIIHHII24x")
ATTRIBUTES = struct.Struct("<QQQqqqIIIIIIIIII")
ENTRY = struct.Struct("<QQQQII")
ATTRIBUTED = struct.Struct("<QII")
OPENED = struct.Struct("<QII")
READ = struct.Struct("<QQI")
ENTRY_HEAD = struct.Struct("<QQII")
SIZED = struct.Struct("<II")
SPACE = struct.Struct("<QQQQQIIII24x")

(LOOKUP, FORGET, GETATTR, READLINK, OPEN, READ_FILE, STATFS, RELEASE) = (1, 2, 3, 5, 14, 15, 17, 18)
(GETXATTR, LISTXATTR, FLUSH, START, OPENDIR, READDIR, RELEASEDIR) = (22, 23, 25, 26, 27, 28, 29)
(INTERRUPT, DESTROY, BATCH_FORGET) = (36, 38, 42)
UNANSWERED = frozenset({FORGET, INTERRUPT, BATCH_FORGET})
GONE = frozenset({errno.ENODEV, errno.EBADF})


class Contents(Protocol):
    """Where the bytes of files come from."""

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Return bytes of a file, fewer only at its end. Raises OSError."""


class Server:
    """Answers the kernel until somebody unmounts."""

    def __init__(self, descriptor: int, tree: Tree, contents: Contents) -> None:
        """`descriptor`: of `Place.mount`."""
        self._descriptor, self._tree, self._contents = descriptor, tree, contents
        self._listed: dict[int, list[tuple[bytes, int]]] = {}  # by handle: a folder that somebody reads
        self._handle = 0
        self._answers: dict[int, Callable[[int, bytes], Any]] = {
            START: self._start,
            LOOKUP: self._look_up,
            GETATTR: lambda node, _data: ATTRIBUTED.pack(FOREVER, 0, 0) + self._attributes(node),
            READLINK: lambda node, _data: self._tree.node(node).target,
            OPEN: self._open,
            READ_FILE: self._read,
            STATFS: lambda _node, _data: SPACE.pack(0, 0, 0, len(self._tree), 0, BLOCK, 255, BLOCK, 0),
            OPENDIR: self._open_folder,
            READDIR: self._list,
            RELEASEDIR: self._close_folder,
            RELEASE: lambda _node, _data: b"",
            FLUSH: lambda _node, _data: b"",
            DESTROY: lambda _node, _data: b"",
            GETXATTR: self._attribute,
            LISTXATTR: self._attribute_names,
        }

    def serve(self) -> None:
        """Answer."""
        while True:
            try:
                raw = os.read(self._descriptor, BUFFER_BYTES)
            except OSError as error:
                if error.errno in GONE:
                    return
                if error.errno in (errno.ENOENT, errno.EAGAIN):  # taken back before we had it
                    continue
                raise
            _size, code, unique, node, *_who = HEAD.unpack_from(raw)
            if code not in UNANSWERED:
                self._say(unique, *self._answer(code, node, raw[HEAD.size :]))

    def _answer(self, code: int, node: int, data: bytes) -> tuple[int, bytes]:
        answer = self._answers.get(code)
        if answer is None:
            return -errno.ENOSYS, b""
        try:
            return 0, answer(node, data)
        except KeyError:
            return -errno.ENOENT, b""
        except OSError as error:
            return -(error.errno or errno.EIO), b""

    def _say(self, unique: int, error: int, data: bytes) -> None:
        try:
            os.writev(self._descriptor, [ANSWER.pack(ANSWER.size + len(data), error, unique), data])
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, *GONE):  # nobody waits for it any more
                raise

    def _start(self, _node: int, data: bytes) -> bytes:
        major, minor, ahead, flags = INIT.unpack_from(data)
        if major != MAJOR or minor < MINOR:
            raise OSError(errno.EPROTO, "this kernel's FUSE is too old")
        pages = READ_BYTES // os.sysconf("SC_PAGESIZE")
        return INITED.pack(
            MAJOR, MINOR, min(ahead, READ_BYTES), flags & WANTED, 16, 12, BUFFER_BYTES // 2, 1, pages, 0, 0, 0
        )

    def _look_up(self, node: int, data: bytes) -> bytes:
        found = self._tree.names(node)[data.rstrip(b"\0")]
        return ENTRY.pack(found, 0, FOREVER, FOREVER, 0, 0) + self._attributes(found)

    def _attributes(self, number: int) -> bytes:
        node = self._tree.node(number)
        device = os.minor(node.device) & 0xFF | os.major(node.device) << 8 | (os.minor(node.device) & ~0xFF) << 12
        moments = [divmod(moment, SECOND) for moment in (node.atime, node.mtime, node.ctime)]
        return ATTRIBUTES.pack(
            *(number, node.size_bytes, -(-node.size_bytes // BLOCK)),
            *(seconds for seconds, _rest in moments),
            *(rest for _seconds, rest in moments),
            *(node.mode, self._tree.links(number), node.uid & 0xFFFFFFFF, node.gid & 0xFFFFFFFF),
            *(device & 0xFFFFFFFF, 4096, 0),
        )

    def _open(self, node: int, _data: bytes) -> bytes:
        if self._tree.node(node).is_damaged:  # the kernel would not read one of no size: it would look empty
            raise OSError(errno.EIO, "parts of this file are lost")
        return OPENED.pack(0, KEEP_CACHE, 0)

    def _read(self, node: int, data: bytes) -> bytes:
        _handle, offset, size = READ.unpack_from(data)
        return self._contents.read(node, offset, size)

    def _open_folder(self, node: int, _data: bytes) -> bytes:
        self._handle += 1
        self._listed[self._handle] = [(b".", node), (b"..", ROOT), *self._tree.names(node).items()]
        return OPENED.pack(self._handle, 0, 0)

    def _close_folder(self, _node: int, data: bytes) -> bytes:
        self._listed.pop(READ.unpack_from(data)[0], None)
        return b""

    def _list(self, _node: int, data: bytes) -> bytes:
        handle, offset, size = READ.unpack_from(data)
        said = bytearray()
        entries = self._listed[handle]
        for place in range(offset, len(entries)):
            name, number = entries[place]
            kind = stat.S_IFMT(self._tree.node(number).mode) >> 12
            entry = ENTRY_HEAD.pack(number, place + 1, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(said) + len(entry) > size:
                break
            said += entry
        return bytes(said)

    def _attribute(self, node: int, data: bytes) -> bytes:
        name = data[SIZED.size :].rstrip(b"\0")
        found = self._tree.node(node).xattrs.get(name)
        if found is None:
            raise OSError(errno.ENODATA, "no such attribute")
        return _sized(data, found)

    def _attribute_names(self, node: int, data: bytes) -> bytes:
        return _sized(data, b"".join(name + b"\0" for name in self._tree.node(node).xattrs))


def _sized(asked: bytes, value: bytes) -> bytes:
    """Return a value, or how long it is when that was the question."""
    size, _padding = SIZED.unpack_from(asked)
    if not size:
        return SIZED.pack(len(value), 0)
    if size < len(value):
        raise OSError(errno.ERANGE, "the value is longer")
    return value
