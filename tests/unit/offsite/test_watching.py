"""Whether copies keep up: what is late, failed or damaged is told once, and once it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.database.secrets import Secret
from saveos.identity.principals import system
from saveos.offsite import costs, stores, table, table_states, watching
from saveos.offsite.model import Finding, Health, OffsiteState, Place, Prices, Stored
from saveos.protocol import AgentId, TenantId
from saveos.repositories import table as repositories
from saveos.snapshots import fleet
from saveos.snapshots.fleet import Need
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLACE = Place(endpoint="https://s3.example.org", bucket="copies", access_key_id="KEY")
TENANT = TenantId("ten_1")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.made(tmp_path / "data")
    yield world
    world.close()


@pytest.fixture
def host(world: World) -> AgentId:
    """A host with one snapshot that no copy has, in a tenant that has a store."""
    agent_id = AgentId(world.add_host("atelier"))
    world.database.write(lambda connection: repositories.insert(connection, TENANT, agent_id))
    world.add_snapshot(agent_id)
    just_now = clock.to_text(clock.now())
    world.database.write(lambda connection: connection.execute("UPDATE snapshots SET ended_at = ?", (just_now,)))
    stores.keep_store(world.database, world.settings, world.principal, PLACE, Secret("x"))
    return agent_id


def state(**values: Any) -> OffsiteState:
    return OffsiteState(agent_id=AgentId("agt_1"), is_asked=True, **values)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (OffsiteState(agent_id=AgentId("agt_1"), generation=1), Health.NONE),
        (state(), Health.NONE),
        (state(generation=1), Health.CURRENT),
        (state(generation=1, behind_since=NOW - HOUR / 2, behind_count=9), Health.WAITING),
        (state(generation=1, behind_since=NOW - 2 * HOUR, behind_count=1), Health.WAITING),
        (state(generation=1, behind_since=NOW - 2 * HOUR, behind_count=2), Health.LATE),
        (state(generation=1, behind_since=NOW - 25 * HOUR, behind_count=1), Health.LATE),
        (state(behind_since=NOW - 100 * HOUR, behind_count=9, is_copying=True), Health.WAITING),
        (state(generation=1, behind_since=NOW - 100 * HOUR, behind_count=9, is_copying=True), Health.LATE),
        (state(behind_since=NOW - 200 * HOUR, behind_count=9, is_copying=True), Health.LATE),
        (state(generation=1, error_code="storage-denied"), Health.FAILED),
        (state(generation=1, findings=(Finding(key="a", what="altered"),)), Health.DAMAGED),
        (state(generation=1, findings=(Finding(key="a", what="hidden"),)), Health.CURRENT),
    ],
)
def test_health_of_a_copy(known: OffsiteState, expected: Health) -> None:
    assert expected is known.health(NOW)


def tick(world: World) -> int:
    return world.database.write(watching.tick)


def opened(world: World) -> list[dict[str, Any]]:
    found = raising.find(world.database, world.principal, is_open=True)
    return [alert.evidence for alert in found if alert.kind is AlertKind.OFFSITE]


def need(world: World) -> Need:
    return fleet.hosts(world.database, world.principal)[0].need


def test_silence_turns_the_host_amber_and_a_copy_ends_it(
    world: World, host: AgentId, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(world)
    assert [] == opened(world)
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now + timedelta(days=2))

    assert (1, 0) == (tick(world), tick(world))

    assert ["late"] == [told["health"] for told in opened(world)]
    assert need(world) is Need.UNCOPIED
    copied = {"generation": 1, "snapshot_at": clock.to_text(now + HOUR)}
    world.database.write(lambda connection: table_states.set_state(connection, host, TENANT, **copied))
    assert 1 == tick(world)
    assert [] == opened(world)
    assert need(world) is not Need.UNCOPIED


def test_alert_that_was_put_away_comes_back_for_another_reason_alone(world: World, host: AgentId) -> None:
    fail = lambda code: world.database.write(  # noqa: E731
        lambda connection: table_states.set_state(connection, host, TENANT, error_code=code)
    )
    fail("storage-denied")
    tick(world)
    [alert] = raising.find(world.database, world.principal, is_open=True)
    raising.put_away(world.database, system(TENANT, "somebody"), alert.id)

    assert 0 == tick(world)
    fail("storage-bucket-missing")
    assert 1 == tick(world)
    assert ["storage-bucket-missing"] == [told["error_code"] for told in opened(world)]


def test_alert_ends_with_the_store_and_with_the_host(world: World, host: AgentId) -> None:
    world.database.write(lambda connection: table_states.set_state(connection, host, TENANT, error_code="lost"))
    assert 1 == tick(world)

    stores.forget_store(world.database, world.principal)

    assert 1 == tick(world)
    assert [] == opened(world)


def test_costs_follow_from_what_lies_there(world: World, host: AgentId) -> None:
    prices = Prices(currency="EUR", gigabyte_month=0.01, thousand_writes=1.0, gigabyte_fetched=0.1)
    place = msgspec.structs.replace(PLACE, prices=prices)
    store = stores.keep_store(world.database, world.settings, world.principal, place, None)
    segments = [
        Stored(number=number, bytes=500_000_000, mtime_ns=1, sha256="a", key=f"k{number}", first_generation=1)
        for number in range(4)
    ]
    world.database.write(lambda connection: table.put_segments(connection, store.id, host, segments))

    found = costs.of_tenant(world.database, world.principal)

    assert (2_000_000_000, 0, "EUR") == (found.bytes, found.sent_bytes, found.prices.currency if found.prices else "")
    assert found.month == pytest.approx(0.02)
    assert found.fetch == pytest.approx(0.2)
    assert costs.month(prices, 10**9, 2000) == pytest.approx(2.01)
