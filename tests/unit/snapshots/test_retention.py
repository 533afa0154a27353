"""What goes: only what is good, nothing that is held, never the last one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from saveos.policies.model import Retention
from saveos.policies.retention import Rule, snapshots_to_keep
from saveos.protocol import AgentId, JobId, SnapshotId, TenantId
from saveos.snapshots.model import Snapshot, SnapshotKind, Standing
from saveos.snapshots.retention import decide, to_remove

if TYPE_CHECKING:
    from collections.abc import Collection

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
NOTHING = {f"keep_{rule}": 0 for rule in ("within_hours", "hourly", "daily", "weekly", "monthly", "yearly")}
TWO_DAYS = Retention(**{**NOTHING, "keep_daily": 2})


def snapshot(hours: float, standing: Standing = Standing.GOOD, number: int = 0) -> Snapshot:
    """Return a snapshot that began so many hours ago."""
    at = NOW - timedelta(hours=hours)
    return Snapshot(
        id=SnapshotId(f"snp_{1e9 - hours * 3600:015.3f}{number}"),
        tenant_id=TenantId("t"),
        agent_id=AgentId("a"),
        job_id=JobId("j"),
        archive=f"archive-{hours}-{number}",
        archive_id="0" * 64,
        kind=SnapshotKind.INCREMENTAL,
        started_at=at,
        ended_at=at,
        duration_seconds=0,
        files_count=0,
        original_bytes=0,
        compressed_bytes=0,
        added_bytes=0,
        sources=(),
        warnings_count=0,
        standing=standing,
    )


def going(
    snapshots: list[Snapshot], held: Collection[SnapshotId] = (), retention: Retention = TWO_DAYS, zone: tzinfo = UTC
) -> list[Snapshot]:
    return to_remove(snapshots, held, retention, zone, NOW)


def test_to_remove_is_what_no_rule_keeps() -> None:
    newest, earlier, yesterday, before, old = (snapshot(hours) for hours in (1, 5, 20, 24, 60))

    assert [earlier, before, old] == going([newest, earlier, yesterday, before, old])


def test_to_remove_leaves_what_is_held() -> None:
    newest, earlier, old = snapshot(1), snapshot(5), snapshot(60)

    assert [earlier] == going([newest, earlier, snapshot(20), old], {old.id})


def test_hold_does_not_take_the_place_of_another_snapshot() -> None:
    newest, earlier, yesterday = snapshot(1), snapshot(5), snapshot(20)

    assert [] == going([newest, earlier, yesterday], {earlier.id})
    assert [earlier] == going([newest, earlier, yesterday], {newest.id})


def test_what_is_not_good_neither_counts_nor_goes() -> None:
    for standing in set(Standing) - {Standing.GOOD}:
        newest, today, yesterday, before = snapshot(1, standing), snapshot(3), snapshot(20, standing), snapshot(60)

        assert [] == going([newest, today, yesterday, before])


def test_newest_good_one_stays_when_no_rule_keeps_it() -> None:
    retention = Retention(**{**NOTHING, "keep_within_hours": 1})
    lost, newest, old = snapshot(20, Standing.LOST), snapshot(30), snapshot(60)

    assert [old] == going([lost, newest, old], retention=retention)


def test_days_are_those_of_the_zone() -> None:
    newest, before = snapshot(11), snapshot(14)  # 01:00 and, of the day before in UTC, 22:00
    one_day = Retention(**{**NOTHING, "keep_daily": 1})

    assert [before] == going([newest, before], retention=one_day)
    assert Rule.DAILY is decide([newest, before], (), TWO_DAYS, UTC, NOW)[1].rule
    berlin = decide([newest, before, snapshot(90)], (), TWO_DAYS, ZoneInfo("Asia/Tokyo"), NOW)
    assert [Rule.DAILY, None, Rule.DAILY] == [decided.rule for decided in berlin]


def test_order_of_what_is_given_does_not_matter() -> None:
    several = [snapshot(hours) for hours in (1, 5, 20, 24, 60)]

    assert going(several) == going(several[::-1])


held_or_not = st.tuples(st.integers(0, 2000), st.sampled_from(Standing), st.booleans())
kept = st.fixed_dictionaries({name: st.integers(0, 5) for name in NOTHING}).map(lambda numbers: Retention(**numbers))


@given(st.lists(held_or_not, max_size=40), kept)
def test_to_remove_keeps_its_promises(drawn: list[tuple[int, Standing, bool]], retention: Retention) -> None:
    snapshots = [snapshot(hours, standing, number) for number, (hours, standing, _held) in enumerate(drawn)]
    held = {each.id for each, (_hours, _standing, is_held) in zip(snapshots, drawn, strict=True) if is_held}
    good = sorted((s for s in snapshots if s.standing is Standing.GOOD), key=lambda s: (s.started_at, s.id))

    gone = to_remove(snapshots, held, retention, UTC, NOW)

    assert all(each.standing is Standing.GOOD and each.id not in held for each in gone)
    assert not good or good[-1] not in gone
    rest = [each for each in snapshots if each not in gone]
    assert [] == to_remove(rest, held, retention, UTC, NOW)
    newest_first = good[::-1]
    by_rule = snapshots_to_keep([each.started_at for each in newest_first], retention, now=NOW)
    assert not {newest_first[position].id for position in by_rule} & {each.id for each in gone}
