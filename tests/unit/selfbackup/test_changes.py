"""What counts as a change of the appliance, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from saveos.database.migrations import WATCHED
from saveos.selfbackup import table
from tests.support.catalogues import World

if TYPE_CHECKING:
    from pathlib import Path

CERTIFICATE = "serial, kind, subject, thumbprint, issued_at, expires_at"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World.made(tmp_path)
    world.add_host("web")
    return world


def counted(world: World, statement: str) -> tuple[int, int]:
    """Return by how much changes and records grow with a statement."""
    before = table.state(world.database.read)
    world.database.write(lambda connection: connection.execute(statement))
    after = table.state(world.database.read)
    return after.changes - before.changes, after.records - before.records


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE agents SET state = 'revoked'", 1),
        ("UPDATE agents SET hostname = 'other'", 1),
        ("UPDATE agents SET seen_at = '2026'", 0),
        ("UPDATE agents SET state = state", 0),
        ("UPDATE tenants SET recovery_public_key = x'00'", 1),
        ("UPDATE policies SET schedule = 'x'", 1),
        ("INSERT INTO facts (name, value) VALUES ('disk-full', 'x')", 0),
        ("INSERT INTO seals VALUES ('agt_web', x'00', 'recovery', '', '')", 1),
        (f"INSERT INTO certificates ({CERTIFICATE}) VALUES ('','','','','','')", 1),
        ("INSERT INTO offsite_stores VALUES ('sto_1', NULL, '{}', x'00', '')", 1),
    ],
)
def test_change_is_counted(world: World, statement: str, expected: int) -> None:
    assert (expected, 0) == counted(world, statement)


def test_change_of_address_is_counted_once(world: World) -> None:
    world.database.write(lambda connection: connection.execute("INSERT INTO facts VALUES ('addresses', '[1]')"))

    assert (1, 0) == counted(world, "UPDATE facts SET value = '[2]' WHERE name = 'addresses'")
    assert (0, 0) == counted(world, "UPDATE facts SET value = '[2]' WHERE name = 'addresses'")


def test_snapshot_is_counted_as_a_record(world: World) -> None:
    before = table.state(world.database.read)

    world.add_snapshot("agt_web")

    after = table.state(world.database.read)
    assert (0, 1) == (after.changes - before.changes, after.records - before.records)


def test_each_watched_table_has_its_triggers(world: World) -> None:
    rows = world.database.read.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    names = [row["tbl_name"] for row in rows]

    assert {3} == {names.count(name) for name in WATCHED}
