"""What a host did beside what it was told: alarms where there is cause, and none where there is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from saveos.repositories.evidence import Evidence
from saveos.snapshots import suspicion
from saveos.snapshots.suspicion import Known, Ordered, Why

A, B = "a" * 64, "b" * 64
KNOWN = Known(manifest_bytes=3000, snapshots_count=30, stored_bytes=10**12, job_bytes=(10**8,) * 10)
BACKUP = Ordered()
PRUNE = Ordered(is_prune=True, archive_ids=frozenset({A, B}))


def seen(**facts: Any) -> Evidence:
    return Evidence(base=5, at=datetime(2026, 1, 1, tzinfo=UTC), **facts)


@pytest.mark.parametrize(
    ("evidence", "ordered"),
    [
        (seen(put_count=9000, put_bytes=10**10, manifest_bytes=3080), BACKUP),
        (seen(put_count=9000, put_bytes=10**10, manifest_bytes=3000 + 5 * 140), BACKUP),  # five attempts were cut off
        (seen(put_count=1), BACKUP),
        (seen(put_count=1, deleted_count=100_000, archive_ids=(A, B), manifest_bytes=2840), PRUNE),
        (seen(put_count=1, deleted_count=100_000, archive_ids=(A,), manifest_bytes=1400), PRUNE),
    ],
)
def test_what_was_ordered_is_no_cause(evidence: Evidence, ordered: Ordered) -> None:
    assert {} == suspicion.findings(evidence, ordered, KNOWN)


@pytest.mark.parametrize("count", [1, 5, 30, 400])
@pytest.mark.parametrize(("before", "after"), [("none", "lzma"), ("lzma", "none"), ("lz4", "zstd,19"), ("zlib", "lz4")])
def test_another_compression_of_the_manifest_is_no_cause(count: int, before: str, after: str) -> None:
    known = Known(manifest_bytes=SIZES[before](count), snapshots_count=count, is_same_compression=False)

    assert {} == suspicion.findings(seen(manifest_bytes=SIZES[after](count + 1)), BACKUP, known)


# bytes of a manifest of so many archives: measured with the compressors of Borg 1.4.5 and names as ours are
SIZES = {
    "none": lambda count: 190 + 131 * count,
    "lz4": lambda count: 120 + 87 * count,
    "zlib": lambda count: 110 + 70 * count,
    "zstd,19": lambda count: 120 + 64 * count,
    "lzma": lambda count: 160 + 60 * count,
}


@pytest.mark.parametrize(
    ("evidence", "ordered", "expected"),
    [
        (seen(archive_ids=(A,), deleted_count=1), BACKUP, {Why.ARCHIVES_LOST: 1, Why.OBJECTS_DELETED: 1}),
        (seen(archive_ids=(A, "c" * 64), deleted_count=9), PRUNE, {Why.ARCHIVES_LOST: 1}),
        (seen(replaced_count=3), BACKUP, {Why.OBJECTS_REPLACED: 3}),
        (seen(replaced_count=3), PRUNE, {Why.OBJECTS_REPLACED: 3}),
        (seen(malformed_count=2, replayed_count=4), BACKUP, {Why.MALFORMED: 2, Why.REPLAYED: 4}),
        (seen(manifest_bytes=2900), BACKUP, {Why.MANIFEST_SHRUNK: 100}),
        (seen(manifest_bytes=1200), PRUNE, {Why.MANIFEST_SHRUNK: 1800}),  # 28 archives do not fit into that
        (seen(manifest_deleted=1), PRUNE, {Why.MANIFEST_SHRUNK: 3000}),
        (seen(manifest_deleted=1, manifest_bytes=3080), BACKUP, {Why.MANIFEST_SHRUNK: 3000}),
        (seen(manifest_bytes=30_000), BACKUP, {Why.ARCHIVES_ADDED: 79}),
    ],
)
def test_what_was_not_ordered_is_found(evidence: Evidence, ordered: Ordered, expected: dict[Why, int]) -> None:
    assert expected == suspicion.findings(evidence, ordered, KNOWN)


@pytest.mark.parametrize(
    ("job_bytes", "is_found"),
    [
        ((2 * 10**12, *(10**8,) * 6), True),
        ((2 * 10**12, *(10**8,) * 3), False),  # too little is known
        ((2 * 10**12, 3 * 10**11, *(10**8,) * 6), False),  # it did nearly as much before
        ((10**9, *(10**6,) * 6), False),  # too little to fill anything
        ((4 * 10**11, *(10**8,) * 6), False),  # less than half of what is there
    ],
)
def test_sudden_growth_is_found(job_bytes: tuple[int, ...], *, is_found: bool) -> None:
    known = Known(manifest_bytes=3000, snapshots_count=30, stored_bytes=10**12, job_bytes=job_bytes)

    assert is_found == (Why.GROWTH in suspicion.findings(seen(put_count=1), BACKUP, known))


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(0, 300, False), (300, 0, False), (300, 360, False), (300, 340, True)]
)
def test_manifest_that_grew_too_little_lost_an_archive(before: int, after: int, *, expected: bool) -> None:
    assert expected == suspicion.lacks_an_entry(before, after)


MEGABYTE = 1_000_000
DAILY = (1000 * MEGABYTE, 5 * MEGABYTE, 8 * MEGABYTE)  # the first of all, and two days


@pytest.mark.parametrize(
    ("refused", "job_bytes", "room", "is_told"),
    [
        (4000, (0, *DAILY), 4000, True),  # nothing is committed
        (0, (3900, *DAILY), 4000, True),  # measured before
        (0, (3900, *DAILY), 100, True),  # measured since
        (400, (3000, *DAILY), 400, True),
        (0, (1500, *DAILY), 4000, False),  # much, and there is room left
        (0, (3900, *DAILY), None, False),  # there is no limit
        (40, (0, *DAILY), 30, False),  # little, at a limit that is nearly reached
        (4000, (0, 1000), 4000, False),  # the second one: nobody knows yet what is usual
        (4000, (), 4000, False),
        (4000, (0, 1000, 900, 800), 4000, False),  # much is usual
    ],
)
def test_limit_is_filled_at_once(refused: int, job_bytes: tuple[int, ...], room: int | None, is_told: bool) -> None:  # noqa: FBT001
    scaled = tuple(one if one in DAILY else one * MEGABYTE for one in job_bytes)
    known = Known(
        manifest_bytes=500,
        snapshots_count=3,
        stored_bytes=1000 * MEGABYTE,
        room_bytes=None if room is None else room * MEGABYTE,
        job_bytes=scaled,
    )

    found = suspicion.findings(seen(refused_bytes=refused * MEGABYTE), BACKUP, known)

    assert ({Why.GROWTH} if is_told else set()) == set(found)
