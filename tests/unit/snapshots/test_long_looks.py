"""Looks into catalogues of hosts that make them long: bounded in memory and time, and they come to an end."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from saveos.snapshots import catalogue_search
from saveos.snapshots.catalogue_model import SearchQuery
from saveos.snapshots.catalogue_reader import Paths
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


def test_paths_that_were_asked_for_last_are_remembered() -> None:
    paths = Paths(limit_bytes=1000)
    for node in range(1, 100):
        paths.keep(node, "x" * 100)
        assert paths.get(1) is not None
        assert paths.bytes <= 1000

    assert [None, "x" * 100] == [paths.get(2), paths.get(99)]
