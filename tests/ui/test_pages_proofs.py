"""Proofs on every page that tells of hosts: fresh, amber, red; and the report that is asked for."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.proofs import table
from saveos.proofs.model import FoundBy
from saveos.protocol import AgentId, LocatedArchive, TenantId
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit
from tests.ui.test_pages import become, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.parts import Parts

AGES = {"fresh": 2, "amber": 20, "red": 40, "none": None}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Four hosts that know drills, enrolled fifty days ago, with proofs of several ages."""
    with board.appliance(tmp_path_factory.mktemp("proofs")) as made:
        plant(made.settings.database, 4, 2)
        now = datetime.now(UTC)
        with sqlite3.connect(made.settings.database) as connection:
            ids = [row[0] for row in connection.execute("SELECT id FROM agents ORDER BY id")]
            for agent_id, (name, days) in zip(ids, AGES.items(), strict=True):
                proven = clock.to_text(now - timedelta(days=days)) if days is not None else None
                connection.execute(
                    "UPDATE agents SET hostname = ?, kinds = 'drill verify', proven_at = ?, enrolled_at = ?"
                    " WHERE id = ?",
                    (name, proven, clock.to_text(now - timedelta(days=50)), agent_id),
                )
        yield made


def id_of(parts: Parts, hostname: str) -> str:
    with sqlite3.connect(parts.settings.database) as connection:
        return str(connection.execute("SELECT id FROM agents WHERE hostname = ?", (hostname,)).fetchone()[0])


async def shown(user: User) -> dict[str, dict[str, Any]]:
    """Return the cells of each host, once there are any."""
    for _ in range(100):
        if found := cells(user):
            return found
        await asyncio.sleep(0.05)
    message = "no host is shown"
    raise AssertionError(message)


def cells(user: User) -> dict[str, dict[str, Any]]:
    return {row.cells["host"].text: row.cells for row in rows(user, "hosts")}


@pytest.mark.parametrize("address", ["/agents", "/proofs"])
def test_last_proven_restore_turns_amber_and_red(fleet: Parts, address: str) -> None:
    async def journey(user: User) -> None:
        await user.open(address)

        proven = {name: found["proven"] for name, found in (await shown(user)).items()}
        assert {name: cell.mood for name, cell in proven.items()} == {
            "fresh": "", "amber": "warn", "red": "bad", "none": "bad",
        }  # fmt: skip
        assert proven["fresh"].text == "2 days ago"
        none = proven["none"]
        assert (proven["amber"].sub, none.text, none.sub) == ("more than 14 days ago", "Not yet", "")

    visit(fleet, journey)


def test_host_without_a_proof_for_too_long_needs_a_person(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/")
        await user.should_see("2 hosts need you.")

        assert {name: found["state"].text for name, found in cells(user).items()} == dict.fromkeys(
            ("red", "none"), "No restore proven for too long"
        )

    visit(fleet, journey)


def test_host_shows_what_is_damaged_and_what_is_good(fleet: Parts) -> None:
    agent_id = AgentId(id_of(fleet, "fresh"))
    with sqlite3.connect(fleet.settings.database) as connection:
        tenant_id = TenantId(connection.execute("SELECT id FROM tenants").fetchone()[0])
    located = [
        LocatedArchive(name="archive-1", archive_id="a" * 64, files_count=1, files=("srv/a file", "srv/\u202eexe.\n"))
    ]

    def damage(connection: sqlite3.Connection) -> None:
        told = {"place": "ab" * 32, "what": "checksum", "found_by": FoundBy.CHECK}
        table.add_damage(connection, tenant_id, agent_id, **told)  # type: ignore[arg-type]
        table.set_located(connection, table.open_damages(connection, agent_id)[0].id, located, clock.now())

    fleet.database.write(damage)

    async def journey(user: User) -> None:
        await user.open(f"/agents/{agent_id}")
        await user.should_see("One place of the repository is damaged.")
        await user.should_see("/srv/a file, /srv/\\u{202e}exe.\\u{a}.")
        await user.should_see("disk and memory now, and replace what fails")
        await user.should_see("archive-1")
        await user.should_see("2 of 2 snapshots are good")
        await user.should_see("Last proven restore 2 days ago")
        await user.should_see("Try a restore now")

    visit(fleet, journey)


def test_report_is_asked_for_the_host_and_the_days_that_are_chosen(fleet: Parts) -> None:
    agent_id = id_of(fleet, "amber")

    async def journey(user: User) -> None:
        await user.open(f"/proofs?host={agent_id}")
        await user.should_see("Report for an auditor")

        links = [element.props["href"] for element in user.find("Download").elements if "href" in element.props]
        assert sorted(link.split("?")[0] for link in links) == [
            "/api/v1/reports/proofs.html", "/api/v1/reports/proofs.json",
        ]  # fmt: skip
        assert all(f"agent_id={agent_id}" in link and "since=" in link and "until=" in link for link in links)

    visit(fleet, journey)


def test_viewer_asks_for_no_drill(fleet: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/proofs")
        assert all(not found["acts"].acts for found in (await shown(user)).values())

    become(fleet, "viewer")
    try:
        visit(fleet, journey)
    finally:
        become(fleet, "administrator")


def test_drill_is_asked_for_by_a_click(fleet: Parts) -> None:
    agent_id = id_of(fleet, "amber")

    async def journey(user: User) -> None:
        await user.open(f"/agents/{agent_id}")
        await user.should_see("Try a restore now")
        user.find("Try a restore now").click()
        await user.should_see("Restore drill")

    visit(fleet, journey)
    with sqlite3.connect(fleet.settings.database) as connection:
        kinds = connection.execute("SELECT kind FROM jobs WHERE agent_id = ? AND state = 'queued'", (agent_id,))
        assert [row[0] for row in kinds] == ["drill"]
