"""The files of snapshots, browsed, searched and compared by a simulated user through the gate."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from saveos.protocol import entry_path
from saveos.tenants import users
from saveos.ui.grid import Grid
from saveos.ui.slider import Slider
from tests.support.catalogues import World
from tests.ui import board
from tests.ui.board import visit
from tests.ui.hands import Hands
from tests.ui.test_pages import become

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.parts import Parts

TREE = {
    b"srv/docs/plan.odt": b"f 5000 1760000000000 644 0",
    b"srv/docs/budget.xlsx": b"f 90000 1760000000000 600 0",
    b"srv/docs/former.txt": b"f 10 1700000000000 644 0",
    b"srv/docs/<b>bold.txt": b"f 1 1760000000000 644 0",
    "srv/docs/photo\u202egnp.exe".encode(): b"f 2 1760000000000 644 0",
    b"srv/docs/caf\xe9.txt": b"f 3 1760000000000 644 0",
    b"srv/link": b"l 0 1760000000000 777 0",
}
LATER = {path: facts for path, facts in TREE.items() if path != b"srv/docs/former.txt"} | {
    b"srv/docs/plan.odt": b"f 6000 1765000000000 644 0",
    b"srv/docs/new.odt": b"f 7 1765000000000 644 0",
}


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("files")) as made:
        yield made


@pytest.fixture
def world(parts: Parts) -> World:
    """Two hosts; the first has two snapshots."""
    tenant = users.default_tenant(parts.database)
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute(
            "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
            " compression, created_at) VALUES (?, ?, 'p', '[]', '[]', '', '{}', 'lz4', '2026-01-01T00:00:00.000000Z')",
            (f"pol_{tenant}", tenant),
        )
    world = World(parts.settings, parts.database, tenant)
    for name in ("web-01", "files-02"):
        world.add_host(name)
    return world


@pytest.fixture
def snapshots(world: World) -> tuple[str, str]:
    first, second = world.back_up("agt_web-01", TREE), world.back_up("agt_web-01", LATER)
    world.back_up("agt_files-02", {b"home/anna/plan.odt": b"f 1 1760000000000 644 0"})
    return first, second


def names_of(hands: Hands, kind: str = "entries") -> list[str]:
    grid = next(e for e in hands.elements if isinstance(e, Grid) and e.props["kind"] == kind)
    return [row.cells[next(iter(row.cells))].text for row in grid.rows]


def cells(hands: Hands, row_id: str) -> dict[str, Any]:
    grid = next(e for e in hands.elements if isinstance(e, Grid) and any(row.id == row_id for row in e.rows))
    return next(row.cells for row in grid.rows if row.id == row_id)


def choose(hands: Hands, *ids: str, is_on: bool = True) -> None:
    grid = next(e for e in hands.elements if isinstance(e, Grid) and any(row.id == ids[0] for row in e.rows))
    hands._emit(grid, "choose", {"ids": list(ids), "on": is_on})


def test_browse_into_a_folder_shows_every_name_as_what_it_is(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[0]}/files")
        hands = Hands(user)
        await hands.until(lambda: names_of(hands) == ["srv"])
        hands.act("srv", "open")
        await hands.until(lambda: names_of(hands) == ["docs", "link"])
        hands.act("srv/docs", "open")
        await hands.until(lambda: "plan.odt" in names_of(hands))

        assert {
            "plan.odt",
            "budget.xlsx",
            "former.txt",
            "<b>bold.txt",
            "photo\\u{202e}gnp.exe",
            "caf\\xe9.txt",
        } == set(names_of(hands))

    visit(parts, journey)


def test_files_of_a_lost_snapshot_are_named_and_not_to_be_had(parts, snapshots):
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE snapshots SET standing = 'lost' WHERE id = ?", (snapshots[0],))

    async def journey(user: User) -> None:
        hands = Hands(user)
        await user.open(f"/snapshots/{snapshots[0]}/files?path=srv/docs")
        await hands.until(lambda: "plan.odt" in names_of(hands))
        await hands.read("The archive of this snapshot is gone from the repository")
        assert ["versions"] == [act.id for act in cells(hands, "srv/docs/plan.odt")["acts"].acts]

        await user.open(f"/snapshots/{snapshots[1]}/files?path=srv/docs")
        await hands.until(lambda: "new.odt" in names_of(hands))
        assert ["download", "versions"] == [act.id for act in cells(hands, "srv/docs/plan.odt")["acts"].acts]
        assert not any("is gone from the repository" in text for text in hands.texts)

    visit(parts, journey)


def test_browse_at_an_address_compares_with_the_snapshot_before(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[1]}/files?path=srv/docs&compare=1")
        hands = Hands(user)
        await hands.until(lambda: "new.odt" in names_of(hands))

        assert "new" == cells(hands, "srv/docs/new.odt")["change"].text
        assert "changed" == cells(hands, "srv/docs/plan.odt")["change"].text
        assert "gone" == cells(hands, "/srv/docs/former.txt")["change"].text
        assert () == cells(hands, "/srv/docs/former.txt")["acts"].acts

    visit(parts, journey)


def test_file_that_became_a_folder_is_shown_as_both(parts, world):
    for tree in ({b"srv/data": b"f 1 0 644 0"}, {b"srv/data/x": b"f 1 0 644 0"}):
        snapshot = world.back_up("agt_web-01", tree)

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshot}/files?path=srv&compare=1")
        hands = Hands(user)
        await hands.until(lambda: names_of(hands) == ["data", "data"])
        assert [("srv/data", "new"), ("/srv/data", "gone")] == [
            (row.id, row.cells["change"].text) for row in grid(hands).rows
        ]

        await user.open(f"/snapshots/{snapshot}/changes")
        hands = Hands(user)
        await hands.read("changes since")
        assert {("srv/data", "new"), ("/srv/data", "gone"), ("srv/data/x", "new")} == {
            (row.id, row.cells["change"].text) for row in grid(hands).rows
        }

    visit(parts, journey)


def test_travel_to_an_older_moment_keeps_the_folder(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[1]}/files?path=srv/docs")
        hands = Hands(user)
        await hands.until(lambda: "new.odt" in names_of(hands))
        slider = next(e for e in hands.elements if isinstance(e, Slider))
        hands._emit(slider, "pick", 0)

        await hands.until(lambda: "former.txt" in names_of(hands))
        assert "new.odt" not in names_of(hands)

    visit(parts, journey)


def test_tick_of_a_folder_takes_what_lies_in_it_along(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[0]}/files?path=srv/docs")
        hands = Hands(user)
        await hands.until(lambda: "plan.odt" in names_of(hands))
        choose(hands, "srv/docs/plan.odt", "srv/docs/budget.xlsx")
        await hands.read("2 entries chosen")
        hands.press("web-01")
        await hands.until(lambda: names_of(hands) == ["srv"])
        choose(hands, "srv")
        await hands.read("1 entry chosen")
        hands.act("srv", "open")

        await hands.until(lambda: names_of(hands) == ["docs", "link"])
        assert "" == next(row.name for row in grid(hands).rows if row.id == "srv/docs")
        hands.press("Clear")
        await hands.until(lambda: not any("chosen" in text for text in hands.texts))

    visit(parts, journey)


def grid(hands: Hands) -> Grid:
    return next(e for e in hands.elements if isinstance(e, Grid) and e.props["kind"] == "entries")


def test_browse_as_a_viewer_offers_nothing_to_take_away(parts, snapshots):
    become(parts, "viewer")

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[0]}/files?path=srv/docs")
        hands = Hands(user)
        await hands.until(lambda: "plan.odt" in names_of(hands))

        assert ["versions"] == [act.id for act in cells(hands, "srv/docs/plan.odt")["acts"].acts]
        assert {""} == {row.name for row in grid(hands).rows}

    visit(parts, journey)


def test_browse_of_what_is_not_indexed_says_so(parts, world):
    snapshot, _archive = world.add_snapshot("agt_web-01")

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshot}/files")
        hands = Hands(user)
        await hands.read("not in the catalogue")
        hands.press("Make the catalogue again")

        await hands.read("is being made")

    visit(parts, journey)


@pytest.mark.usefixtures("snapshots")
def test_search_by_part_of_a_name_finds_all_hosts_and_what_is_deleted(parts):
    async def journey(user: User) -> None:
        await user.open("/search?q=plan")
        hands = Hands(user)
        await hands.read("2 entries")
        assert ["plan.odt", "plan.odt"] == names_of(hands)

        hands.type("Name", "former.txt")
        hands.press("Search")
        await hands.read("1 entry")
        assert ["former.txt"] == names_of(hands)

        hands.choose("Held by", "latest")
        await hands.read("Nothing was found")

    visit(parts, journey)


@pytest.mark.usefixtures("snapshots")
def test_search_with_a_size_that_is_none_says_how_to_write_one(parts):
    async def journey(user: User) -> None:
        await user.open("/search?q=plan")
        hands = Hands(user)
        await hands.read("2 entries")
        hands.type("Larger than", "huge")
        hands.press("Search")

        await hands.read("This is no size")

    visit(parts, journey)


@pytest.mark.usefixtures("snapshots")
def test_search_ticked_on_two_hosts_makes_a_line_for_each(parts):
    async def journey(user: User) -> None:
        await user.open("/search?q=plan")
        hands = Hands(user)
        await hands.read("2 entries")
        choose(hands, *[row.id for row in grid(hands).rows])

        await hands.until(lambda: 2 == sum("1 entry chosen" in text for text in hands.texts))

    visit(parts, journey)


@pytest.mark.usefixtures("snapshots")
def test_versions_of_a_file_tell_which_snapshots_hold_them(parts):
    async def journey(user: User) -> None:
        await user.open("/agents/agt_web-01/versions?path=srv/docs/plan.odt")
        hands = Hands(user)
        await hands.until(lambda: len(names_of(hands, "versions")) == 2)

        assert "6.0" in cells(hands, "0")["size"].text
        assert "in the newest snapshot" == cells(hands, "0")["held"].sub
        assert "5.0" in cells(hands, "1")["size"].text

    visit(parts, journey)


def test_changes_between_two_snapshots_are_listed(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[1]}/changes")
        hands = Hands(user)
        await hands.read("changes since")

        found = {row.id: row.cells["change"].text for row in grid(hands).rows if "is-file" in row.classes}
        assert {"srv/docs/new.odt": "new", "/srv/docs/former.txt": "gone", "srv/docs/plan.odt": "changed"} == found

    visit(parts, journey)


def test_changes_of_the_only_snapshot_say_that_it_is(parts, world):
    only = world.back_up("agt_web-01", TREE)

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{only}/changes")
        await Hands(user).read("only snapshot")

    visit(parts, journey)


def test_download_from_a_host_that_is_away_asks_for_the_recovery_code(parts, snapshots):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[0]}/files?path=srv/docs")
        hands = Hands(user)
        await hands.until(lambda: "plan.odt" in names_of(hands))
        hands.act("srv/docs/plan.odt", "download")

        await hands.read("Unlock with the recovery code")

    visit(parts, journey)


@pytest.mark.parametrize("path", ["../etc", "a//b", "\\x", "%00", "x" * 5000, entry_path(b"\xff")])
def test_browse_at_an_address_that_cannot_be_breaks_nothing(parts, snapshots, path):
    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshots[0]}/files?path={path}")
        hands = Hands(user)

        assert "Files of web-01" in hands.texts
        assert [] == [row.id for row in grid(hands).rows]

    visit(parts, journey)
