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
from saveos.offsite import hands, indexes, layout, segments, table
from saveos.offsite.desk import listed, numbers_there, read_manifest
from saveos.offsite.model import Generation, Stored
from saveos.offsite.objects import Listed
from saveos.offsite.segments import Local
from saveos.offsite.upload import Sending, Uploader

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from saveos.offsite.desk import Desk
    from saveos.offsite.layout import Manifest

FAR_AHEAD = 10**12
_NOWHERE = Listed(key="", bytes=-1, modified_at=datetime.min.replace(tzinfo=UTC))


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a copy sent."""

    generation: Generation
    sent_bytes: int
    sent_count: int


class _Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that is in the store. `sent_bytes`: that travelled for it now; `is_known`: it was noted before."""

    stored: Stored
    sent_bytes: int = 0
    is_known: bool = True


def copy(desk: Desk, source: Path, manifest: Manifest) -> Copied:
    """Copy what lies in `source`, which nobody changes; `manifest` has all but number and segments.

    Raises StorageError, RepositoryDamaged, Stopped, OSError.
    """
    known = table.generations(desk.database.read, desk.store.id, desk.repository.agent_id)
    stored = _checked(desk, table.segments(desk.database.read, desk.store.id, desk.repository.agent_id))
    sources = segments.of_folder(source)
    index = indexes.chosen(stored, known, manifest, source, sources)
    sources += [index] if isinstance(index, Local) else []
    brought = _bring(desk, sources, stored)
    brought += [_Brought(stored=index)] if isinstance(index, Stored) else []
    if known:
        _require_no_loss(desk, known[0], {one.stored.key for one in brought})
    held = _locked(desk, [one.stored for one in brought])
    is_same = all(one.is_known for one in brought) and bool(known) and _is_same(desk, known[0], manifest)
    return Copied(
        generation=known[0] if is_same else _publish(desk, manifest, held, known),
        sent_bytes=sum(one.sent_bytes for one in brought),
        sent_count=sum(not one.is_known for one in brought),
    )


def _require_no_loss(desk: Desk, newest: Generation, keys: set[str]) -> None:
    """Refuse to copy a repository that lost something of the newest generation, though nothing of ours removed it.

    A copy of what is damaged would stand before the whole ones, and in the end replace them.
    """
    repository = desk.repository
    is_compacted = repository.compacted_at is not None and repository.compacted_at >= newest.made_at
    if is_compacted or repository.generation != newest.life:
        return
    stored = table.segments(desk.database.read, desk.store.id, repository.agent_id)
    segments_of_it = (one for one in stored if one.last_generation == newest.number and not layout.is_index(one.key))
    lost = [one.number for one in segments_of_it if one.key not in keys]
    if lost:
        message = f"{len(lost)} segments of the repository, the first of them {lost[0]}, are gone or altered here."
        raise RepositoryDamaged(f"{message} The copy has them: nothing is copied over it.")


def _bring(desk: Desk, sources: Sequence[Local], stored: Sequence[Stored]) -> list[_Brought]:
    """Bring there what is not: by size and time it is known what is, else by its hash. Each one is noted at once.

    `stored`: as the store itself has it, so that what somebody deleted there is sent again.
    """
    by_file = {
        (one.number, one.bytes, one.mtime_ns, layout.is_index(one.key)): one for one in stored if not one.is_broken
    }
    brought, unknown = [], []
    for local in sources:
        found = by_file.get((local.number, local.bytes, local.mtime_ns, local.is_index))
        (brought.append(_Brought(stored=found)) if found else unknown.append(local))
    if not unknown:
        return brought
    carrier = _Carrier(desk, {one.key: one for one in stored}, sum(local.bytes for local in unknown))
    for one in hands.each(carrier.bring, unknown, desk.is_cancelled):
        brought.append(one)
        _note(desk, [one.stored])
    carrier.uploader.tidy()
    return brought


def _checked(desk: Desk, stored: list[Stored]) -> list[Stored]:
    """Call broken what is not in the store with its size, or not in this version."""
    there = listed(desk, with_versions=any(one.version_id for one in stored)) if stored else {}
    return [
        msgspec.structs.replace(
            one, is_broken=one.is_broken or there.get((one.key, one.version_id), _NOWHERE).bytes != one.bytes
        )
        for one in stored
    ]


class _Carrier:
    """Hashes segments, and sends those that are not in the store. By any thread."""

    def __init__(self, desk: Desk, by_key: Mapping[str, Stored], size: int) -> None:
        """`by_key`: what is known to be in the store, or to be broken there; `size`: of all that is to be looked at."""
        self._desk, self._by_key, self._size, self._done = desk, by_key, size, 0
        self._lock = desk.lock()
        self.uploader = Uploader(desk.bucket, desk.folder, self._lock, self._hear)

    def bring(self, local: Local) -> _Brought:
        """Hash a segment and send it, unless it is there."""
        sha256 = segments.digest(local.path, self._desk.is_cancelled)
        key = local.key(sha256)
        before = self._by_key.get(key)
        if before is not None and not before.is_broken:
            self._hear(local.bytes)
            return _Brought(stored=msgspec.structs.replace(before, mtime_ns=local.mtime_ns))
        whole = layout.below(self._desk.folder, key)
        sending = Sending(path=local.path, key=whole, bytes=local.bytes, sha256=sha256, is_anew=before is not None)
        sent = self.uploader.send(sending)
        stored = Stored(
            number=local.number,
            bytes=local.bytes,
            mtime_ns=local.mtime_ns,
            sha256=sha256,
            key=key,
            version_id=sent.version_id,
            locked_until=self._lock.until if self._lock and sent.is_locked else None,
            first_generation=before.first_generation if before else 0,
            last_generation=before.last_generation if before else 0,
        )
        return _Brought(stored=stored, sent_bytes=sent.sent_bytes, is_known=False)

    def _hear(self, more: int) -> None:
        self._done += more  # a number that is a little late harms nothing
        self._desk.hear("uploading", self._done * 1000 // max(1, self._size))


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
    there = set(numbers_there(desk))  # a former appliance's, too; and what somebody wrote far ahead, which is no end
    number = 1 + max([one.number for one in known] + [other for other in there if other < FAR_AHEAD], default=0)
    while number in there:
        number += 1
    everything = [
        layout.Part(number=one.number, bytes=one.bytes, sha256=one.sha256, key=one.key, version_id=one.version_id)
        for one in sorted(held, key=lambda one: one.number)
    ]
    parts = tuple(part for part in everything if not layout.is_index(part.key))
    index = next((part for part in everything if layout.is_index(part.key)), None)
    whole = msgspec.structs.replace(manifest, number=number, segments=parts, index=index)
    content, key, lock = layout.encoded(whole, desk.column_key), layout.generation_key(number), desk.lock()
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
    _note(desk, [], generation, [part.key for part in everything])
    return generation


def _note(
    desk: Desk, changed: Sequence[Stored], generation: Generation | None = None, keys: Sequence[str] = ()
) -> None:
    """Keep segments as they are now, and a generation with the keys of those that it needs."""
    store_id, agent_id = desk.store.id, desk.repository.agent_id

    def write(connection: sqlite3.Connection) -> None:
        table.put_segments(connection, store_id, agent_id, changed)
        if generation is not None:
            table.put_generation(connection, store_id, agent_id, generation)
            table.need(connection, store_id, agent_id, generation.number, keys)

    desk.database.write(write)
