"""The pages where agents are updated, drawn for a simulated user through the gate."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import pytest

from saveos.installers import bases
from saveos.jobs import lifecycle
from saveos.jobs.model import JobChoice
from saveos.protocol import Kind, Platform
from saveos.ui.grid import Grid
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit
from tests.ui.hands import Hands
from tests.ui.test_pages import become, first, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.parts import Parts

CONTENT = b"the executable of today"
FORMER = "0" * 64


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Three hosts: two that run a former executable, one that runs the present one."""
    with board.appliance(tmp_path_factory.mktemp("updates")) as made:
        plant(made.settings.database, 3, 1)
        made.settings.bases.mkdir()
        (made.settings.bases / bases.name_of(Platform.LINUX)).write_bytes(CONTENT)
        execute(made, f"UPDATE agents SET build = '{FORMER}'")
        today = hashlib.sha256(CONTENT).hexdigest()
        execute(made, f"UPDATE agents SET build = '{today}' WHERE id = (SELECT max(id) FROM agents)")
        yield made


def execute(parts: Parts, statement: str) -> None:
    parts.database.write(lambda connection: connection.execute(statement) and None)


def updates_asked(parts: Parts) -> set[str | None]:
    principal = board.sign_in(parts)[0]
    return {job.agent_id for job in lifecycle.look(parts.database, principal, JobChoice(kind=Kind.UPDATE)).jobs}


def tick(user: User, ids: list[str]) -> None:
    """Tick the checkboxes of these rows."""
    grid = next(iter(user.find(kind=Grid).elements))
    listener = next(each for each in grid._event_listeners.values() if each.type == "choose")
    assert grid.client is not None
    grid._handle_event({"listener_id": listener.id, "args": {"ids": ids, "on": True}})


def test_agents_with_an_update_are_marked_and_updated_after_a_question(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/agents")
        hands = Hands(user)
        listed = rows(user, "hosts")
        marked = {row.id for row in listed if "update available" in row.cells["host"].sub}
        assert 2 == len(marked)

        tick(user, [row.id for row in listed])
        hands.press("Update")
        await user.should_see("Update the agents of 2 hosts?")
        await user.should_see("1 selected host stays as it is")
        assert set() == updates_asked(parts)
        hands.press("Update")
        await user.should_see("2 hosts update themselves.")

        assert marked == updates_asked(parts)

    visit(parts, journey)


def test_update_of_hosts_that_have_none_cannot_be_pressed(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/agents")
        unmarked = [row.id for row in rows(user, "hosts") if "update available" not in row.cells["host"].sub]

        tick(user, unmarked)

        button = next(each for each in Hands(user).elements if getattr(each, "text", "") == "Update")
        assert button.props["disabled"]

    visit(parts, journey)


def test_agent_is_updated_from_its_own_page(parts: Parts) -> None:
    agent_id = first(parts, "agents", f"build = '{FORMER}'")

    async def journey(user: User) -> None:
        await user.open(f"/agents/{agent_id}")
        await user.should_see("update available")

        Hands(user).press("Update the agent")
        await asyncio.sleep(0.5)

        assert {agent_id} == updates_asked(parts)
        await user.open("/jobs?kind=update")
        assert ["Update"] == [row.cells["what"].text for row in rows(user, "jobs")]

    visit(parts, journey)


def test_viewer_has_no_button_for_updates(parts: Parts) -> None:
    become(parts, "viewer")
    agent_id = first(parts, "agents", f"build = '{FORMER}'")

    async def journey(user: User) -> None:
        await user.open(f"/agents/{agent_id}")
        assert "Update the agent" not in Hands(user).texts
        await user.open("/agents")
        assert "Update" not in Hands(user).texts

    visit(parts, journey)
