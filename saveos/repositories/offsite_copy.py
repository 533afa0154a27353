"""Copies a repository to the store: its segments first, the manifest of the generation last.

Whatever interrupts it, the generation before is whole: nothing is written over, and what has arrived is noted segment
by segment. The next one goes on from there.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import ObjectAltered, ObjectMissing, RepositoryDamaged
from saveos.repositories import offsite_hands as hands
from saveos.repositories import offsite_layout as layout
from saveos.repositories import offsite_segments, table_offsite
from saveos.repositories.offsite_desk import listed, numbers_there, read_manifest
from saveos.repositories.offsite_model import Generation, Stored
from saveos.repositories.offsite_segments import Local
from saveos.repositories.offsite_store import Listed
from saveos.repositories.offsite_upload import Sending, Uploader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from saveos.repositories.offsite_desk import Desk
    from saveos.repositories.offsite_layout import Manifest

_NOWHERE = Listed(key="", bytes=-1, modified_at=datetime.min.replace(tzinfo=UTC))


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy sent. `is_new`: there was something that the generation before did not have."""

    generation: Generation
    sent_bytes: int
    sent_count: int
    is_new: bool


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Segments of the source, as they are in the store, and those that are to go there with their hashes."""

    there: list[Stored]
    missing: list[tuple[Local, Stored]]


def copy(desk: Desk, source: Path, manifest: Manifest) -> Copied:
    """Copy what lies in `source`, which nobody changes; `manifest` has all but number and segments.

    Raises StorageError, RepositoryDamaged, Stopped, OSError.
    """
    known = table_offsite.generations(desk.database.read, desk.store.id, desk.repository.agent_id)
    plan = _planned(desk, offsite_segments.of_folder(source))
    if known:
        _require_no_loss(
            desk, known[0], {one.key for one in [*plan.there, *(stored for _local, stored in plan.missing)]}
        )
    sent_bytes, arrived = _send(desk, plan)
    held = _locked(desk, [*plan.there, *arrived])
    if known and not arrived and _is_same(desk, known[0], manifest):
        generation = known[0]
    else:
        generation = _publish(desk, manifest, held, known)
    return Copied(
        generation=generation,
        sent_bytes=sent_bytes,
        sent_count=len(arrived),
        is_new=not known or generation.number != known[0].number,
    )


def _require_no_loss(desk: Desk, newest: Generation, keys: set[str]) -> None:
    """Refuse to copy a repository that lost something of the newest generation, though nothing of ours removed it.

    A copy of what is damaged would stand before the whole ones, and in the end replace them.
    """
    repository = desk.repository
    is_compacted = repository.compacted_at is not None and repository.compacted_at >= newest.made_at
    if is_compacted or repository.generation != newest.life:
        return
    stored = table_offsite.segments(desk.database.read, desk.store.id, repository.agent_id)
    lost = [one.number for one in stored if one.last_generation == newest.number and one.key not in keys]
    if lost:
        message = f"{len(lost)} segments of the repository, the first of them {lost[0]}, are gone or altered here."
        raise RepositoryDamaged(f"{message} The copy has them: nothing is copied over it.")


def _planned(desk: Desk, sources: Sequence[Local]) -> _Plan:
    """Tell what is in the store already: by size and time what is known, by its hash what is not.

    The store itself is asked, too: what somebody deleted there is sent again.
    """
    stored = _checked(desk, table_offsite.segments(desk.database.read, desk.store.id, desk.repository.agent_id))
    by_file = {(one.number, one.bytes, one.mtime_ns): one for one in stored if not one.is_broken}
    by_key = {one.key: one for one in stored}
    there, unknown = [], []
    for local in sources:
        found = by_file.get((local.number, local.bytes, local.mtime_ns))
        (there.append(found) if found else unknown.append(local))
    missing: list[tuple[Local, Stored]] = []
    size, done = sum(local.bytes for local in unknown), 0
    work = lambda local: (local, offsite_segments.digest(local.path, desk.is_cancelled))  # noqa: E731
    for local, sha256 in hands.each(work, unknown, desk.is_cancelled, hands=2):
        done += local.bytes
        desk.hear("hashing", done * 1000 // max(1, size))
        key = layout.segment_key(local.number, sha256)
        before = by_key.get(key)
        if before is not None and not before.is_broken and before.bytes == local.bytes:
            there.append(msgspec.structs.replace(before, mtime_ns=local.mtime_ns))
        else:
            fresh = Stored(number=local.number, bytes=local.bytes, mtime_ns=local.mtime_ns, sha256=sha256, key=key)
            missing.append((local, _taking_over(fresh, before)))
    return _Plan(there=there, missing=missing)


def _checked(desk: Desk, stored: list[Stored]) -> list[Stored]:
    """Call broken what is not in the store with its size, or not in this version."""
    there = listed(desk, with_versions=any(one.version_id for one in stored)) if stored else {}
    return [
        msgspec.structs.replace(
            one, is_broken=one.is_broken or there.get((one.key, one.version_id), _NOWHERE).bytes != one.bytes
        )
        for one in stored
    ]


def _taking_over(fresh: Stored, before: Stored | None) -> Stored:
    """Keep of a segment that is to be sent again which generations need it."""
    if before is None:
        return fresh
    return msgspec.structs.replace(
        fresh, first_generation=before.first_generation, last_generation=before.last_generation, is_broken=True
    )


def _send(desk: Desk, plan: _Plan) -> tuple[int, list[Stored]]:
    """Send what is missing; note each segment once it is there. Return the bytes sent and the segments."""
    size, count = sum(local.bytes for local, _stored in plan.missing), _Count()
    lock = desk.lock()
    uploader = Uploader(
        desk.bucket, desk.folder, lock, lambda more: desk.hear("uploading", count.add(more) * 1000 // max(1, size))
    )

    def work(item: tuple[Local, Stored]) -> tuple[int, Stored]:
        local, stored = item
        key = layout.below(desk.folder, stored.key)
        sending = Sending(path=local.path, key=key, bytes=local.bytes, sha256=stored.sha256, is_anew=stored.is_broken)
        sent = uploader.send(sending)
        until = lock.until if lock and sent.is_locked else None
        return sent.sent_bytes, msgspec.structs.replace(
            stored, version_id=sent.version_id, locked_until=until, is_broken=False
        )

    sent_bytes, arrived = 0, list[Stored]()
    for more, stored in hands.each(work, plan.missing, desk.is_cancelled):
        sent_bytes += more
        arrived.append(stored)
        _note(desk, [stored])
    uploader.tidy()
    return sent_bytes, arrived


class _Count:
    """Adds up what several hands did; a number that is a little late harms nothing."""

    def __init__(self) -> None:
        self._done = 0

    def add(self, more: int) -> int:
        self._done += more
        return self._done


def _locked(desk: Desk, held: list[Stored]) -> list[Stored]:
    """Lock for longer what is not locked for as long as it is kept."""
    lock = desk.lock()
    if lock is None:
        return held
    soon = clock.now() + desk.keep
    short = [one for one in held if one.locked_until is None or one.locked_until < soon]

    def work(stored: Stored) -> Stored:
        desk.bucket.lock(layout.below(desk.folder, stored.key), stored.version_id, lock)
        return msgspec.structs.replace(stored, locked_until=lock.until)

    longer = {}
    for stored in hands.each(work, short, desk.is_cancelled):
        longer[stored.key] = stored
        _note(desk, [stored])
        desk.hear("locking", len(longer) * 1000 // len(short))
    return [longer.get(one.key, one) for one in held]


def _is_same(desk: Desk, newest: Generation, manifest: Manifest) -> bool:
    """Return whether the newest generation shows this commit of this life with these snapshots."""
    try:
        before = read_manifest(desk.bucket, desk.folder, newest)
    except (ObjectMissing, ObjectAltered):
        return False
    return (before.moment, before.life, before.snapshots) == (manifest.moment, manifest.life, manifest.snapshots)


def _publish(desk: Desk, manifest: Manifest, held: list[Stored], known: Sequence[Generation]) -> Generation:
    """Write the manifest, then note it: only now there is a new generation."""
    number = 1 + max([one.number for one in known] + numbers_there(desk), default=0)
    parts = tuple(
        layout.Part(number=one.number, bytes=one.bytes, sha256=one.sha256, key=one.key, version_id=one.version_id)
        for one in sorted(held, key=lambda one: one.number)
    )
    whole = msgspec.structs.replace(manifest, number=number, segments=parts)
    content, key, lock = layout.encoded(whole), layout.generation_key(number), desk.lock()
    sha256 = hashlib.sha256(content).hexdigest()
    version = desk.bucket.put(layout.below(desk.folder, key), content, lock=lock, sha256=sha256)
    generation = Generation(
        number=number,
        made_at=manifest.made_at,
        moment=manifest.moment,
        life=manifest.life,
        bytes=sum(part.bytes for part in parts),
        segments_count=len(parts),
        key=key,
        sha256=sha256,
        version_id=version,
        locked_until=lock.until if lock else None,
        snapshots_count=len(manifest.snapshots),
    )
    _note(desk, held, generation)
    return generation


def _note(desk: Desk, held: Sequence[Stored], generation: Generation | None = None) -> None:
    store_id, agent_id = desk.store.id, desk.repository.agent_id

    def write(connection: sqlite3.Connection) -> None:
        table_offsite.put_segments(connection, store_id, agent_id, held)
        if generation is not None:
            table_offsite.put_generation(connection, store_id, agent_id, generation)
            table_offsite.need(connection, store_id, agent_id, generation.number, (one.key for one in held))

    desk.database.write(write)
