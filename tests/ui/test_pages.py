"""Every page, drawn for a simulated user through the gate: what it shows and what its buttons do."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos.identity import sessions
from saveos.jobs import table as jobs
from saveos.protocol import JobId, LogLine
from saveos.ui.charts import Canvas
from saveos.ui.grid import Grid
from saveos.ui.log import Log
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nicegui.testing import User

    from saveos.parts import Parts
    from saveos.ui.grid import Row


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("empty")) as made:
        yield made


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("fleet")) as made:
        plant(made.settings.database, 120, 3)
        yield made


def rows(user: User, kind: str) -> list[Row]:
    """Return the rows of the page's visible grids of a kind."""
    grids = [grid for grid in user.find(kind=Grid).elements if grid.props["kind"] == kind]
    return [row for grid in grids for row in grid.rows]


def first(parts: Parts, table: str, where: str = "1") -> str:
    """Return an id from the database."""
    with sqlite3.connect(parts.settings.database) as connection:
        found: tuple[str] = connection.execute(f"SELECT id FROM {table} WHERE {where} LIMIT 1").fetchone()
        return found[0]


def become(parts: Parts, role: str) -> None:
    """Give the administrator another role, as another process would."""
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE users SET role = ?", (role,))


async def gone(user: User, how: Callable[[], None], seconds: float = 4) -> str:
    """Do something, and return where it sent the page."""
    sent: list[str] = []
    user.navigate.to = lambda target, *_: sent.append(target)  # type: ignore[method-assign, assignment]
    how()
    for _ in range(int(seconds * 20)):
        if sent:
            return sent[0]
        await asyncio.sleep(0.05)
    message = "the page stayed"
    raise AssertionError(message)


def counted(parts: Parts, table: str, where: str = "1") -> int:
    """Return how many rows there are."""
    with sqlite3.connect(parts.settings.database) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def test_overview_without_hosts_leads_to_the_first_one(empty: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/")

        await user.should_see("Nothing is protected yet.")
        await user.should_see("Protect your first host")

    visit(empty, journey)


def test_overview_shows_those_that_need_a_person_and_leads_to_the_others(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/")

        await user.should_see("3 hosts need you.")
        assert ["Last backup failed"] * 3 == [row.cells["state"].text for row in rows(user, "hosts")]

    visit(fleet, journey)


@pytest.mark.parametrize(
    ("address", "count", "shown"),
    [("", "120 hosts", 50), ("?search=0007", "1 host", 1), ("?standing=needy", "3 hosts", 3)],
)
def test_agents_are_found_by_what_the_address_says(fleet: Parts, address: str, count: str, shown: int) -> None:
    async def journey(user: User) -> None:
        await user.open(f"/agents{address}")

        await user.should_see(count)
        assert shown == len(rows(user, "hosts"))

    visit(fleet, journey)


def test_agents_of_a_policy_are_found_by_the_address(fleet: Parts) -> None:
    agent_id = first(fleet, "agents")
    with sqlite3.connect(fleet.settings.database) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(policies)") if row[1] not in ("id", "name")]
        kept = ", ".join(columns)
        connection.execute(
            f"INSERT INTO policies (id, name, {kept}) SELECT 'pol_other', 'Other', {kept} FROM policies LIMIT 1"
        )
        connection.execute("UPDATE policies SET is_default = 0 WHERE id = 'pol_other'")
        connection.execute("UPDATE agents SET policy_id = 'pol_other' WHERE id = ?", (agent_id,))

    async def journey(user: User) -> None:
        await user.open("/agents?policy=pol_other")
        assert [agent_id] == [row.id for row in rows(user, "hosts")]

        await user.open("/agents?policy=pol_nowhere")

        assert 50 == len(rows(user, "hosts"))

    visit(fleet, journey)


def test_host_that_came_a_moment_ago_has_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saveos.ui.frame.FRESH_SECONDS", 3600.0)
    with board.appliance(tmp_path) as parts:

        async def journey(user: User) -> None:
            await user.open("/agents")
            plant(parts.settings.database, 1, 1)
            await user.open(f"/agents/{first(parts, 'agents')}")

            await user.should_see("Back up now")

        visit(parts, journey)


def test_agent_shows_its_snapshots_jobs_and_facts(fleet: Parts) -> None:
    agent_id = first(fleet, "agents", "id NOT IN (SELECT agent_id FROM jobs WHERE state = 'failed')")

    async def journey(user: User) -> None:
        await user.open(f"/agents/{agent_id}")

        await user.should_see("Protected")
        await user.should_see("Europe/Paris")
        assert (3, 3) == (len(rows(user, "snapshots")), len(rows(user, "jobs")))
        assert len(user.find(kind=Canvas).elements) == 2

    visit(fleet, journey)


@pytest.mark.parametrize("address", ["/agents/agt_none", "/jobs/job_none", "/snapshots/snp_none", "/nowhere"])
def test_what_does_not_exist_is_said_so(fleet: Parts, address: str) -> None:
    async def journey(user: User) -> None:
        answer = await user.http_client.get(address)

        assert 404 == answer.status_code
        assert "There is no such" in answer.text

    visit(fleet, journey)


def test_snapshots_are_found_by_day(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/snapshots?since=2001-01-01&until=2001-12-31")
        await user.should_see("No snapshot matches.")

        await user.open("/snapshots?since=2001-01-01&until=nonsense")

        await user.should_see(f"{counted(fleet, 'snapshots')} snapshots")
        assert 50 == len(rows(user, "snapshots"))

    visit(fleet, journey)


def test_snapshot_shows_what_it_is(fleet: Parts) -> None:
    snapshot_id = first(fleet, "snapshots", "kind = 'full'")

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshot_id}")

        await user.should_see("Full")
        await user.should_see("Restore…")

    visit(fleet, journey)


def test_job_that_failed_is_asked_for_again_on_a_click(fleet: Parts) -> None:
    job_id = first(fleet, "jobs", "state = 'failed'")
    fleet.database.write(lambda connection: jobs.add_log(connection, JobId(job_id), [LogLine(line="it went wrong")]))

    async def journey(user: User) -> None:
        await user.open("/jobs?state=failed")
        assert {job_id} <= {row.id for row in rows(user, "jobs")}
        await user.open(f"/jobs/{job_id}")
        assert not next(iter(user.find(kind=Log).elements)).is_empty

        user.find("Try again").click()

        await asyncio.sleep(0.5)
        assert user.back_history[-1].startswith("/jobs/job_")
        await user.should_see("Backup begins in a moment")

    visit(fleet, journey)


def test_another_language_takes_the_place_of_the_first_and_leaves_what_was_typed(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        client = await user.open("/agents?search=00")
        await user.should_see("Search by name")

        french = next(element for element in list(client.elements.values()) if element.props.get("value") == "fr")
        for listener in list(french._event_listeners.values()):
            await listener.handler(None)

        await user.should_see("Chercher par nom")
        inputs = [element for element in list(client.elements.values()) if element.tag == "input"]
        assert "00" in {element.props.get("value") for element in inputs}

    visit(fleet, journey)


def test_viewer_sees_and_has_no_buttons(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/agents")

        assert rows(user, "hosts")
        assert {()} == {row.cells["acts"].acts for row in rows(user, "hosts")}
        await user.should_not_see("Protect a host")

    become(fleet, "viewer")
    try:
        visit(fleet, journey)
    finally:
        become(fleet, "administrator")


def test_page_is_left_when_its_session_ends_elsewhere(fleet: Parts) -> None:
    principal, cookie = board.sign_in(fleet)

    async def journey(user: User) -> None:
        await user.open("/jobs")

        assert "/logout" == await gone(user, lambda: sessions.sign_out(fleet.database, principal))

    visit(fleet, journey, cookie=cookie)


def test_page_is_left_when_its_reader_loses_a_role(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/agents")

        assert "/" == await gone(user, lambda: become(fleet, "viewer"))

    try:
        visit(fleet, journey)
    finally:
        become(fleet, "administrator")
