"""What is said to the process that checks a repository, and what it says: light, as everybody may import it."""

from __future__ import annotations

import msgspec

REST_SHARE = 1.0  # seconds of rest for each second of work


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to read. `after`: the last segment that is done; `known`: objects (hex) that were damaged, read first."""

    path: str
    after: int = -1
    known: tuple[str, ...] = ()
    rest_share: float = REST_SHARE


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One damage. `place`: an object's id in hex, or words for bytes that no object of the index lies in.

    `what`: checksum (its bytes are not those that were written), missing, unreadable (the disk says so), index.
    """

    place: str
    what: str
    segment: int


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. `segment`: the last one done; the counts are since the line before.

    `sound`: of the known objects, those that are whole, or gone from the index. `is_end`: nothing is left to read.
    """

    segment: int = -1
    last: int = -1
    read_bytes: int = 0
    objects_count: int = 0
    damages: tuple[Found, ...] = ()
    sound: tuple[str, ...] = ()
    is_end: bool = False
    error: str = ""
