"""Looks into catalogues of hosts that make them long: bounded in memory and time, and they come to an end."""

from __future__ import annotations

import sqlite3
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from saveos.snapshots import (
    catalogue,
    catalogue_changes,
    catalogue_look,
    catalogue_pool,
    catalogue_reader,
    catalogue_search,
    table_catalogue_reading,
)
from saveos.snapshots.catalogue_look import Look
from saveos.snapshots.catalogue_model import SearchQuery
from saveos.snapshots.catalogue_reader import Paths, Reader
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.made(tmp_path / "data")
    yield world
    world.close()


def deep(count: int) -> list[bytes]:
    """Return the lines of so many folders, each with a file, in a folder whose path is 3,900 bytes long."""
    lines, above = [], b""
    for number in range(176):
        above += (b"\x01" if above else b"") + b"%03d" % number + b"\xff" * 18
        lines.append(b"%b\0d 0 0 755 0\n" % above)
    for number in range(count):
        lines.append(b"%b\x01%06d\0d 0 0 755 0\n" % (above, number))
        lines.append(b"%b\x01%06d\x01xyz\0f 1 0 644 0\n" % (above, number))
    return lines


def test_search_of_long_paths_takes_little_memory(world: World) -> None:
    world.back_up_lines(world.add_host("deep"), deep(3000))
    query = SearchQuery(text="nosuch/xyz")
    catalogue_search.search(world.database, world.settings, world.principal, query)

    tracemalloc.start()
    page = catalogue_search.search(world.database, world.settings, world.principal, query)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert ((), None) == (page.hits, page.next_after)
    assert peak < 12 * 1024**2  # 3,000 such paths take 40 MB


def pages_of(world: World, text: str, seconds: float) -> tuple[set[str], int]:
    """Return all that is found, page by page of so many seconds, and how many pages were cut by the time."""
    found: set[str] = set()
    after, cut = "", 0
    for _page in range(2000):
        page = catalogue_search.search(
            world.database, world.settings, world.principal, SearchQuery(text=text), after=after, seconds=seconds
        )
        found |= {hit.path for hit in page.hits}
        cut += len(page.hits) < 100
        if page.next_after is None:
            return found, cut
        after = page.next_after
    raise AssertionError("The search comes to no end.")


@pytest.mark.parametrize("text", ["rare-", "e-"])
def test_hit_at_the_deadline_is_on_the_next_page(world: World, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.back_up_lines(world.add_host("many"), [b"rare-%04d\0f 1 0 644 0\n" % number for number in range(1000)])
    hit_of, count = Look._hit, 0

    def slow(look: Look, *of: Any) -> Any:
        nonlocal count
        count += 1
        if count % 7 == 0:
            raise sqlite3.OperationalError("interrupted")
        return hit_of(look, *of)

    monkeypatch.setattr(Look, "_hit", slow)
    monkeypatch.setattr(Look, "_is_over", lambda _look: count % 7 == 0)
    found, cut = pages_of(world, text, 60)

    assert (1000, True) == (len(found), cut > 10)


def test_search_that_finds_nothing_goes_on_from_page_to_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [b"rare-%06d\0f 1 0 644 0\n" % number for number in range(5000)]
    world.back_up_lines(world.add_host("many"), [*lines, b"zq\0f 1 0 644 0\n"])
    monkeypatch.setattr(catalogue_look, "SCAN_STEP", 100)
    monkeypatch.setattr(Look, "_is_over", lambda _look: True)  # after each step

    found, cut = pages_of(world, "zq", 60)

    assert ({"zq"}, True) == (found, cut > 50)


def changed(world: World, ids: list[str], limit: int) -> tuple[list[str], int]:
    """Return the paths that changed between two snapshots, page by page, and how many pages there were."""
    found: list[str] = []
    after, pages = "", 0
    while True:
        page = catalogue_changes.changes(
            world.database, world.settings, world.principal, ids[0], ids[1], after=after, limit=limit
        )
        found += [change.path for change in page.changes]
        pages += 1
        if page.next_after is None:
            return found, pages
        after = page.next_after


def test_page_of_changes_reads_no_more_than_it_shows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = world.add_host("many")
    lines = [b"%06d\0f 1 0 644 0\n" % number for number in range(20_000)]
    ids = [world.back_up_lines(agent, some) for some in (lines[:10_000], lines[10_000:])]
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def counting(connection: sqlite3.Connection, *_of: Any) -> Reader:
        connection.set_progress_handler(count, 1000)
        return Reader(connection)

    monkeypatch.setattr(table_catalogue_reading, "stop_at", lambda *_of: None)
    monkeypatch.setattr(catalogue_pool, "Reader", counting)
    page = catalogue_changes.changes(world.database, world.settings, world.principal, *ids, limit=10)

    assert (10, True) == (len(page.changes), page.next_after is not None)
    assert steps < 20  # thousands of instructions: to read all that changed takes some 200


def test_changes_come_to_an_end_however_little_time_there_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = world.add_host("many")
    lines = [b"%03d\0f 1 0 644 0\n" % number for number in range(100)]
    ids = [world.back_up_lines(agent, some) for some in (lines[:50], lines[40:])]
    monkeypatch.setattr(catalogue_changes, "SECONDS", 0)

    found, pages = changed(world, ids, 1000)

    assert ([f"{number:03d}" for number in (*range(40), *range(50, 100))], True) == (sorted(found), pages > 80)


@pytest.mark.parametrize("is_compared", [False, True])
def test_folder_of_which_much_is_gone_comes_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch, *, is_compared: bool
) -> None:
    agent = world.add_host("many")
    lines = [b"%03d\0f 1 0 644 0\n" % number for number in range(50)]
    older = world.back_up_lines(agent, lines[-2:])
    world.back_up_lines(agent, lines)
    newer = world.back_up_lines(agent, lines[-1:])
    monkeypatch.setattr(catalogue_reader, "FOLDER_SECONDS", 0, raising=False)
    found, after, pages = [], "", 0
    while pages < 100:
        page = catalogue.folder(
            world.database,
            world.settings,
            world.principal,
            newer,
            after=after,
            compare=older if is_compared else "",
        )
        found += [(entry.name, entry.change.value) for entry in page.entries]
        pages += 1
        if page.next_after is None:
            break
        after = page.next_after

    assert ([("048", "gone")] if is_compared else []) + [("049", "")] == found
    assert 51 == pages


def test_paths_that_were_asked_for_last_are_remembered() -> None:
    paths = Paths(limit_bytes=1000)
    for node in range(1, 100):
        paths.keep(node, "x" * 100)
        assert paths.get(1) is not None
        assert paths.bytes <= 1000

    assert [None, "x" * 100] == [paths.get(2), paths.get(99)]
