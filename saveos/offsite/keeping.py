"""Lets go of old generations, and of the segments that no kept one needs. Nothing goes that is not understood.

Manifests go first: a segment is only deleted once no manifest names it. While the repository is frozen, or a manifest
lies in the bucket that the database does not know, nothing goes at all. What is no segment of ours, such as a mark that
hides one, goes after a day.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import ObjectLocked
from saveos.offsite import layout, table
from saveos.offsite.desk import listed, numbers_there

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from saveos.offsite.desk import Desk
    from saveos.offsite.model import Generation, Stored

STRANGE_AFTER = timedelta(days=1)  # what nobody knows of may be on its way for so long


class LetGo(msgspec.Struct, frozen=True, kw_only=True):
    """What went. `locked_count`: objects that the store still keeps."""

    generations_count: int = 0
    segments_count: int = 0
    freed_bytes: int = 0
    locked_count: int = 0


def generations_to_let_go(known: Sequence[Generation], now: datetime, keep: timedelta) -> list[Generation]:
    """Return those that are older than they are to be kept, but never the newest. `known`: newest first."""
    return [one for one in known[1:] if one.made_at < now - keep]


def let_go(desk: Desk) -> LetGo:
    """Delete what is not to be kept; call it right after a copy. Raises StorageError, Stopped."""
    store_id, agent_id = desk.store.id, desk.repository.agent_id
    known = table.generations(desk.database.read, store_id, agent_id)
    if desk.repository.frozen_at is not None:
        return LetGo()
    if not set(numbers_there(desk)) <= {one.number for one in known}:
        return LetGo()
    going = generations_to_let_go(known, clock.now(), desk.keep)
    gone = [one for one in reversed(going) if _delete_generation(desk, one)]
    kept = [one.number for one in known if one not in gone]
    return _let_segments_go(desk, kept, len(gone), len(going) - len(gone))


def _delete_generation(desk: Desk, generation: Generation) -> bool:
    if generation.locked_until is not None and generation.locked_until > clock.now():
        return False
    try:
        desk.bucket.delete(layout.below(desk.folder, generation.key), generation.version_id)
    except ObjectLocked:
        return False
    store_id, agent_id = desk.store.id, desk.repository.agent_id
    desk.database.write(lambda connection: table.forget_generation(connection, store_id, agent_id, generation.number))
    return True


def _let_segments_go(desk: Desk, kept: list[int], gone_count: int, locked_count: int) -> LetGo:
    """Delete the segments that none of the kept generations needs, and what lies there for no reason."""
    stored = table.segments(desk.database.read, desk.store.id, desk.repository.agent_id)
    idle = {(one.key, one.version_id): one for one in stored if not is_needed(one, kept)}
    needed = {(one.key, one.version_id) for one in stored} - idle.keys()
    there = listed(desk, with_versions=any(one.version_id for one in stored))
    now, freed_bytes, count = clock.now(), 0, 0
    for place, entry in there.items():
        known = idle.get(place)
        is_strange = place not in needed and entry.modified_at < now - STRANGE_AFTER
        if known is None and not is_strange:
            continue
        if (known is not None and known.locked_until and known.locked_until > now) or not _delete(desk, *place):
            locked_count += 1
            needed.add(place)
            continue
        freed_bytes, count = freed_bytes + entry.bytes, count + 1
    _forget(desk, [one.key for place, one in idle.items() if place not in needed])
    return LetGo(generations_count=gone_count, segments_count=count, freed_bytes=freed_bytes, locked_count=locked_count)


def is_needed(stored: Stored, kept: Sequence[int]) -> bool:
    """Return whether a kept generation may need a segment: one of those from its first to its last does.

    What belongs to none arrived for a copy that was cut off, and the one that has just ended did not need it.
    """
    return any(stored.first_generation <= number <= stored.last_generation for number in kept)


def _delete(desk: Desk, key: str, version_id: str) -> bool:
    try:
        desk.bucket.delete(layout.below(desk.folder, key), version_id)
    except ObjectLocked:
        return False
    return True


def _forget(desk: Desk, keys: list[str]) -> None:
    def write(connection: sqlite3.Connection) -> None:
        table.forget_segments(connection, desk.store.id, desk.repository.agent_id, keys)

    desk.database.write(write)
