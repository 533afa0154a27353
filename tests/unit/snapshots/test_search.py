"""Search: filters, scopes, pages, what it refuses, and whom it shows nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from saveos.errors import InvalidRequest, NotAllowed, NotFound
from saveos.identity.principals import Actor, Principal, system
from saveos.protocol import TenantId, entry_path
from saveos.snapshots import catalogue, catalogue_changes, catalogue_pool, catalogue_search, rebuilding
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots.catalogue_model import CatalogueState, ItemKind, Scope, SearchQuery
from saveos.snapshots.catalogue_pattern import Pattern
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = 86_400_000
OLD = {
    b"home/ann/report.txt": b"f 100 0 644 0",
    b"home/ann/report.pdf": b"f 5000 %d 644 0" % DAY,
    b"home/ann/reports": b"d 0 0 755 0",
    b"home/ann/link-to-report": b"l 0 0 777 0",
    b"home/ann/gone-report": b"f 7 0 644 0",
}
NEW = {path: facts for path, facts in OLD.items() if b"gone" not in path}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two hosts of one tenant with the same trees, one of another."""
    world = World.made(tmp_path_factory.mktemp("world") / "data")
    world.add_tenant("ten_2")
    for name, tenant in (("one", "ten_1"), ("two", "ten_1"), ("strange", "ten_2")):
        agent = world.add_host(name, tenant)
        world.back_up(agent, OLD)
        world.back_up(agent, NEW)
    yield world
    world.close()


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A host with names beyond ASCII."""
    world = World.made(tmp_path_factory.mktemp("strange") / "data")
    names = ["İstanbul.txt", "straße.txt", "ΣΊΣΥΦΟΣ.txt", "Ça va.txt", "C\u0327a va 2.txt", "\u0529\u052b\u052d.txt"]
    world.back_up(world.add_host("letters"), {name.encode(): b"f 1 0 644 0" for name in names})
    yield world
    world.close()


def search(world: World, text: str, **asked: Any) -> list[str]:
    """Return what is found, as host:path."""
    how = {name: asked.pop(name) for name in ("limit", "after", "seconds") if name in asked}
    query = SearchQuery(text=text, **asked)
    page = catalogue_search.search(world.database, world.settings, world.principal, query, **how)
    return [f"{hit.hostname}:{hit.path.removeprefix('home/ann/')}" for hit in page.hits]


def on_both(*paths: str) -> list[str]:
    return sorted(f"{host}:{path}" for host in ("one", "two") for path in paths)


ALL = on_both("report.txt", "report.pdf", "reports", "link-to-report", "gone-report")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"text": "report"}, ALL),
        ({"text": "REPORT"}, ALL),
        ({"text": "report", "scope": Scope.DELETED}, on_both("gone-report")),
        ({"text": "report", "scope": Scope.LATEST}, [one for one in ALL if "gone" not in one]),
        ({"text": "report", "agent_ids": ("agt_two",)}, [one for one in ALL if one.startswith("two")]),
        ({"text": "report", "agent_ids": ("agt_strange",)}, []),
        ({"text": "report", "kinds": (ItemKind.FOLDER,)}, on_both("reports")),
        ({"text": "report", "kinds": (ItemKind.LINK, ItemKind.FIFO)}, on_both("link-to-report")),
        ({"text": "report", "min_bytes": 101}, on_both("report.pdf")),
        ({"text": "report", "max_bytes": 99, "kinds": (ItemKind.FILE,)}, on_both("gone-report")),
        ({"text": "report", "modified_since": datetime(1970, 1, 2, tzinfo=UTC)}, on_both("report.pdf")),
        (
            {"text": "rep*", "modified_until": datetime(1970, 1, 2, tzinfo=UTC), "kinds": (ItemKind.FILE,)},
            on_both("report.txt"),
        ),
        ({"text": "report.*"}, on_both("report.txt", "report.pdf")),
        ({"text": "*.p?f"}, on_both("report.pdf")),
        ({"text": "ann/report.t"}, on_both("report.txt")),
        ({"text": "/home/ann/report.txt"}, on_both("report.txt")),
        ({"text": "/ann/report.txt"}, []),
        ({"text": "h*/gone*"}, on_both("gone-report")),
        ({"text": "rt"}, ALL),
        ({"text": "%"}, []),
        ({"text": '" OR "rep'}, []),
        ({"text": "report') --"}, []),
        ({"text": "[r]eport*"}, []),
        ({"text": "rep*" * 100}, []),
        ({"text": "*"}, sorted([*ALL, "one:home", "two:home", "one:home/ann", "two:home/ann"])),
    ],
)
def test_search_finds_exactly(world: World, asked: dict[str, Any], expected: list[str]) -> None:
    assert sorted(expected) == sorted(search(world, **asked))


def test_search_in_one_snapshot_finds_what_it_holds(world: World) -> None:
    first, second = (f"snp_{number:06d}" for number in (3, 4))

    assert ["two:gone-report"] == search(world, "gone", at_snapshot_id=first)
    assert [] == search(world, "gone", at_snapshot_id=second)
    with pytest.raises(NotFound):
        search(world, "gone", at_snapshot_id="snp_000005")  # another tenant's


def test_pages_follow_each_other_over_hosts(world: World) -> None:
    found, after = [], ""
    while True:
        page = catalogue_search.search(
            world.database, world.settings, world.principal, SearchQuery(text="report"), limit=3, after=after
        )
        found += [f"{hit.hostname}:{hit.path.removeprefix('home/ann/')}" for hit in page.hits]
        if page.next_after is None:
            break
        assert page.is_cut
        after = page.next_after

    assert sorted(ALL) == sorted(found)


def test_search_out_of_time_says_what_it_skipped(world: World) -> None:
    page = catalogue_search.search(
        world.database, world.settings, world.principal, SearchQuery(text="report"), seconds=0.0
    )

    assert ((), 0, 2, True) == (page.hits, page.searched_hosts, page.skipped_hosts, page.is_cut)


@pytest.mark.parametrize("text", ["\0", "a\0b", "\udcff", "/", "///"])
def test_text_that_no_name_holds_is_refused(world: World, text: str) -> None:
    with pytest.raises(InvalidRequest):
        search(world, text)


@pytest.mark.parametrize("after", ["x", "agt_one", "agt_one.x", "agt_one.-1", "agt_one.²", "agt_strange.0"])
def test_place_that_no_page_ended_at_is_refused(world: World, after: str) -> None:
    with pytest.raises(InvalidRequest):
        search(world, "report", after=after)


@pytest.mark.parametrize("path", ["\\", "a\\x41", "\udcff"])
def test_path_that_no_archive_holds_is_refused(world: World, path: str) -> None:
    where = (world.database, world.settings, world.principal)

    with pytest.raises(InvalidRequest):
        catalogue.folder(*where, "snp_000001", path)
    with pytest.raises(InvalidRequest):
        catalogue.versions(*where, "agt_one", path)
    with pytest.raises(InvalidRequest):
        catalogue_changes.changes(*where, "snp_000001", "snp_000002", path=path)


@pytest.mark.parametrize("path", ["..", "home/..", "/home", "home//ann", "no\0where", "home/ann/report.txt/x"])
def test_path_that_is_not_there_has_no_entries(world: World, path: str) -> None:
    where = (world.database, world.settings, world.principal)

    assert () == catalogue.folder(*where, "snp_000001", path).entries
    assert () == catalogue.versions(*where, "agt_one", path)
    with pytest.raises(NotFound):
        catalogue.entry(*where, "snp_000001", path)


def test_entry_is_the_one_of_its_folder(world: World) -> None:
    where = (world.database, world.settings, world.principal)

    for one in catalogue.folder(*where, "snp_000001", "home/ann").entries:
        assert one == catalogue.entry(*where, "snp_000001", one.path)


def test_other_tenants_are_not_there(world: World) -> None:
    stranger = system(TenantId("ten_2"))
    where = (world.database, world.settings, stranger)

    for look in (
        lambda: catalogue.folder(*where, "snp_000001"),
        lambda: catalogue.entry(*where, "snp_000001", "home"),
        lambda: catalogue.versions(*where, "agt_one", "home"),
        lambda: catalogue.timeline(*where, "agt_one"),
        lambda: catalogue.state(*where, agent_id="agt_one"),
        lambda: catalogue_changes.changes(*where, "snp_000001", "snp_000006"),
        lambda: rebuilding.rebuild(*where, "agt_one"),
    ):
        with pytest.raises(NotFound):
            look()
    page = catalogue_search.search(*where, SearchQuery(text="report"))
    assert {"agt_strange"} == {hit.agent_id for hit in page.hits}


def test_hosts_themselves_see_nothing(world: World) -> None:
    host = Principal(actor=Actor.AGENT, id="agt_one", tenant_id=TenantId("ten_1"))

    with pytest.raises(NotAllowed):
        catalogue_search.search(world.database, world.settings, host, SearchQuery(text="report"))
    with pytest.raises(NotAllowed):
        catalogue.folder(world.database, world.settings, host, "snp_000001")


def test_snapshot_that_is_not_indexed_has_a_state(tmp_path: Path) -> None:
    world = World.made(tmp_path / "data")
    agent = world.add_host("h")
    first = world.back_up(agent, OLD)
    second, _archive = world.add_snapshot(agent)
    where = (world.database, world.settings, world.principal)

    assert CatalogueState.MISSING is catalogue.folder(*where, second).state
    assert CatalogueState.MISSING is catalogue_changes.changes(*where, first, second).state
    rebuilding.rebuild(*where, agent)
    assert CatalogueState.WAITING is catalogue.folder(*where, first).state
    assert (2, 0) == (
        catalogue.state(*where, agent_id=agent).waiting_count,
        catalogue.state(*where, agent_id=agent).missing_count,
    )
    world.close()


@pytest.mark.parametrize("damage", [b"", b"no database" * 1000])
def test_catalogue_that_cannot_be_read_is_missing(tmp_path: Path, damage: bytes) -> None:
    world = World.made(tmp_path / "data")
    agent = world.add_host("h")
    snapshot = world.back_up(agent, OLD)
    where = (world.database, world.settings, world.principal)
    files.remove(world.settings, world.tenant, agent)
    files.catalogue(world.settings, world.tenant, agent).write_bytes(damage)

    page = catalogue.folder(*where, snapshot)
    found = catalogue_search.search(*where, SearchQuery(text="report"))

    assert ((), CatalogueState.MISSING) == (page.entries, page.state)
    assert ((), 1) == (found.hits, found.skipped_hosts)
    world.close()


def test_changes_stay_at_a_path(world: World) -> None:
    where = (world.database, world.settings, world.principal)

    def paths(path: str) -> list[str]:
        page = catalogue_changes.changes(*where, "snp_000001", "snp_000002", path=path)
        return [changed.path for changed in page.changes]

    assert ["home/ann/gone-report"] == paths("") == paths("home/ann") == paths("home/ann/gone-report")
    assert [] == paths("home/an") == paths("etc")


def test_rarest_trigrams_of_a_host_are_looked_up(tmp_path: Path) -> None:
    world = World.made(tmp_path / "data")
    agent = world.add_host("many")
    world.back_up(agent, {b"common-%04d" % number: b"f 1 0 644 0" for number in range(2000)})
    world.back_up(agent, {b"common-%04d" % number: b"f 1 0 644 0" for number in range(4000)})
    pattern = Pattern("common-1999")

    with catalogue_pool.reading(files.catalogue(world.settings, world.tenant, agent)) as reader:
        assert reader is not None
        counts, _has_joints = table.term_counts(reader.connection, list(pattern.trigrams))

    assert 4000 // 64 == counts["com"]
    assert '"999" AND "n-1" AND "com"' == pattern.rarest_trigrams(counts)
    assert ["many:common-1999"] == search(world, "common-1999")
    world.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("straße", ["straße.txt"]),
        ("STRASSE", ["straße.txt"]),
        ("ss", ["straße.txt"]),
        ("ça va", ["Ça va.txt", "C\u0327a va 2.txt"]),
        ("ÇA V*", ["Ça va.txt", "C\u0327a va 2.txt"]),
        ("c\u0327a va", ["Ça va.txt", "C\u0327a va 2.txt"]),
        ("σίσυφος", ["ΣΊΣΥΦΟΣ.txt"]),
        ("ΣΊΣΥΦΟΣ", ["ΣΊΣΥΦΟΣ.txt"]),
        ("İstan", ["İstanbul.txt"]),
        ("stanbul", ["İstanbul.txt"]),
        ("\u0528\u052a\u052c", ["\u0529\u052b\u052d.txt"]),
    ],
)
def test_search_finds_letters_of_any_case_and_form(strange: World, text: str, expected: list[str]) -> None:
    assert sorted(f"letters:{name}" for name in expected) == sorted(search(strange, text))


@pytest.mark.parametrize("text", ["f", "xf", "xff", "\\x", "n\\xf", "8"])
def test_search_finds_bytes_that_are_no_text_as_they_are_shown(tmp_path: Path, text: str) -> None:
    world = World.made(tmp_path / "data")
    names = [b"n\xff", b"n\x80", "n\u00e9".encode(), b"n\\xff"]
    world.back_up(world.add_host("bytes"), dict.fromkeys(names, b"f 1 0 644 0"))

    expected = [f"bytes:{shown}" for shown in map(entry_path, names) if text in shown]
    assert sorted(expected) == sorted(search(world, text))
    world.close()
