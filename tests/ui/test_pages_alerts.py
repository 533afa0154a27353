"""Alerts for the simulated user: on the front page, on the host's, on their own; put away, or called meant."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.agents import machines
from saveos.agents.model import Limits
from saveos.alerts import raising
from saveos.alerts.model import Alert, AlertKind
from saveos.identity.principals import system
from saveos.protocol import AgentId, MachineClass, TenantId
from saveos.snapshots import backup, guarding, overdue
from saveos.snapshots.model import Standing
from saveos.tenants import users
from saveos.ui.alert_words import evidence
from saveos.ui.grid import Grid
from saveos.ui.words import Words
from tests.support import recording
from tests.support.big_fleet import plant
from tests.support.machines import OfficeServer, in_place
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.identity.principals import Principal
    from saveos.parts import Parts

NOW = datetime.now(UTC)


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """An appliance with a file server whose files were encrypted, and a host that is missed."""
    with board.appliance(tmp_path_factory.mktemp("alerts")) as made:
        tenant = users.default_tenant(made.database)
        policy = made.database.read.execute("SELECT id FROM policies WHERE is_default").fetchone()[0]
        machine = OfficeServer(1)
        clock.set_source(lambda: NOW - timedelta(days=3))
        made.database.write(lambda connection: recording.enrol(connection, tenant, policy, "agt_files", "files"))
        made.database.write(lambda connection: recording.enrol(connection, tenant, policy, "agt_away", "away"))
        for run in (machine.first(), machine.back_up(), machine.back_up(in_place(machine))):
            recording.record(made.database, "agt_files", run)
        clock.set_source(None)
        made.database.write(overdue.tick)
        yield made


def us(parts: Parts) -> Principal:
    return system(users.default_tenant(parts.database))


def visit(parts: Parts, path: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(path)
            await journey(Hands(user))

    asyncio.run(go())


def test_front_page_tells_what_is_wrong_with_its_evidence(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("2 hosts need you.", "Files changed as they never do", "No backup for too long")
        await hands.read("are no longer what their names promise", "The last snapshot before it is held")
        await hands.read("A server may go without a backup for 1 d 0 h", "It has never been backed up.")

    visit(parts, "/", journey)


def test_gravest_alert_stands_first_however_many_backups_are_missing(parts: Parts) -> None:
    plant(parts.settings.database, 120, 1)
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("DELETE FROM alerts WHERE kind = 'overdue'")
        connection.execute(
            "INSERT INTO alerts (id, tenant_id, agent_id, kind, opened_at, evidence_json)"
            " SELECT 'alt_zz' || id, tenant_id, id, 'overdue', ?, '{}' FROM agents WHERE id <> 'agt_files'",
            (clock.to_text(clock.now()),),
        )
        (missed,) = connection.execute("SELECT count(*) FROM alerts WHERE kind = 'overdue'").fetchone()
    assert missed > 100

    async def overview(hands: Hands) -> None:
        await hands.read("Files changed as they never do", f"{missed - 4} more alerts")

    async def every(hands: Hands) -> None:
        await hands.read("Files changed as they never do", f"1 to 50 of {missed + 1}")
        titles = [getattr(e, "text", "") for e in hands.elements if e.tag == "h2"]
        assert "Files changed as they never do" == titles[0]
        hands.press("Next")
        await hands.read(f"51 to 100 of {missed + 1}")

    visit(parts, "/", overview)
    visit(parts, "/alerts", every)


def test_host_names_all_its_alerts_the_worst_first(parts: Parts) -> None:
    def write(connection: sqlite3.Connection) -> None:
        for kind in (AlertKind.OVERDUE, AlertKind.QUOTA, AlertKind.DAMAGE):
            raising.raise_alert(connection, us(parts).tenant_id, AgentId("agt_files"), kind)

    parts.database.write(write)
    wanted = (
        "Files changed as they never do · Stored data is damaged · A storage limit is reached · No backup for too long"
    )

    async def journey(hands: Hands) -> None:
        await hands.until(lambda: wanted in subs(hands))
        parts.database.write(
            lambda connection: raising.raise_alert(
                connection, us(parts).tenant_id, AgentId("agt_files"), AlertKind.HOSTILE
            )
        )
        with sqlite3.connect(parts.settings.database) as connection:
            connection.execute(
                "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at, frozen_at)"
                " SELECT 'rep_1', tenant_id, id, 'ready', enrolled_at, enrolled_at FROM agents WHERE id = 'agt_files'"
            )
        await hands.until(lambda: f"Somebody has to look at it and decide. · {wanted}" in subs(hands))

    visit(parts, "/agents", journey)


def subs(hands: Hands) -> list[str]:
    """Return what stands small in the cells of the grids."""
    grids = [element for element in hands.elements if isinstance(element, Grid)]
    return [cell.sub for grid in grids for row in grid.rows for cell in row.cells.values() if cell.sub]


def test_alert_is_put_away_on_a_click(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("No backup for too long")
        hands.press("Put away: No backup for too long, away")
        await hands.until(lambda: not any("No backup for too long" == text for text in hands.texts))
        assert {AlertKind.UNUSUAL} == {one.kind for one in raising.find(parts.database, us(parts), is_open=True)}

    visit(parts, "/", journey)
    parts.database.write(overdue.tick)
    assert 1 == len(raising.find(parts.database, us(parts), is_open=True))


def test_changes_that_were_meant_make_the_host_good_again(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("An alert needs you", "Changes from backup to backup", "This was meant")
        assert "Suspect" in hands.grid_texts()
        hands.press("This was meant: files")
        await hands.until(lambda: "Unusual, and meant" in hands.grid_texts())
        await hands.read("Protected")

    visit(parts, "/agents/agt_files", journey)
    assert "meant" == guarding.of_agent(parts.database, us(parts), "agt_files")[0].state


def test_snapshot_shows_its_numbers(parts: Parts) -> None:
    snapshots = backup.of_agent(parts.database, us(parts), "agt_files")
    snapshot = next(one for one in snapshots if one.standing is Standing.SUSPECT)

    async def journey(hands: Hands) -> None:
        await hands.read("Suspect", "Bits per byte", "8.0")

    visit(parts, f"/snapshots/{snapshot.id}", journey)


def test_past_alerts_are_found_by_host(parts: Parts) -> None:
    somebody, _cookie = board.sign_in(parts)
    raising.put_away(parts.database, somebody, raising.find(parts.database, somebody, agent_id="agt_away")[0].id)

    async def journey(hands: Hands) -> None:
        await hands.read("No backup for too long", "put away by")
        assert not any("Files changed" in text for text in hands.texts)

    visit(parts, "/alerts?agent=agt_away", journey)


def test_kind_of_machine_is_chosen_on_the_hosts_page(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        hands.choose("Kind of machine", "laptop")
        await hands.until(lambda: MachineClass.LAPTOP is kind())

    def kind() -> MachineClass:
        return backup.agent_of(parts.database.read, AgentId("agt_away")).lives_as

    visit(parts, "/agents/agt_away", journey)
    parts.database.write(overdue.tick)
    assert [] == raising.find(parts.database, us(parts), agent_id="agt_away", is_open=True)


def test_limits_are_set_among_the_settings(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("When a backup is overdue")
        hands.type("Server: hours without a backup after it was due", "none")
        hands.press("Save: When a backup is overdue")
        await hands.read("A number of hours from 1 to 8784.")
        hands.type("Server: hours without a backup after it was due", "96")
        hands.press("Save: When a backup is overdue")
        await hands.until(lambda: Limits(server=96) == machines.limits(parts.database, us(parts)))

    visit(parts, "/settings", journey)


@pytest.mark.parametrize("kind", list(AlertKind))
@pytest.mark.parametrize("language", ["en", "fr"])
def test_every_kind_of_alert_is_told_whatever_its_evidence_is(parts: Parts, kind: AlertKind, language: str) -> None:
    told = {
        "findings": {"archives-lost": 3, "growth": 5_000_000_000, "manifest-shrunk": 1, "other": 2}
        if kind is AlertKind.HOSTILE
        else [{"sign": "vanished", "value": 0.712, "usual": 0.0042, "count": 9}, {"sign": "unheard-of"}],
        "free_bytes": 12_000_000,
        "found_at": "2026-03-04T12:00:00.000000Z",
        "path": "/srv",
        "due_at": "nonsense",
    }

    def write(connection: sqlite3.Connection) -> None:
        tenant: TenantId = users.default_tenant(parts.database)
        raising.clear(connection, tenant, None, kind)
        raising.raise_alert(connection, tenant, None, kind, **told)

    parts.database.write(write)
    (alert,) = [one for one in raising.find(parts.database, us(parts)) if one.agent_id is None]
    lines = evidence(Words(language), alert)

    assert lines
    assert all(line.strip() and "{" not in line for line in lines)
    if kind is AlertKind.UNUSUAL and language == "en":
        assert "71% of the files are gone; 0.4% is usual." == lines[0]
    if kind is AlertKind.DISK_FULL and language == "en":
        assert "12\N{NO-BREAK SPACE}MB are free." in lines


@pytest.mark.parametrize(
    ("kind", "told", "expected"),
    [
        (
            AlertKind.DAMAGE,
            {"objects": 1, "files": ["etc/fstab"], "archives": ["web-1"], "good_snapshots": 4, "snapshots": 5},
            [
                "One place of the repository is damaged.",
                "Files that need it: /etc/fstab.",
                "Snapshots that need it: web-1.",
                "4 of 5 snapshots are good.",
            ],
        ),
        (
            AlertKind.DAMAGE,
            {
                "objects": 2,
                "loose_bytes": 1,
                "is_located": True,
                "archives": ["web-1", "web-2"],
                "archives_count": 3,
                "snapshots_at": ["2026-03-04T12:00:00.000000Z", "2026-03-03T12:00:00.000000Z"],
                "unlisted": 1,
                "files": ["etc/a\u202eb"],
                "files_count": 9,
                "good_snapshots": 4,
                "snapshots": 7,
                "newest_good": "2026-03-05T12:00:00.000000Z",
            },
            [
                "2 places of the repository are damaged.",
                "One place on the disk is damaged that no snapshot needs.",
                "Files that need it: /etc/a\\u{202e}b, and others.",
                "Snapshots that need it: 4 Mar 2026, 12:00 UTC; 3 Mar 2026, 12:00 UTC, and others.",
                "One of these snapshots cannot say any more what it holds: little or nothing comes back from it.",
                "4 of 7 snapshots are good.",
                "The newest good one: 5 Mar 2026, 12:00 UTC.",
            ],
        ),
        (
            AlertKind.DAMAGE,
            {"objects": 1, "is_manifest": True, "is_located": False, "good_snapshots": 3, "snapshots": 3},
            [
                "One place of the repository is damaged.",
                "The list of its archives is among them: none of them can be opened until that is repaired.",
            ],
        ),
        (
            AlertKind.DAMAGE,
            {"objects": 0, "loose_bytes": 1, "is_missing": True, "good_snapshots": 3, "snapshots": 3},
            ["The repository is not on the appliance\u2019s disk. Nothing can be restored until its folder is back."],
        ),
        (
            AlertKind.DAMAGE,
            {"objects": 1, "is_located": False, "archives_count": 0, "good_snapshots": 3, "snapshots": 3},
            [
                "One place of the repository is damaged.",
                "The host says which files need it as soon as it is online.",
            ],
        ),
        (
            AlertKind.DAMAGE,
            {"objects": 1, "archives": ["web-1"], "archives_count": 1, "files_count": 2},
            [
                "One place of the repository is damaged.",
                "2 files need it. Their names are sealed, or too many to be kept.",
                "Snapshots that need it: web-1.",
            ],
        ),
        (
            AlertKind.UNPROVEN,
            {"reason": "mismatch", "mismatches": 2, "compared": 30, "files": ["a\u202eb"], "archives": []},
            ["2 of 30 files did not come back as they were.", "Files that need it: /a\\u{202e}b."],
        ),
        (AlertKind.UNPROVEN, {"reason": "not-genuine"}, ["What the host says of this drill is not signed by it."]),
    ],
)
def test_damage_and_drills_are_told_in_words(kind: AlertKind, told: dict[str, Any], expected: list[str]) -> None:
    alert = Alert(
        id="alt_1",
        tenant_id=TenantId("ten_1"),
        agent_id=AgentId("agt_1"),
        kind=kind,
        opened_at=clock.now(),
        cleared_at=None,
        cleared_by="",
        evidence=told,
    )

    assert expected == evidence(Words("en"), alert)
