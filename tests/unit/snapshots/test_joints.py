"""Names by what stands on both sides of where their words meet: an index that narrows down and hides nothing."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saveos.protocol import entry_path
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_memory, catalogue_search, indexing, rebuilding, table_catalogue_reading
from saveos.snapshots import table_catalogue as table
from saveos.snapshots.catalogue_model import SearchQuery
from saveos.snapshots.catalogue_pattern import JOINT, Pattern, fold, joints_of
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE = b"f 1 0 644 0"
LIMIT = 1000

# Few letters, so that names have much in common; letters that fold to others or to two; bytes that are no text.
pieces = st.sampled_from(
    [b"a", b"b", b"B", b"7", b"_", b"-", b".", b" ", b'"', b"\\", b"\n", b"\x7f", b"\xff", b"\xc3", b"xff"]
    + [text.encode() for text in ("é", "e\u0301", "ß", "İ", "Σ", "ς", "文", "\U0001f600", "\U00010000")]
)
names = st.lists(pieces, min_size=1, max_size=14).map(b"".join).filter(lambda name: name not in (b".", b".."))
quickly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World.made(Path(folder) / "data")
        yield world
        world.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The indexes that searches look names up in."""
    asked: list[str] = []
    look_up: Callable[..., Any] = table_catalogue_reading.nodes_matching

    def noting(connection: object, index: str, *of: object) -> object:
        asked.append(index)
        return look_up(connection, index, *of)

    monkeypatch.setattr(table_catalogue_reading, "nodes_matching", noting)
    return asked


def search(world: World, text: str) -> list[str]:
    query = SearchQuery(text=text)
    page = catalogue_search.search(world.database, world.settings, world.principal, query, limit=LIMIT)
    assert (None, 0) == (page.next_after, page.skipped_hosts)
    return sorted(hit.path for hit in page.hits)


def tree(*found: bytes) -> dict[bytes, bytes]:
    return dict.fromkeys(found, FILE)


def form_of(world: World, agent: str) -> int:
    connection = table.open_to_write(files.catalogue(world.settings, world.tenant, agent), 2**30)
    found = table.version(connection)
    connection.close()
    return found


def make_old(world: World, agent: str) -> None:
    """Give a host's catalogue the form that it had before there were joints."""
    connection = table.open_to_write(files.catalogue(world.settings, world.tenant, agent), 2**30)
    connection.execute("DROP TABLE joints")
    connection.execute("DELETE FROM trigrams WHERE length(text) = 1")
    connection.execute(f"PRAGMA user_version={table.OLDEST}")
    connection.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc_de", ["abc_de"]),
        ("ab_cd", []),
        ("bc_de", []),
        ("abc_d", []),
        ("abcdef", []),
        ("report_march-7.pdf", ["ort_ma", "rch-7.", "h-7.pd"]),
        ("abc__de", ["abc__d", "bc__de"]),
        ("été_décembre", ["été_dé"]),
        ("文文文.文文文", ["文文文.文文"]),
        ("文文文文文文文", []),
        ("abc\n\nde", ["abc\n\nd", "bc\n\nde"]),
        ("abc\\xff", ["abc\\xf"]),
    ],
)
def test_joint_is_what_stands_around_what_is_no_letter(text: str, expected: list[str]) -> None:
    assert expected == JOINT.findall(text)


@quickly
@given(name=names, data=st.data())
def test_part_of_a_name_has_joints_of_the_name_alone(name: bytes, data: st.DataObject) -> None:
    folded = fold(entry_path(name))
    begin = data.draw(st.integers(0, len(folded)))
    part = folded[begin : data.draw(st.integers(begin, len(folded)))]

    assert set(joints_of(part)) <= set(joints_of(folded))


@quickly
@given(found=st.sets(names, min_size=1, max_size=8), data=st.data())
def test_search_finds_what_a_look_at_every_name_finds(world: World, found: set[bytes], data: st.DataObject) -> None:
    """Texts are parts of a name, most of them cut close to where its words meet, or with a part left open."""
    agent = world.add_host(f"h{world.count}")
    world.back_up(agent, tree(*found))
    name = fold(entry_path(data.draw(st.sampled_from(sorted(found)))))
    at = data.draw(st.sampled_from([*(match.start() + 3 for match in JOINT.finditer(name)), len(name) // 2]))
    begin = max(0, at - data.draw(st.integers(0, 6)))
    end = at + data.draw(st.integers(1, 6))
    text = name[begin:end].rstrip("/")
    if data.draw(st.booleans()) and len(name) > 1:
        text = f"{name[:at]}*{name[at + 1 :]}"

    query = SearchQuery(text=text, agent_ids=(agent,))  # type: ignore[arg-type]
    page = catalogue_search.search(world.database, world.settings, world.principal, query, limit=LIMIT)

    pattern = Pattern(text)
    shown = [entry_path(one) for one in found]
    expected = [one for one in shown if pattern.fits_name(one)]
    assert "*" in text or expected == [one for one in shown if fold(text) in fold(one)]
    assert sorted(expected) == sorted(hit.path for hit in page.hits)
    assert page.next_after is None


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("abc_de", "joints"),
        ("ABC_DE", "joints"),
        ("bc_de", "names"),
        ("abc_d", "names"),
        ("abc*_de", "names"),
        ("x*abc_def*.txt", "joints"),
        ("été_DÉ", "joints"),
        ("c\\xff", "names"),
        ("abc\\xff", "joints"),
    ],
)
def test_joints_are_asked_as_soon_as_a_text_has_one(world: World, asked: list[str], text: str, index: str) -> None:
    held = [
        b"xabc_def.txt",
        "ete\u0301-e\u0301te\u0301_de\u0301but".encode(),
        b"abc\xff",
        b"abcd_e",
        b"ab_cde",
        b"other",
    ]
    world.back_up(world.add_host("h"), tree(*held))
    pattern = Pattern(text)

    found = search(world, text)

    assert [index] == asked
    assert sorted(name for name in map(entry_path, held) if pattern.fits_name(name)) == found
    assert (text == "abc*_de") == (found == [])


def test_rarer_trigram_is_asked_before_common_joints(world: World, asked: list[str]) -> None:
    common = [b"common_00%03d.txt" % number for number in range(700)]
    world.back_up(world.add_host("h"), tree(*common, b"zq7common_00.txt"))

    found = search(world, "zq7common_00")

    assert (["names"], ["zq7common_00.txt"]) == (asked, found)
    assert (701, ["names", "joints"]) == (len(search(world, "common_00")), asked)


def test_name_of_common_words_has_few_candidates(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        b"%b%b" % (one, two) for one in (b"rep", b"inv", b"mar", b"pho") for two in (b"ort", b"oice", b"ch", b"to")
    ]
    held = [b"%b_%b-%d.pdf" % (one, two, number) for one in words for two in words for number in range(10, 20)]
    world.back_up(world.add_host("h"), tree(*held))
    looked_at = 0
    fits_name = Pattern.fits_name

    def counted(pattern: Pattern, name: str) -> bool:
        nonlocal looked_at
        looked_at += 1
        return fits_name(pattern, name)

    monkeypatch.setattr(Pattern, "fits_name", counted)
    found = search(world, "report_march-15.pdf")

    assert ["report_march-15.pdf"] == found
    assert looked_at < 10


def test_catalogue_without_joints_is_searched_and_not_asked_for_again(world: World, asked: list[str]) -> None:
    agent = world.add_host("h")
    world.back_up(agent, tree(b"report_march-7.pdf"))
    search(world, "report_march")  # what is open stays open
    make_old(world, agent)

    assert 0 == rebuilding.ask_for_lost(world.database, world.settings)
    assert ["report_march-7.pdf"] == search(world, "report_march")
    assert ["joints", "names"] == asked


def test_catalogue_without_joints_gets_them_with_the_next_listing(world: World, asked: list[str]) -> None:
    agent = world.add_host("h")
    former = [b"former_%03d-7.pdf" % number for number in range(200)]
    world.back_up(agent, tree(*former, b"nojoint"))
    search(world, "former_100")
    make_old(world, agent)

    world.back_up(agent, tree(*former[:150], b"later_march-7.pdf"))

    assert table.VERSION == form_of(world, agent)
    assert (["former_155-7.pdf"], ["later_march-7.pdf"]) == (search(world, "former_155"), search(world, "later_march"))
    assert [entry_path(name) for name in former[150:160]] == search(world, "former_15")
    assert {"joints"} == set(asked)
    fresh = world.add_host("fresh")
    world.back_up(fresh, tree(*former, b"nojoint"))
    world.back_up(fresh, tree(*former[:150], b"later_march-7.pdf"))
    assert counts_of(world, fresh) == counts_of(world, agent)


def counts_of(world: World, agent: str) -> list[tuple[str, int]]:
    connection = table.open_to_write(files.catalogue(world.settings, world.tenant, agent), 2**30)
    rows = connection.execute("SELECT text, count FROM trigrams ORDER BY text").fetchall()
    connection.close()
    return [tuple(row) for row in rows]


def test_listing_that_fails_leaves_a_catalogue_without_joints_as_it_was(world: World, asked: list[str]) -> None:
    agent = world.add_host("h")
    world.back_up(agent, tree(b"report_march-7.pdf"))
    make_old(world, agent)
    snapshot, archive = world.add_snapshot(agent)

    ending = world.index(agent, snapshot, archive, [b"no listing"], world.heads[agent][0])

    assert ending.code
    assert table.OLDEST == form_of(world, agent)
    assert ["report_march-7.pdf"] == search(world, "report_march")
    assert ["names"] == asked


@pytest.mark.parametrize("version", [table.OLDEST - 1, table.VERSION + 1])
def test_catalogue_of_another_form_is_asked_for_again(world: World, version: int) -> None:
    agent = world.add_host("h")
    world.back_up(agent, tree(b"report_march-7.pdf"))
    connection = table.open_to_write(files.catalogue(world.settings, world.tenant, agent), 2**30)
    connection.execute(f"PRAGMA user_version={version}")
    connection.close()

    assert 1 == rebuilding.ask_for_lost(world.database, world.settings)


def test_catalogue_in_memory_has_joints_too(world: World, asked: list[str]) -> None:
    agent = world.add_host("h")
    snapshot, archive = world.add_snapshot(agent)
    world.back_up(agent, tree(b"report_march-7.pdf"))
    files.remove(world.settings, world.tenant, agent)
    opened = files.opened(catalogue_memory.make(world.settings), world.tenant, agent)
    stream = zlib.compress(b"report_march-7.pdf\0" + FILE + b"\n")
    order = msgspec.structs.replace(world.order(agent, snapshot, archive, stream), catalogue=str(opened))
    try:
        assert indexing.perform(order).code == ""
        found = search(world, "report_march")
    finally:
        catalogue_memory.wipe(world.settings)

    assert (["joints"], ["report_march-7.pdf"]) == (asked, found)
