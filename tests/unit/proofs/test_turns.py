"""When a host is asked for which proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.offsite.model import OffsiteState
from saveos.proofs import drills, table_drills, turns
from saveos.proofs.table_drills import Turn
from saveos.proofs.turns import is_within, wanted
from saveos.protocol import AgentId, Kind, TenantId
from saveos.repositories import table as repositories
from tests.support.catalogues import World

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = datetime(2026, 3, 10, 4, 30, tzinfo=UTC)
DAY = datetime(2026, 3, 10, 14, 0, tzinfo=UTC)
COPIES, OFFSITE = "drill offsite-drill verify", Kind.OFFSITE_DRILL


def turn(now: datetime, **more: Any) -> Turn:
    facts: dict[str, Any] = {
        "agent_id": AgentId("agt_1"),
        "tenant_id": TenantId("ten_1"),
        "kinds": "drill verify",
        "maintenance": "03:00-07:00",
        "time_zone": "UTC",
        "backed_up_at": now - timedelta(days=100),
        "drilled_at": now - timedelta(days=1),
        "verified_at": now - timedelta(hours=1),
        "stored_bytes": 0,
        "unlocated_at": None,
    }
    return Turn(**facts | more)


@pytest.mark.parametrize(
    ("now", "facts", "kind"),
    [
        (NIGHT, {}, None),
        (NIGHT, {"drilled_at": NIGHT - timedelta(days=7)}, Kind.DRILL),
        (NIGHT, {"drilled_at": NIGHT - timedelta(days=6, hours=23)}, None),
        (DAY, {"drilled_at": DAY - timedelta(days=8)}, None),  # it waits for the night
        (DAY, {"drilled_at": DAY - timedelta(days=9)}, Kind.DRILL),  # it was never there at night
        (NIGHT, {"drilled_at": None}, Kind.DRILL),
        (NIGHT, {"drilled_at": None, "backed_up_at": NIGHT - timedelta(minutes=30)}, None),
        (DAY, {"drilled_at": None, "backed_up_at": DAY - timedelta(hours=20)}, None),
        (DAY, {"drilled_at": None, "backed_up_at": DAY - timedelta(hours=50)}, Kind.DRILL),
        (NIGHT, {"verified_at": NIGHT - timedelta(hours=20)}, Kind.VERIFY),
        (DAY, {"verified_at": DAY - timedelta(days=2)}, None),
        (DAY, {"verified_at": DAY - timedelta(days=4)}, Kind.VERIFY),
        (NIGHT, {"verified_at": None, "drilled_at": None}, Kind.DRILL),  # one thing after the other
        (DAY, {"unlocated_at": DAY - timedelta(minutes=1)}, Kind.VERIFY),  # at any hour
        (DAY, {"unlocated_at": DAY - timedelta(hours=2)}, Kind.VERIFY),  # it was asked since, and did not tell
        (DAY, {"unlocated_at": DAY - timedelta(hours=2), "verified_at": DAY - timedelta(minutes=10)}, None),
        (DAY, {"unlocated_at": DAY, "verified_at": None}, Kind.VERIFY),
        (NIGHT, {"drilled_at": None, "verified_at": None, "unlocated_at": NIGHT, "kinds": ""}, None),
        (NIGHT, {"drilled_at": None, "verified_at": None, "kinds": "verify"}, Kind.VERIFY),
        (NIGHT, {"kinds": COPIES, "copied_at": NIGHT - timedelta(minutes=1)}, Kind.OFFSITE_DRILL),
        (NIGHT, {"kinds": COPIES, "copied_at": None}, None),
        (NIGHT, {"copied_at": NIGHT - timedelta(days=40)}, None),  # an older agent
        (DAY, {"kinds": COPIES, "copied_at": DAY - timedelta(hours=1)}, None),  # it waits for the night
        (NIGHT, {"kinds": COPIES, "copied_at": NIGHT, "copy_drilled_at": NIGHT - timedelta(days=29)}, None),
        (NIGHT, {"kinds": COPIES, "copied_at": NIGHT, "copy_drilled_at": NIGHT - timedelta(days=30)}, OFFSITE),
        (DAY, {"kinds": COPIES, "copied_at": DAY, "copy_drilled_at": DAY - timedelta(days=32)}, OFFSITE),
        (NIGHT, {"kinds": COPIES, "copied_at": NIGHT, "drilled_at": NIGHT - timedelta(days=8)}, Kind.DRILL),
    ],
)
def test_host_is_asked_for(now: datetime, facts: dict[str, Any], kind: Kind | None) -> None:
    assert kind == wanted(turn(now, **facts), now)


@pytest.mark.parametrize(
    ("window", "zone", "hour", "is_in"),
    [
        ("03:00-07:00", "UTC", 3, True),
        ("03:00-07:00", "UTC", 7, False),
        ("22:00-04:00", "UTC", 23, True),
        ("22:00-04:00", "UTC", 3, True),
        ("22:00-04:00", "UTC", 12, False),
        ("03:00-07:00", "Asia/Tokyo", 20, True),  # 05:00 there
        ("03:00-07:00", "Asia/Tokyo", 4, False),
        ("03:00-07:00", "No/Where", 4, True),
        ("", "UTC", 12, True),
        ("25:00-07:00", "UTC", 12, True),
    ],
)
def test_hour_is_within_the_maintenance(window: str, zone: str, hour: int, *, is_in: bool) -> None:
    assert is_in == is_within(window, zone, datetime(2026, 3, 10, hour, 0, tzinfo=UTC))


def test_no_more_hosts_are_asked_than_may_work_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 3)
    world = World.made(tmp_path / "data")
    now = clock.now()
    for number in range(5):
        agent_id = AgentId(world.add_host(f"{number}"))
        world.add_snapshot(agent_id)
        world.database.write(lambda connection, new=agent_id: repositories.insert(connection, TenantId("ten_1"), new))
    world.database.write(
        lambda connection: connection.execute(
            "UPDATE agents SET kinds = 'drill verify', seen_at = ?", (clock.to_text(now),)
        )
    )

    assert [turns.queue_due(world.database), turns.queue_due(world.database)] == [3, 0]
    world.database.write(lambda connection: connection.execute("UPDATE jobs SET state = 'done' WHERE kind = 'drill'"))
    assert turns.queue_due(world.database) == 3  # the other two, and a verification of one that has had its drill


@pytest.mark.parametrize("is_of_copy", [False, True])
def test_drill_without_a_verdict_is_asked_for_again_the_next_day(tmp_path: Path, *, is_of_copy: bool) -> None:
    world = World.made(tmp_path / "data")
    agent_id = AgentId(world.add_host("atelier"))
    world.add_snapshot(agent_id)
    world.database.write(lambda connection: repositories.insert(connection, TenantId("ten_1"), agent_id))

    def drilled_at(code: str, hours: int) -> datetime | None:
        now = clock.now()

        def write(connection: Any) -> None:
            connection.execute("UPDATE agents SET seen_at = ?", (clock.to_text(now),))
            connection.execute("DELETE FROM jobs WHERE kind IN ('drill', 'offsite-drill')")
            copy = OffsiteState(agent_id=agent_id, generation=1, snapshot_at=now) if is_of_copy else None
            job = drills.queue(connection, agent_id, TenantId("ten_1"), "test", copy=copy)
            jobs.end(connection, job.id, State.FAILED, code, "", 0)
            asked_at = clock.to_text(now - timedelta(hours=hours))
            connection.execute("UPDATE jobs SET requested_at = ? WHERE id = ?", (asked_at, job.id))

        world.database.write(write)
        (found,) = table_drills.turns(world.database.read, now - timedelta(minutes=1), now - turns.DRILL_AGAIN)
        return found.copy_drilled_at if is_of_copy else found.drilled_at

    assert drilled_at("lost", 30) is None
    assert drilled_at("lost", 3) is not None
    assert drilled_at("drill-failed", 30) is not None
