"""Every page, drawn for a simulated user through the gate: what it shows and what its buttons do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from saveos.ui.grid import Grid
from tests.support.big_fleet import plant
from tests.ui import board

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from nicegui.testing import User

    from saveos.parts import Parts


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("board")) as made:
        yield made


def visit(parts: Parts, journey: Callable[[User], Awaitable[None]]) -> None:
    """Take a journey as the administrator."""

    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await journey(user)

    asyncio.run(go())


def rows(user: User, kind: str = "hosts") -> list[str]:
    """Return the names in the page's visible grid."""
    grids = [grid for grid in user.find(kind=Grid).elements if grid.props["kind"] == kind and grid.rows]
    return [row.name for grid in grids for row in grid.rows]


def test_overview_without_hosts_leads_to_the_first_one(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/")

        await user.should_see("Nothing is protected yet.")
        await user.should_see("Protect your first host")

    visit(parts, journey)


def test_agents_are_found_by_name(parts: Parts) -> None:
    plant(parts.settings.database, 120, 2)

    async def journey(user: User) -> None:
        await user.open("/agents")
        await user.should_see("120 hosts")
        assert len(rows(user)) == 50

        await user.open("/agents?search=0007")

        await user.should_see("1 host")
        assert len(rows(user)) == 1

    visit(parts, journey)
