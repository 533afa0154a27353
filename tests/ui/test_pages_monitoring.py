"""/monitoring: what it shows of a fleet, of none, to whom, and that it goes on by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.agents.pulse import Pulse
from saveos.identity import sessions
from saveos.measurements.sample import Sampler
from saveos.snapshots import day
from saveos.tenants import table as tenants
from saveos.ui.charts import Canvas
from saveos.ui.grid import Grid
from tests.support.big_fleet import plant, plant_measurements
from tests.ui import board
from tests.ui.board import visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.parts import Parts


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("board")) as made:
        yield made


def plots(user: User) -> list[dict[str, Any]]:
    """Return the data of every chart, in their order on the page."""
    return [canvas.props["plots"] for canvas in sorted(user.find(kind=Canvas).elements, key=lambda found: found.id)]


def hosts(user: User) -> list[str]:
    """Return the names in the table of hosts, as it is sorted."""
    (grid,) = user.find(kind=Grid).elements
    return [row.cells["host"].text for row in grid.rows]  # type: ignore[attr-defined]


def test_monitoring_right_after_setup_says_what_is_to_come(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/monitoring")

        await user.should_see("There are no hosts yet.")
        await user.should_see("Protect your first host")
        await user.should_see("A forecast needs a few days of history.")
        await user.should_see("Nothing was measured in this time.")

    visit(parts, journey)


def test_monitoring_shows_the_range_of_its_address(parts: Parts) -> None:
    plant(parts.settings.database, 30, 10)
    plant_measurements(parts.settings.database, 40)

    async def journey(user: User) -> None:
        await user.open("/monitoring?range=30d")
        storage, ended, added, throughput, *_others = plots(user)

        assert 30 * 86400 * 1000 == throughput["span"]
        assert 360 == len(storage["series"]["used"]["values"])
        assert 30 == len(ended["categories"])
        assert 300 == sum(sum(bars) for bars in ended["bars"].values())
        assert sum(added["bars"]["added"]) > 0
        await user.should_see("300 backups ended")

    visit(parts, journey)


def test_monitoring_foresees_from_snapshots_until_the_disk_is_known(parts: Parts) -> None:
    plant(parts.settings.database, 30, 12)

    async def journey(user: User) -> None:
        await user.open("/monitoring")

        await user.should_see("reckoned from what backups added")

    visit(parts, journey)


def test_monitoring_with_a_wrong_range_shows_the_day(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/monitoring?range=century")

        assert 24 == len(plots(user)[1]["categories"])

    visit(parts, journey)


def test_monitoring_lists_hosts_sorted_page_by_page(parts: Parts) -> None:
    plant(parts.settings.database, 60, 3)

    async def journey(user: User) -> None:
        await user.open("/monitoring?range=7d")
        by_added = hosts(user)
        user.find(kind=Grid).trigger("sort", "host")
        await asyncio.sleep(0.1)

        assert 25 == len(by_added)
        assert sorted(hosts(user)) == hosts(user)
        user.find("Next").click()
        await asyncio.sleep(0.1)
        await user.should_see("26 to 50 of 60")

    visit(parts, journey)


def test_monitoring_goes_on_with_new_samples(parts: Parts) -> None:
    sampler = Sampler(parts.database, parts.settings, Pulse(), lambda: 41)
    clock.set_source(lambda: _real() - timedelta(seconds=70))
    sampler.take()

    async def journey(user: User) -> None:
        await user.open("/monitoring?range=1h")
        await user.should_see("41")
        clock.set_source(None)
        Sampler(parts.database, parts.settings, Pulse(), lambda: 57).take()
        for _ in range(50):
            await asyncio.sleep(0.1)
            if user.find(kind=Canvas).elements and _sees(user, "57"):
                return
        pytest.fail("the new sample was not shown")

    try:
        visit(parts, journey)
    finally:
        clock.set_source(None)


def test_monitoring_of_another_tenant_does_not_tell_how_busy_all_are(parts: Parts) -> None:
    plant_measurements(parts.settings.database, 2)
    parts.database.write(lambda connection: tenants.insert_tenant(connection, "tnt_0", "Others", b""))
    # the administrator now belongs to a tenant that is not the first
    parts.database.write(
        lambda connection: connection.execute("UPDATE tenants SET created_at = '2000' WHERE id = 'tnt_0'")
    )

    async def journey(user: User) -> None:
        await user.open("/monitoring")

        await user.should_see("shown to its administrators")
        assert 3 == len(plots(user))  # storage, backups, what they added

    visit(parts, journey)


def test_monitoring_is_left_by_who_signs_out_elsewhere(parts: Parts) -> None:
    async def go() -> None:
        principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open("/monitoring?range=1y")
            left: list[str] = []
            user.navigate.to = lambda target, **_how: left.append(target)  # type: ignore[method-assign]
            sessions.sign_out(parts.database, principal)
            for _ in range(60):
                await asyncio.sleep(0.1)
                if left:
                    break

            assert ["/logout"] == left

    asyncio.run(go())


def test_last_day_has_the_worst_of_each_hour(parts: Parts) -> None:
    plant(parts.settings.database, 50, 2)
    _principal, cookie = board.sign_in(parts)

    cells = day.last_day(parts.database, sessions.by_session(parts.database, cookie), clock.now())

    assert 45 <= len({agent for agent, _hour, _state in cells}) <= 50
    assert all(0 <= hour < 24 for _agent, hour, _state in cells)


def _real() -> datetime:
    return datetime.now(UTC)


def _sees(user: User, text: str) -> bool:
    try:
        return bool(user.find(text).elements)
    except AssertionError:
        return False
