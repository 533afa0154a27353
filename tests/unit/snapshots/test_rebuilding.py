"""What becomes of a host's listings and its catalogue when something else happens at the same time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_search
from saveos.snapshots.catalogue_model import SearchQuery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.made(tmp_path / "data")
    yield world
    world.close()


def found(world: World, text: str) -> list[str]:
    """Return the paths that a search finds."""
    page = catalogue_search.search(world.database, world.settings, world.principal, SearchQuery(text=text))
    return [hit.path for hit in page.hits]


def open_files() -> list[str]:
    """Return what this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        except FileNotFoundError:
            continue  # the look itself
    return links


def test_removed_catalogue_is_not_kept_open(world: World) -> None:
    agent = world.add_host("h")
    world.back_up(agent, {b"name": b"f 1 0 644 0"})
    assert ["name"] == found(world, "name")

    files.remove(world.settings, world.tenant, agent)

    assert [] == [name for name in open_files() if name.startswith(str(world.settings.catalogues))]
