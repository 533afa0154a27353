"""The pages of policies, drawn for a simulated user through the gate."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from saveos.errors import NotAllowed
from saveos.identity.principals import Actor, Principal, Role
from saveos.policies import editing
from saveos.policies.model import Policy, Terms
from saveos.tenants import users
from saveos.ui.grid import Grid
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit
from tests.ui.test_pages import become

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.element import Element
    from nicegui.testing import User

    from saveos.parts import Parts
    from saveos.ui.grid import Row


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("policies")) as made:
        plant(made.settings.database, 3, 1)
        yield made


def somebody(parts: Parts, role: Role = Role.ADMINISTRATOR) -> Principal:
    return Principal(actor=Actor.USER, id="u", tenant_id=users.default_tenant(parts.database), role=role)


def named(parts: Parts, name: str) -> Policy:
    found = editing.find(parts.database, somebody(parts))
    return next(use.policy for use in found if use.policy.name == name)


def elements(user: User, tag: str = "", **attributes: Any) -> list[Element]:
    assert user.client is not None
    return [
        element
        for element in user.client.elements.values()
        if tag in ("", element.tag)
        and all(element.props.get(key.replace("_", "-")) == value for key, value in attributes.items())
    ]


def labelled(user: User, label: str) -> Element:
    """Return the field with that label."""
    caption = next(caption for caption in elements(user, "label") if getattr(caption, "text", "") == label)
    return next(iter(elements(user, id=caption.props["for"])))


def trigger(user: User, element: Element, event: str, args: Any = None) -> None:
    from nicegui.testing.user_interaction import UserInteraction

    UserInteraction(user, {element}, None).trigger(event, args)


def button(user: User, text: str) -> Element:
    return next(found for found in elements(user, "button") if getattr(found, "text", "") == text)


def rows(user: User) -> dict[str, Row]:
    grid = next(iter(user.find(kind=Grid).elements))
    return {row.name: row for row in grid.rows}


async def act(user: User, row: Row, what: str) -> None:
    grid = next(iter(user.find(kind=Grid).elements))
    trigger(user, grid, "act", {"row": row.id, "act": what})
    await asyncio.sleep(0.3)


def test_list_says_each_policy_in_words(parts: Parts) -> None:
    terms = Terms(name="Laptops", sources=("/home",), excludes=("*.iso",), schedule="30 12 * * 1-5")
    editing.create(parts.database, somebody(parts), terms)

    async def journey(user: User) -> None:
        await user.open("/policies")

        cells = rows(user)["Laptops"].cells
        assert ("/home", "1 exclude", "Weekdays at 12:30", "0") == (
            cells["what"].text,
            cells["what"].sub,
            cells["when"].text,
            cells["hosts"].text,
        )
        assert "3" == rows(user)["Default"].cells["hosts"].text
        assert ["duplicate"] == [act.id for act in rows(user)["Default"].cells["acts"].acts]

    visit(parts, journey)


def test_list_duplicates_changes_the_default_and_deletes_what_is_confirmed(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/policies")
        await act(user, rows(user)["Default"], "duplicate")
        await act(user, rows(user)["Default (2)"], "default")
        assert named(parts, "Default (2)").is_default

        await act(user, rows(user)["Default"], "delete")
        await user.should_see("3 hosts are under it. Give them another policy first.")
        await act(user, rows(user)["Default (2)"], "duplicate")
        await act(user, rows(user)["Default (2) (2)"], "delete")
        await user.should_see("No host is under it. It cannot be brought back.")
        trigger(user, button(user, "Delete"), "click")
        await asyncio.sleep(0.3)

        assert {"Default", "Default (2)"} == set(rows(user))

    visit(parts, journey)


def test_new_policy_is_made_with_what_was_typed(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/policies/new")
        trigger(user, labelled(user, "Name"), "input", "Servers")
        trigger(user, button(user, "Add a line"), "click")
        trigger(user, next(iter(elements(user, aria_label="Folders and files 1"))), "input", "/srv/data")
        trigger(user, labelled(user, "How often"), "change", "monthly")
        trigger(user, labelled(user, "Day of the month"), "input", "15")
        trigger(user, labelled(user, "Time"), "input", "04:30")
        trigger(user, labelled(user, "Years"), "input", "3")
        trigger(user, labelled(user, "Compression"), "change", "zstd,10")
        await user.should_see("On the 15th of each month at 04:30")
        await user.should_see("There are changes that are not saved.")
        trigger(user, button(user, "Create the policy"), "click")
        await user.should_see("Servers is saved.")

    visit(parts, journey)

    made = named(parts, "Servers")
    assert (("/srv/data",), "30 4 15 * *", 3, "zstd,10") == (
        made.sources,
        made.schedule,
        made.retention.keep_yearly,
        made.compression,
    )


def test_lines_are_added_with_enter_and_taken_away_with_their_cross(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open("/policies/new")
        trigger(user, button(user, "Add a line"), "click")
        trigger(user, next(iter(elements(user, aria_label="Folders and files 1"))), "input", "/a")
        trigger(user, next(iter(elements(user, aria_label="Folders and files 1"))), "keydown.enter")
        trigger(user, next(iter(elements(user, aria_label="Folders and files 2"))), "input", "/b")
        trigger(user, next(iter(elements(user, aria_label="Remove line 1"))), "click")

        lines = [found.props["value"] for found in elements(user, "input") if "mono" in found.classes]
        assert ["/b"] == lines

    visit(parts, journey)


def test_editor_says_at_the_field_what_is_wrong_and_keeps_nothing(parts: Parts) -> None:
    before = named(parts, "Default")

    async def journey(user: User) -> None:
        await user.open(f"/policies/{before.id}")
        trigger(user, button(user, "Add a line"), "click")
        source = next(iter(elements(user, aria_label="Folders and files 1")))
        trigger(user, source, "input", "data")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("Write the whole path, from / or from C:\\ on.")
        assert "true" == next(iter(elements(user, aria_label="Folders and files 1"))).props["aria-invalid"]

        trigger(user, next(iter(elements(user, aria_label="Folders and files 1"))), "input", "/data")
        trigger(user, labelled(user, "Days"), "input", "-4")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("Each number is from 0 to 10,000.")

        trigger(user, labelled(user, "Days"), "input", "4")
        trigger(user, labelled(user, "How often"), "change", "cron")
        trigger(user, labelled(user, "Cron"), "input", "at tea time")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("This is no cron text: minute, hour, day, month, weekday.")

        trigger(user, labelled(user, "How often"), "change", "hourly")
        trigger(user, labelled(user, "Minute of the hour"), "input", "75")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("From 0 to 59.")

    visit(parts, journey)

    assert before == named(parts, "Default")


def test_language_switch_keeps_the_draft(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open(f"/policies/{named(parts, 'Default').id}")
        trigger(user, labelled(user, "Name"), "input", "Half typed")
        trigger(user, labelled(user, "How often"), "change", "weekly")
        trigger(user, labelled(user, "Months"), "input", "x")

        trigger(user, next(iter(elements(user, "input", value="fr"))), "change")
        await user.should_see("Des changements ne sont pas enregistrés.")

        await user.should_see("Du lundi au vendredi à 02:00")
        assert "Half typed" == labelled(user, "Nom").props["value"]
        assert "x" == labelled(user, "Mois").props["value"]

    visit(parts, journey)


def test_calendar_and_next_runs_follow_what_is_typed(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open(f"/policies/{named(parts, 'Default').id}")
        await user.should_see("By the clock of Europe/Paris")  # of the first host that is online
        await user.should_see("23 snapshots, the oldest of")
        trigger(user, labelled(user, "Months"), "input", "2")
        await user.should_see("13 snapshots, the oldest of")
        trigger(user, labelled(user, "Time zone"), "input", "Asia/Tokyo")
        await user.should_see("By the clock of Asia/Tokyo")
        trigger(user, labelled(user, "How often"), "change", "off")

        await user.should_see("None: backups begin only when somebody asks for them.")
        await user.should_see("Without a schedule it cannot be foretold which days are kept.")

    visit(parts, journey)


def test_discard_brings_back_what_is_kept(parts: Parts) -> None:
    async def journey(user: User) -> None:
        await user.open(f"/policies/{named(parts, 'Default').id}")
        trigger(user, labelled(user, "Name"), "input", "Other")
        await user.should_see("There are changes that are not saved.")
        trigger(user, button(user, "Discard"), "click")
        await user.should_not_see("There are changes that are not saved.")

        assert "Default" == labelled(user, "Name").props["value"]

    visit(parts, journey)


def test_viewer_sees_but_has_no_buttons_and_the_verbs_refuse(parts: Parts) -> None:
    policy = named(parts, "Default")
    become(parts, "viewer")

    async def journey(user: User) -> None:
        await user.open("/policies")
        assert () == rows(user)["Default"].cells["acts"].acts
        await user.should_not_see("New policy")
        await act(user, rows(user)["Default"], "duplicate")
        await user.should_see("Your role does not permit this")

        await user.open(f"/policies/{policy.id}")
        await user.should_see("23 snapshots, the oldest of")
        texts = {getattr(found, "text", "") for found in elements(user, "button")}
        assert not {"Save", "Discard", "Add a line", "Browse"} & texts
        assert elements(user, "fieldset", disabled=True)

        assert 404 == (await user.http_client.get("/policies/new")).status_code

    visit(parts, journey)
    viewer = somebody(parts, Role.VIEWER)

    for refuse in (
        lambda: editing.create(parts.database, viewer, Terms(name="x")),
        lambda: editing.update(parts.database, viewer, policy.id, Terms(name="x")),
        lambda: editing.duplicate(parts.database, viewer, policy.id),
        lambda: editing.make_default(parts.database, viewer, policy.id),
        lambda: editing.delete(parts.database, viewer, policy.id),
    ):
        with pytest.raises(NotAllowed):
            refuse()
