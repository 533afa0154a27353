"""SHARED: a listing, which is what a snapshot holds, as lines in an order that both ends merge by. Imports nothing.

A line is `key NUL facts LF`. The key is the path's bytes with the slash as byte 1, so that plain order of lines puts
a folder right before all that it holds; bytes 1, 2 and 10 of a name are byte 2 and one more. Facts are ASCII words:
kind (a letter), size in bytes, modification in ms since 1970 ("?": none), mode in octal, and where the archive has the
entry (the place of its metadata chunk, -1: nowhere). In a difference to another listing, facts "-" mean: gone.
"""

from __future__ import annotations

import re

SEPARATOR = b"\x01"
GONE = b"-"
FOLDER, FILE, LINK, HARD_LINK, FIFO, DEVICE, IMPLIED = b"d", b"f", b"l", b"h", b"p", b"c", b"i"
IMPLIED_FACTS = IMPLIED + b" 0 ? 0 -1"  # a folder of which the archive holds only what is in it
FOLDERS = (FOLDER, IMPLIED)
KEY_LIMIT_BYTES = 4096
LINE_LIMIT_BYTES = KEY_LIMIT_BYTES + 128
SEALED_INFO = b"saveos catalogue v1"  # HKDF info of the key that sealed listings are under

_SPECIAL = re.compile(rb"[\x01\x02\n]")
_ESCAPES = {b"\x01": b"\x02\x03", b"\x02": b"\x02\x04", b"\n": b"\x02\x05"}
_ESCAPED = re.compile(rb"\x02([\x03-\x05])")
_MEANT = {escape[1:]: meant for meant, escape in _ESCAPES.items()}


def key_of(path: bytes) -> bytes:
    """Return the key of a path inside an archive: no leading slash."""
    if _SPECIAL.search(path):
        path = _SPECIAL.sub(lambda found: _ESCAPES[found[0]], path)
    return path.replace(b"/", SEPARATOR)


def name_of(part: bytes) -> bytes:
    """Return the name that a key's part stands for. Raises ValueError for what is no name of any host."""
    name = _ESCAPED.sub(lambda found: _MEANT[found[1]], part) if b"\x02" in part else part
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name or key_of(name) != part:
        raise ValueError("This is no name inside an archive.")
    return name


def path_of(key: bytes) -> bytes:
    """Return the path of a key. Raises ValueError for what is none."""
    return b"/".join(map(name_of, key.split(SEPARATOR)))


def parent_of(key: bytes) -> bytes:
    """Return the key of the folder that an entry lies in; b"" is the root."""
    return key.rpartition(SEPARATOR)[0]


def same_facts(one: bytes, other: bytes) -> bool:
    """Return whether nothing but the place differs: it moves with every other entry and is not worth a journey."""
    return one.rpartition(b" ")[0] == other.rpartition(b" ")[0]
