"""Does what a host did to its repository fit what it was told to do? Pure."""

from __future__ import annotations

from enum import StrEnum
from statistics import median_low
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from saveos.repositories.evidence import Evidence

# What an archive takes in Borg's manifest, measured with each compression: 59 to 140 bytes with names as ours are. Of
# these, the id and the name's random part, together 46 bytes, cannot be compressed.
SMALLEST_ENTRY_BYTES = 46
LARGEST_ENTRY_BYTES = 340
ENTRIES_PER_JOB = 6  # its archive, and the checkpoints of attempts that were cut off
SLACK_BYTES = 40  # less than an entry: the same names compress a little better or worse
LARGEST_RATIO = 3  # between the compressions, measured 2.2
KNOWN_JOBS = 5
GROWTH_FACTOR = 10
GROWTH_BYTES = 10 * 1024**3
# A host that has a limit of storage may fill that at once.
FEW_JOBS = 2
LARGE = 4  # of which part of the limit is much for one job
FULL = 10  # of which part of the limit is next to nothing


class Why(StrEnum):
    """What no order explains."""

    ARCHIVES_LOST = "archives-lost"
    OBJECTS_DELETED = "objects-deleted"
    OBJECTS_REPLACED = "objects-replaced"
    MANIFEST_SHRUNK = "manifest-shrunk"  # it names fewer archives than there are
    ARCHIVES_ADDED = "archives-added"  # it names more
    MALFORMED = "malformed"
    REPLAYED = "replayed"
    UNTRUE = "untrue"  # a backup's report names an archive that it did not make
    GROWTH = "growth"


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """What stood behind a session. `archive_ids`: that were to be deleted; `is_prune`: it was an order to delete."""

    is_prune: bool = False
    archive_ids: frozenset[str] = frozenset()


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the repository before.

    `job_bytes`: what jobs added, this one first, then from the newest on. `room_bytes`: what the host might add when
    that was measured last; None: as much as it likes.
    """

    manifest_bytes: int
    snapshots_count: int
    is_same_compression: bool = True
    stored_bytes: int = 0
    room_bytes: int | None = None
    job_bytes: tuple[int, ...] = ()


def findings(evidence: Evidence, ordered: Ordered, known: Known) -> dict[Why, int]:
    """Return what does not fit, with a number each: of archives, objects or bytes."""
    found: dict[Why, int] = {}
    lost = set(evidence.archive_ids) - ordered.archive_ids
    if lost:
        found[Why.ARCHIVES_LOST] = len(lost)
    if evidence.deleted_count and not ordered.is_prune:
        found[Why.OBJECTS_DELETED] = evidence.deleted_count
    if evidence.replaced_count:
        found[Why.OBJECTS_REPLACED] = evidence.replaced_count
    if evidence.malformed_count:
        found[Why.MALFORMED] = evidence.malformed_count
    if evidence.replayed_count:
        found[Why.REPLAYED] = evidence.replayed_count
    return found | _of_manifest(evidence, ordered, known) | _of_growth(evidence, known)


def _of_manifest(evidence: Evidence, ordered: Ordered, known: Known) -> dict[Why, int]:
    if evidence.manifest_deleted:
        return {Why.MANIFEST_SHRUNK: known.manifest_bytes}
    if not evidence.manifest_bytes:
        return {}
    left = max(0, known.snapshots_count - len(ordered.archive_ids))
    floor = left * SMALLEST_ENTRY_BYTES
    if not ordered.is_prune and known.is_same_compression:
        floor = max(floor, known.manifest_bytes - SLACK_BYTES)
    if evidence.manifest_bytes < floor:
        return {Why.MANIFEST_SHRUNK: max(known.manifest_bytes, floor) - evidence.manifest_bytes}
    growth = 1 if known.is_same_compression else LARGEST_RATIO
    ceiling = known.manifest_bytes * growth + ENTRIES_PER_JOB * LARGEST_ENTRY_BYTES
    if known.manifest_bytes and evidence.manifest_bytes > ceiling:
        return {Why.ARCHIVES_ADDED: (evidence.manifest_bytes - known.manifest_bytes) // LARGEST_ENTRY_BYTES}
    return {}


def lacks_an_entry(before: int, after: int) -> bool:
    """Return whether a manifest is too small for the archive that came to it: another one went. 0: not known."""
    return 0 < after < before + SMALLEST_ENTRY_BYTES


def _of_growth(evidence: Evidence, known: Known) -> dict[Why, int]:
    """Find a job that adds ten times what others do, and much of all that is stored or may be."""
    if not known.job_bytes:
        return {}
    added, *before = known.job_bytes
    added += evidence.refused_bytes
    is_known = len(known.job_bytes) >= KNOWN_JOBS
    if is_known and added > max(GROWTH_FACTOR * max(before), GROWTH_BYTES, known.stored_bytes // 2):
        return {Why.GROWTH: added}
    is_much = len(before) >= FEW_JOBS and added > GROWTH_FACTOR * median_low(before)
    return {Why.GROWTH: added} if is_much and _fills(evidence, known, added) else {}


def _fills(evidence: Evidence, known: Known, added: int) -> bool:
    """Return whether a job takes much of a limit of storage, and leaves nothing of it."""
    if known.room_bytes is None:
        return False
    limit = known.stored_bytes + known.room_bytes
    left = known.room_bytes - added if added <= known.room_bytes else known.room_bytes  # else it counts already
    return added > limit // LARGE and (evidence.refused_bytes > 0 or left < limit // FULL)
