"""Limits on the pages: how much is used, setting another limit, who is stopped and why, and a full disk."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos import clock
from saveos.alerts import raising
from saveos.identity.principals import Role
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.protocol import Kind
from saveos.repositories import quotas
from saveos.repositories.quota_model import Quota, Reached, Scope
from saveos.snapshots import backup
from saveos.tenants import facts
from saveos.ui.words import Words
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.parts import Parts

GIGABYTE = 1000**3


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("quotas")) as made:
        plant(made.settings.database, 3, 1)
        yield made


@pytest.fixture(scope="module")
def agent_id(parts: Parts) -> str:
    """A host that stores 4 GB and holds 1 GB in quarantine."""
    with sqlite3.connect(parts.settings.database) as connection:
        found: tuple[str] = connection.execute("SELECT id FROM agents WHERE state = 'ready' LIMIT 1").fetchone()
        row = "INSERT OR IGNORE INTO repositories (id, tenant_id, agent_id, state, created_at)"
        connection.execute(f"{row} SELECT 'rep_1', tenant_id, id, 'ready', enrolled_at FROM agents WHERE id = ?", found)
        connection.execute(
            "UPDATE repositories SET stored_bytes = ?, quarantine_bytes = ?, measured_at = ? WHERE agent_id = ?",
            (4 * GIGABYTE, GIGABYTE, clock.to_text(clock.now()), *found),
        )
        return found[0]


def visit(parts: Parts, address: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(address)
            await journey(Hands(user))

    asyncio.run(go())


def test_host_page_shows_use_and_takes_a_limit_as_people_write_it(parts: Parts, agent_id: str) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("4.0\N{NO-BREAK SPACE}GB used, without a limit", "1.0\N{NO-BREAK SPACE}GB beside that")
        hands.press("Change the limits")
        hands.type("Stop backups at", "a lot")
        hands.press("Keep these limits")
        await hands.read("This is no size.")
        hands.type("Stop backups at", "5 GB")
        hands.type("Tell me from", "8 Go")
        hands.press("Keep these limits")
        await hands.read("You would be told only after backups have stopped.")
        hands.type("Tell me from", "3,5 Go")
        hands.press("Keep these limits")
        await hands.read("used (80%)", "You are told from 3.5")
        meter = next(element for element in hands.elements if element.props.get("role") == "meter")
        assert (80, "warn" in meter.classes) == (meter.props["aria-valuenow"], True)
        assert "5.0" in meter.props["aria-valuetext"]

    visit(parts, f"/agents/{agent_id}", journey)
    principal, _cookie = board.sign_in(parts)
    host = quotas.of_host(parts.database, principal, agent_id).host
    assert (3_500_000_000, 5 * GIGABYTE) == (host.soft_bytes, host.hard_bytes)


def test_settings_take_a_limit_of_all_hosts_and_count_quarantine(parts: Parts, agent_id: str) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("5.0\N{NO-BREAK SPACE}GB used, without a limit", "in checkpoints")
        hands.press("Change the limits")
        hands.type("Stop backups at", "5 GB")
        hands.press("Keep these limits")
        await hands.read("used (100%)", "The limit is reached")

    async def overview(hands: Hands) -> None:
        await hands.read("Storage of all hosts")

    async def monitoring(hands: Hands) -> None:
        await hands.read("used (100%)")

    assert agent_id
    visit(parts, "/settings", journey)
    visit(parts, "/", overview)
    visit(parts, "/monitoring", monitoring)
    principal, _cookie = board.sign_in(parts)
    quotas.set_tenant(parts.database, principal, Quota())


def test_overview_tells_of_a_limit_that_stopped_a_backup_before_it_was_full(parts: Parts, agent_id: str) -> None:
    principal, _cookie = board.sign_in(parts)
    quotas.set_tenant(parts.database, principal, Quota(hard_bytes=5_900_000_000))
    job = backup.request(parts.database, principal, agent_id)

    async def overview(hands: Hands) -> None:
        await hands.until(lambda: "Overview" in hands.texts)
        assert not any("Storage of all hosts" in text for text in hands.texts)
        parts.database.write(lambda connection: quotas.explain(connection, parts.settings, job))
        await hands.read("(84%) · Storage has reached its limit: backups stop · Raise the limit")

    visit(parts, "/", overview)
    quotas.set_tenant(parts.database, principal, Quota())
    lifecycle.cancel(parts.database, principal, job.id, {})


def test_viewer_sees_use_and_no_button(parts: Parts, agent_id: str) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("4.0\N{NO-BREAK SPACE}GB")
        assert "Change the limits" not in hands.texts

    _set_role(parts, Role.VIEWER)
    try:
        visit(parts, f"/agents/{agent_id}", journey)
    finally:
        _set_role(parts, Role.ADMINISTRATOR)


def test_alert_says_which_limit_is_reached_and_changes_with_it(parts: Parts, agent_id: str) -> None:
    principal, _cookie = board.sign_in(parts)
    warned, stopped = "Storage has reached its warning limit", "Storage has reached its limit: backups stop"

    def told() -> list[tuple[bool, int]]:
        found = raising.find(parts.database, principal, agent_id=agent_id, is_open=True)
        return [(alert.evidence["is_hard"], alert.evidence["limit_bytes"]) for alert in found]

    def ended(state: str, error_code: str) -> None:
        with sqlite3.connect(parts.settings.database) as connection:
            sentence = "UPDATE jobs SET state = ?, error_code = ?, ended_at = ? WHERE id = ?"
            connection.execute(sentence, (state, error_code, clock.to_text(clock.now()), job.id))

    async def both(hands: Hands) -> None:
        await hands.read(warned, "Backups still go on")
        parts.database.write(lambda connection: quotas.explain(connection, parts.settings, job))
        await hands.read(stopped)
        assert warned not in hands.texts

    quotas.set_host(parts.database, principal, agent_id, Quota(soft_bytes=3 * GIGABYTE, hard_bytes=5 * GIGABYTE))
    job = backup.request(parts.database, principal, agent_id)
    assert [(False, 3 * GIGABYTE)] == told()
    ended("failed", "quota-exceeded")
    visit(parts, f"/agents/{agent_id}", both)
    for _again in range(2):  # a look at what is stored does not change why backups stopped
        parts.database.write(quotas.judge_all)
        assert [(True, 5 * GIGABYTE)] == told()
    ended("done", "")
    parts.database.write(quotas.judge_all)
    assert [(False, 3 * GIGABYTE)] == told()
    quotas.set_host(parts.database, principal, agent_id, Quota(soft_bytes=GIGABYTE, hard_bytes=4 * GIGABYTE))
    assert [(True, 4 * GIGABYTE)] == told()
    quotas.set_host(parts.database, principal, agent_id, Quota())
    assert [] == told()


def test_stopped_backup_says_which_limit_in_both_languages(parts: Parts, agent_id: str) -> None:
    reached = Reached(scope=Scope.HOST, limit_bytes=5 * GIGABYTE, used_bytes=4 * GIGABYTE)
    principal, _cookie = board.sign_in(parts)
    job = backup.request(parts.database, principal, agent_id)
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute(
            "UPDATE jobs SET state = 'failed', error_code = 'quota-exceeded', ended_at = ? WHERE id = ?",
            (clock.to_text(clock.now()), job.id),
        )
    parts.database.write(lambda connection: jobs.explain(connection, job.id, reached.message, reached.facts))
    kept = lifecycle.get(parts.database, principal, job.id)

    async def journey(hands: Hands) -> None:
        await hands.read("The limit of this host is reached: 4.0\N{NO-BREAK SPACE}GB of 5.0")
        hands.tick("fr")
        await hands.read("cet hôte est atteinte : 4,0")
        hands.tick("en")
        await hands.read("The limit of this host is reached")

    visit(parts, f"/jobs/{job.id}", journey)
    english = Words("en").problem(kept.error_code, kept.message, kept.error_facts)
    assert english.replace("\N{NO-BREAK SPACE}", " ") == reached.message


def test_full_disk_is_told_on_the_overview_and_by_what_waits(parts: Parts, agent_id: str) -> None:
    principal, _cookie = board.sign_in(parts)
    job = backup.request(parts.database, principal, agent_id)
    assert Kind.BACKUP is job.kind
    parts.database.write(lambda connection: facts.set_disk_full(connection, clock.now()))

    async def overview(hands: Hands) -> None:
        await hands.read("disk is nearly full")

    async def page(hands: Hands) -> None:
        await hands.read("Backup waits until there is room")

    visit(parts, "/", overview)
    visit(parts, f"/jobs/{job.id}", page)
    visit(parts, f"/agents/{agent_id}", page)
    assert not jobs.agents_with_work(parts.database.read)
    parts.database.write(lambda connection: facts.set_disk_full(connection, None))
    assert {agent_id} == jobs.agents_with_work(parts.database.read)
    assert "" == lifecycle.get(parts.database, principal, job.id).held_by
    assert msgspec.to_builtins(lifecycle.get(parts.database, principal, job.id))["error_facts_json"] == ""


def _set_role(parts: Parts, role: Role) -> None:
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE users SET role = ?", (role.value,))
