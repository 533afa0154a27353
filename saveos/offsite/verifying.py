"""Is the copy what was written? All of it is looked up in the store's list; a share of it is read and hashed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import ObjectAltered, ObjectMissing
from saveos.offsite import hands, layout, table
from saveos.offsite.desk import listed, read_manifest
from saveos.offsite.model import HIDDEN, Finding

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.offsite.bucket import Bucket
    from saveos.offsite.desk import Desk
    from saveos.offsite.model import Stored

MISSING, ALTERED, SIZE = "missing", "altered", "size"


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. `findings`: damage, and what only a version still shows (hidden)."""

    segments_count: int
    read_count: int
    read_bytes: int
    findings: tuple[Finding, ...]

    @property
    def damages(self) -> tuple[Finding, ...]:
        """What is really lost: what is hidden can be read by its version."""
        return tuple(one for one in self.findings if one.what != HIDDEN)


def verify(desk: Desk, share: float) -> Verified:
    """List all that generations need, and read a share of it, what was read longest ago first. 1.0: all.

    What is damaged is sent again by the next copy. Raises StorageError, Stopped.
    """
    store_id, agent_id = desk.store.id, desk.repository.agent_id
    stored = [one for one in table.segments(desk.database.read, store_id, agent_id) if one.last_generation]
    found = {finding.key: finding for finding in [*_of_list(desk, stored), *_of_manifests(desk)]}
    sample = _sample([one for one in stored if found.get(one.key, _FINE).what in ("", HIDDEN)], share)
    size, done = sum(one.bytes for one in sample), 0

    def work(one: Stored) -> tuple[Stored, Finding | None]:
        return one, _read(desk.bucket, layout.below(desk.folder, one.key), one)

    for one, finding in hands.each(work, sample, desk.is_cancelled):
        done += one.bytes
        desk.hear("verifying", done * 1000 // max(1, size))
        if finding is not None:
            found[one.key] = finding
        _note(desk, [msgspec.structs.replace(one, verified_at=clock.now(), is_broken=finding is not None)])
    broken = [one for one in stored if found.get(one.key, _FINE).what in (MISSING, SIZE)]
    _note(desk, [msgspec.structs.replace(one, is_broken=True) for one in broken])
    findings = tuple(sorted(found.values(), key=lambda finding: finding.key))
    return Verified(segments_count=len(stored), read_count=len(sample), read_bytes=done, findings=findings)


_FINE = Finding(key="", what="")


def _of_list(desk: Desk, stored: Sequence[Stored]) -> list[Finding]:
    """Return what the store's list does not show as it should."""
    there = listed(desk, with_versions=any(one.version_id for one in stored))
    found = []
    for one in stored:
        entry = there.get((one.key, one.version_id))
        if entry is None or entry.bytes != one.bytes:
            what = MISSING if entry is None else SIZE
            found.append(Finding(key=one.key, what=what, number=one.number))
        elif not entry.is_latest:
            found.append(Finding(key=one.key, what=HIDDEN, number=one.number))
    return found


def _of_manifests(desk: Desk) -> list[Finding]:
    """Return the manifests that cannot be read any more, or are not ours."""
    found = []
    for generation in table.generations(desk.database.read, desk.store.id, desk.repository.agent_id):
        try:
            read_manifest(desk.bucket, desk.folder, generation)
        except ObjectMissing:
            found.append(Finding(key=generation.key, what=MISSING))
        except ObjectAltered:
            found.append(Finding(key=generation.key, what=ALTERED))
    return found


def _sample(stored: Sequence[Stored], share: float) -> list[Stored]:
    """Return what was read longest ago, until its bytes are the share; all of it for 1."""
    wanted = sum(one.bytes for one in stored) * min(1.0, max(0.0, share))
    found, size = [], 0
    for one in sorted(stored, key=lambda one: (one.verified_at is not None, one.verified_at or 0, one.key)):
        if size >= wanted:
            break
        found.append(one)
        size += one.bytes
    return found


def _read(bucket: Bucket, key: str, stored: Stored) -> Finding | None:
    """Return what is wrong with what a segment's object holds."""
    digest = hashlib.sha256()
    try:
        for piece in bucket.read(key, stored.version_id):
            digest.update(piece)
    except ObjectMissing:
        return Finding(key=stored.key, what=MISSING, number=stored.number)
    if digest.hexdigest() != stored.sha256:
        return Finding(key=stored.key, what=ALTERED, number=stored.number)
    return None


def _note(desk: Desk, changed: Sequence[Stored]) -> None:
    def write(connection: sqlite3.Connection) -> None:
        table.put_segments(connection, desk.store.id, desk.repository.agent_id, changed)

    desk.database.write(write)
