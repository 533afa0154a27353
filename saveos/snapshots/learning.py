"""What the offsite copy knows better than the database: generations that came after the backup the database is from.

Whoever has the store's key can write manifests there. Taken up is what this appliance signed, or the one whose place it
takes; the rest is passed over, whatever number it has.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING

from saveos.database.identifiers import new_id
from saveos.errors import ObjectAltered, ObjectMissing, StorageDenied, StorageUnsupported
from saveos.offsite import layout
from saveos.offsite import table as table_offsite
from saveos.offsite.desk import MANIFEST_LIMIT
from saveos.offsite.model import Generation, Stored
from saveos.protocol import JobId, SnapshotId
from saveos.snapshots import table, table_roll_back
from saveos.snapshots.model import Snapshot, SnapshotKind

if TYPE_CHECKING:
    import sqlite3

    from saveos.offsite.desk import Desk
    from saveos.offsite.layout import KnownSnapshot, Manifest
    from saveos.offsite.objects import Held

log = logging.getLogger("saveos.snapshots")
WHY = "Learned from the offsite copy."


def learn(desk: Desk) -> int:
    """Take up the generations of a host's copy that are not known here, oldest first; return how many.

    Raises StorageError: the store cannot be asked.
    """
    agent_id = desk.repository.agent_id
    known = {one.number for one in table_offsite.generations(desk.database.read, desk.store.id, agent_id)}
    count = 0
    for number, versions in sorted(_unknown(desk, known).items()):
        found = _genuine(desk, number, versions)
        if found is None:
            log.warning("Generation %s of %s in the store is none that an appliance of ours wrote.", number, agent_id)
            continue
        held, content, manifest = found
        key = layout.generation_key(number)
        generation = Generation(
            number=number,
            made_at=manifest.made_at,
            moment=manifest.moment,
            life=manifest.life,
            bytes=sum(part.bytes for part in manifest.segments),
            segments_count=len(manifest.segments),
            key=key,
            sha256=hashlib.sha256(content).hexdigest(),
            version_id=held.version_id,
            locked_until=held.locked_until,
            snapshots_count=len(manifest.snapshots),
        )
        desk.database.write(lambda connection: _keep(connection, desk, generation, manifest))  # noqa: B023 - done at once
        count += 1
    return count


def _unknown(desk: Desk, known: set[int]) -> dict[int, list[str]]:
    """Return the versions of each manifest that is not known, the newest first, also what a mark hides."""
    prefix, found = layout.below(desk.folder, "generations") + "/", dict[int, list[str]]()
    try:
        entries = list(desk.bucket.listing(prefix, with_versions=True))
    except (StorageDenied, StorageUnsupported):
        entries = list(desk.bucket.listing(prefix))
    for entry in entries:
        number = layout.generation_number(entry.key)
        if number >= 0 and number not in known and not entry.is_marker:
            found.setdefault(number, []).append(entry.version_id)
    return found


def _genuine(desk: Desk, number: int, versions: list[str]) -> tuple[Held, bytes, Manifest] | None:
    """Return the newest version of a manifest that we wrote, for this host and under this number."""
    whole = layout.below(desk.folder, layout.generation_key(number))
    for version_id in versions:
        try:
            content = desk.bucket.read_whole(whole, version_id, limit_bytes=MANIFEST_LIMIT)
            manifest = layout.decoded(content)
            held = desk.bucket.head(whole, version_id)
        except (ObjectMissing, ObjectAltered):
            continue
        is_meant = (manifest.number, manifest.agent_id) == (number, desk.repository.agent_id)
        if is_meant and layout.is_genuine(content, manifest, desk.column_key):
            return held, content, manifest
    return None


def _keep(connection: sqlite3.Connection, desk: Desk, generation: Generation, manifest: Manifest) -> None:
    store_id, agent_id = desk.store.id, desk.repository.agent_id
    known = {one.key for one in table_offsite.segments(connection, store_id, agent_id)}
    new = [
        Stored(
            number=part.number,
            bytes=part.bytes,
            mtime_ns=0,
            sha256=part.sha256,
            key=part.key,
            version_id=part.version_id,
        )
        for part in manifest.segments
        if part.key not in known
    ]
    table_offsite.put_segments(connection, store_id, agent_id, new)
    table_offsite.put_generation(connection, store_id, agent_id, generation)
    keys = [part.key for part in manifest.segments]
    table_offsite.need(connection, store_id, agent_id, generation.number, keys)
    for snapshot in manifest.snapshots:
        _keep_snapshot(connection, desk, snapshot)
    table_roll_back.lose_others(connection, agent_id, manifest.made_at, {one.archive_id for one in manifest.snapshots})


def _keep_snapshot(connection: sqlite3.Connection, desk: Desk, known: KnownSnapshot) -> None:
    """Add a snapshot that is not known here, with a job that never ran here: what it held is asked of its host."""
    repository = desk.repository
    if table.by_archive(connection, repository.agent_id, known.archive) is not None:
        return
    job_id = JobId(new_id("job"))
    table_roll_back.insert_learned_job(
        connection, job_id, repository.tenant_id, repository.agent_id, known.started_at, known.ended_at, WHY
    )
    snapshot = Snapshot(
        id=SnapshotId(known.id),
        tenant_id=repository.tenant_id,
        agent_id=repository.agent_id,
        job_id=job_id,
        archive=known.archive,
        archive_id=known.archive_id,
        kind=SnapshotKind.INCREMENTAL,
        started_at=known.started_at,
        ended_at=known.ended_at,
        duration_seconds=(known.ended_at - known.started_at).total_seconds(),
        files_count=0,
        original_bytes=0,
        compressed_bytes=0,
        added_bytes=0,
        sources=(),
        warnings_count=0,
    )
    table.insert(connection, snapshot)
