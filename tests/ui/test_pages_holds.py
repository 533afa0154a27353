"""Pins, legal holds and what retention would remove, on their pages for a simulated user."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.database.identifiers import new_id
from saveos.identity import sessions
from saveos.identity.passwords import hash_password
from saveos.identity.principals import Role
from saveos.identity.sessions import Visitor
from saveos.policies import editing
from saveos.policies.model import Policy, Retention, Terms
from saveos.snapshots import hold_release, holds, table
from saveos.snapshots.model import HoldKind
from saveos.tenants import table as tenants
from saveos.tenants import users
from saveos.ui.grid import Grid
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit
from tests.ui.test_pages import become
from tests.ui.test_pages_policies import button, elements, labelled, named, somebody, trigger

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.parts import Parts
    from saveos.protocol import SnapshotId
    from saveos.snapshots.model import Snapshot
    from saveos.ui.grid import Row

BERND, PASSWORD = "bernd@example.org", "correct horse battery staple"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("holds")) as made:
        plant(made.settings.database, 1, 30)
        made.database.write(_one_a_day)
        yield made


def _one_a_day(connection: sqlite3.Connection) -> None:
    """Let each snapshot be of a day of its own in every zone near this one, whatever the time is now."""
    noon = clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    rows = connection.execute("SELECT id FROM snapshots ORDER BY started_at DESC").fetchall()
    for days, row in enumerate(rows, 1):
        moment = clock.to_text(noon - timedelta(days=days))
        connection.execute("UPDATE snapshots SET started_at = ?1, ended_at = ?1 WHERE id = ?2", (moment, row["id"]))


def snapshots(parts: Parts) -> list[Snapshot]:
    agent_id = parts.database.read.execute("SELECT id FROM agents").fetchone()["id"]
    return table.all_of_agent(parts.database.read, agent_id)


def second_administrator(parts: Parts) -> str:
    """Make one, and return their cookie."""
    values = {"id": new_id("usr"), "tenant_id": users.default_tenant(parts.database), "email": BERND, "language": "en"}
    values |= {"password_hash": hash_password(PASSWORD), "role": "administrator"}
    values["created_at"] = clock.to_text(clock.now())
    parts.database.write(lambda connection: tenants.insert_user(connection, values))
    return sessions.sign_in(parts.database, BERND, PASSWORD, Visitor(), hours=1)[1].text


def rows(user: User) -> dict[str, Row]:
    return {row.id: row for row in of_snapshots(user).rows}


def of_snapshots(user: User) -> Grid:
    """Return the list of snapshots: a host's page has others beside it."""
    return next(grid for grid in user.find(kind=Grid).elements if any(row.id.startswith("snp_") for row in grid.rows))


async def act(user: User, row_id: str, what: str) -> None:
    trigger(user, of_snapshots(user), "act", {"row": row_id, "act": what})
    await asyncio.sleep(0.3)


def texts(user: User) -> set[Any]:
    return {getattr(found, "text", "") for found in elements(user)}


async def press(user: User, label: str) -> None:
    """Press a button of the list of holds: those of dialogs come before it."""
    found = [each for each in elements(user, "button") if getattr(each, "text", "") == label]
    trigger(user, found[-1], "click")
    await asyncio.sleep(0.3)


def held(parts: Parts, snapshot_id: SnapshotId) -> list[HoldKind]:
    found = holds.of_snapshot(parts.database, somebody(parts), snapshot_id)
    return [hold.kind for hold in found if hold.is_in_force_at(clock.now())]


def test_list_pins_and_unpins_and_shows_a_badge(parts: Parts) -> None:
    old = snapshots(parts)[-1]

    async def journey(user: User) -> None:
        await user.open("/snapshots")
        assert ["files", "pin", "restore"] == [each.id for each in rows(user)[old.id].cells["acts"].acts]
        await act(user, old.id, "pin")
        trigger(user, labelled(user, "State"), "change", "held")
        await asyncio.sleep(0.3)
        assert [old.id] == list(rows(user))
        assert ("Pinned",) == rows(user)[old.id].cells["state"].badges
        assert [HoldKind.PIN] == held(parts, old.id)

        await user.open(f"/agents/{old.agent_id}")
        newest = next(iter(rows(user)))
        await act(user, newest, "pin")
        await act(user, newest, "unpin")
        assert () == rows(user)[newest].cells["state"].badges

    visit(parts, journey)


def test_legal_hold_is_placed_with_a_reason_and_an_end(parts: Parts) -> None:
    old = snapshots(parts)[-1]

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{old.id}")
        await user.should_see("Nothing but its policy keeps this snapshot.")
        form = elements(user, "form")[-1]

        trigger(user, form, "submit.prevent")
        await user.should_see("A legal hold needs a reason, in one line.")
        trigger(user, labelled(user, "Reason"), "input", "Case 4711")
        trigger(user, labelled(user, "Held until the end of"), "input", "2019-01-31")
        trigger(user, form, "submit.prevent")
        await user.should_see("The hold has to end in the future.")
        trigger(user, labelled(user, "Held until the end of"), "input", "2999-01-31")
        trigger(user, form, "submit.prevent")

        await user.should_see("Case 4711")
        await user.should_see("until 1 Feb 2999, 00:00")
        none = next(each for each in elements(user) if getattr(each, "text", "").startswith("Nothing but its policy"))
        assert "hidden" in none.classes

    visit(parts, journey)

    assert [HoldKind.LEGAL] == held(parts, old.id)


def test_two_administrators_end_a_legal_hold_and_one_does_not(parts: Parts) -> None:
    old, cookie = snapshots(parts)[-1], ""
    holds.place(parts.database, somebody(parts), old.id, "Case 4711")

    async def alone(user: User) -> None:
        await user.open(f"/snapshots/{old.id}")
        await press(user, "Ask for its end")
        await user.should_see("Nobody alone ends a legal hold: another administrator has to agree.")
        trigger(user, next(each for each in elements(user, "button") if "danger" in each.classes), "click")
        await user.should_see("You are the only administrator")

    async def asking(user: User) -> None:
        await user.open(f"/snapshots/{old.id}")
        await press(user, "Ask for its end")
        trigger(user, next(each for each in elements(user, "button") if "danger" in each.classes), "click")
        await user.should_see("anna@example.org asked for its end")
        assert "Withdraw the request" in texts(user)
        assert "Agree to its end" not in texts(user)
        await user.open("/")
        assert not elements(user, "a", href=f"/snapshots/{old.id}")

    async def agreeing(user: User) -> None:
        await user.open("/")
        await user.should_see("anna@example.org asks that you agree to the end of a legal hold")
        assert elements(user, "a", href=f"/snapshots/{old.id}")
        await user.open(f"/snapshots/{old.id}")
        await user.should_see("anna@example.org asked for its end")
        await press(user, "Agree to its end")
        trigger(user, next(each for each in elements(user, "button") if "danger" in each.classes), "click")
        await user.should_see("ended by anna@example.org and bernd@example.org")

    visit(parts, alone)
    cookie = second_administrator(parts)
    visit(parts, asking)
    assert [HoldKind.LEGAL] == held(parts, old.id)
    visit(parts, agreeing, cookie=cookie)

    assert [] == held(parts, old.id)


def test_operator_lets_go_what_the_appliance_holds_and_viewer_only_sees(parts: Parts) -> None:
    old = snapshots(parts)[-1]
    parts.database.write(lambda connection: holds.hold_clean(connection, old, "Files changed as they never do."))
    holds.place(parts.database, somebody(parts), old.id, "Case 4711")

    async def viewing(user: User) -> None:
        await user.open(f"/snapshots/{old.id}")
        await user.should_see("Case 4711")
        assert not {"Let it go", "Ask for its end", "Legal hold…"} & texts(user)
        await user.open("/snapshots")
        assert ["files"] == [each.id for each in rows(user)[old.id].cells["acts"].acts]
        assert ("Legal hold", "Held after an anomaly") == rows(user)[old.id].cells["state"].badges

    async def operating(user: User) -> None:
        await user.open(f"/snapshots/{old.id}")
        assert not {"Ask for its end", "Legal hold…"} & texts(user)
        await press(user, "Let it go")
        await press(user, "Pin")
        await user.should_see("let go by anna@example.org")

    become(parts, "viewer")
    visit(parts, viewing)
    become(parts, "operator")
    visit(parts, operating)

    assert {HoldKind.PIN, HoldKind.LEGAL} == set(held(parts, old.id))


def test_page_foretells_what_retention_removes(parts: Parts) -> None:
    policy = named(parts, "Default")
    few = Retention(keep_daily=5, keep_weekly=0, keep_monthly=0)
    editing.update(parts.database, somebody(parts), policy.id, _with(policy, few))
    old = snapshots(parts)[-1]
    pin = holds.pin(parts.database, somebody(parts), old.id)

    async def journey(user: User) -> None:
        await user.open(f"/agents/{old.agent_id}")
        assert elements(user, "a", href=f"/agents/{old.agent_id}/retention")
        await user.open(f"/agents/{old.agent_id}/retention")
        await user.should_see("24 snapshots would be removed now · 6 stay")
        await user.should_see("By the clock of Europe/Paris")
        calendar = next(each for each in elements(user) if "calendar-place" in each.classes)
        html = str(calendar.props["innerHTML"])
        assert {"No rule and no hold keeps it"} == {
            row.cells["why"].text for row in rows(user).values() if row.cells["fate"].mood == "bad"
        }
        assert (5, 1, 24) == tuple(html.count(f'<i class="{key}"') for key in ("daily", "held", "going"))
        assert "Would be removed" in html
        trigger(user, labelled(user, "Show"), "change", "kept")
        await asyncio.sleep(0.3)
        shown = list(rows(user).values())
        assert ["As one of the last days"] * 5 + ["Pinned"] == [row.cells["why"].text for row in shown]
        assert old.id == shown[-1].id

        assert 404 == (await user.http_client.get("/agents/agt_none/retention")).status_code

    become(parts, "viewer")
    visit(parts, journey)
    hold_release.release(parts.database, somebody(parts, Role.OPERATOR), old.id, pin.id)


def test_editor_keeps_the_span_and_the_maintenance_window(parts: Parts) -> None:
    policy = named(parts, "Default")

    async def journey(user: User) -> None:
        await user.open(f"/policies/{policy.id}")
        trigger(user, labelled(user, "All of the last"), "input", "4000")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("The time is from 0 to ten years.")
        trigger(user, labelled(user, "Unit"), "change", "hours")
        trigger(user, labelled(user, "All of the last"), "input", "36")
        trigger(user, labelled(user, "From"), "input", "")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("This is no time of day: write it as 03:00.")
        trigger(user, labelled(user, "From"), "input", "22:30")
        trigger(user, labelled(user, "Until"), "input", "04:00:00")
        trigger(user, button(user, "Save"), "click")
        await user.should_see("Default is saved.")
        assert "36" == labelled(user, "All of the last").props["value"]

        await user.open("/policies")
        cells = next(iter(user.find(kind=Grid).elements)).rows[0].cells
        assert (
            cells["when"].sub.replace("\N{NO-BREAK SPACE}", " ").startswith("Keeps all of the last 36 hours · 7 days")
        )

    visit(parts, journey)

    kept = named(parts, "Default")
    assert (36, "22:30-04:00") == (kept.retention.keep_within_hours, kept.maintenance)


def _with(policy: Policy, retention: Retention) -> Terms:
    terms = {field: getattr(policy, field) for field in Terms.__struct_fields__}
    return Terms(**{**terms, "retention": retention})
