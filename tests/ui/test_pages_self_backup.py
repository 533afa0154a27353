"""The appliance's backups of itself on the pages: how they stand, one more now, what is wrong, what came back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.jobs import table as jobs
from saveos.protocol import Kind
from saveos.selfbackup import table
from saveos.tenants import users
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.parts import Parts


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("self")) as made:
        yield made


def visit(parts: Parts, address: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(address)
            await journey(Hands(user))

    asyncio.run(go())


def keep(parts: Parts, **values: object) -> None:
    parts.database.write(lambda connection: table.set_state(connection, **values))


def test_settings_say_that_there_is_none_and_make_one(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("sealed to the recovery kit: every night", "There is none yet", "this machine alone")
        hands.press("Back up now")
        await hands.until(lambda: jobs.waiting_on_appliance(parts.database.read, Kind.SELF_BACKUP))
        await hands.read("Backing up the appliance itself")

    visit(parts, "/settings", journey)


def test_settings_say_how_old_it_is_and_why_the_last_one_failed(parts: Parts) -> None:
    made_at = clock.to_text(clock.now() - timedelta(days=3))
    keep(parts, name="x", bytes=4_200_000, made_at=made_at, error_code="storage-denied", error_message="no")

    async def journey(hands: Hands) -> None:
        await hands.read("4.2\N{NO-BREAK SPACE}MB", "The last self-backup failed")
        keep(parts, error_code="", error_message="")
        await hands.until(lambda: any("older than two days" in text for text in hands.texts))

    visit(parts, "/settings", journey)


def test_repositories_that_are_away_are_fetched_at_once(parts: Parts) -> None:
    plant(parts.settings.database, 2, 1)
    now = clock.to_text(clock.now())
    parts.database.write(
        lambda connection: connection.execute(
            "INSERT INTO repositories (id, tenant_id, agent_id, state, engine_id, created_at, away_at)"
            " SELECT 'rep_' || id, tenant_id, id, 'ready', 'ab', ?1, ?1 FROM agents",
            (now,),
        )
    )
    parts.database.write(
        lambda connection: connection.execute(
            "INSERT INTO offsite_stores VALUES ('sto_1', NULL, ?, x'00', ?)",
            ('{"endpoint":"http://127.0.0.1:9","bucket":"xxx","access_key_id":"A"}', now),
        )
    )

    async def journey(hands: Hands) -> None:
        await hands.read("2 repositories are only in the offsite copy")
        hands.press("Fetch all back now")
        await hands.until(lambda: 2 == len(jobs.queued_of_kind(parts.database.read, Kind.REHYDRATE)))

    visit(parts, "/settings", journey)


def test_overview_tells_that_it_came_back_and_that_it_lacks_a_backup(parts: Parts) -> None:
    tenant_id, made_at = users.default_tenant(parts.database), "2026-01-31T02:00:00.000000Z"

    def write(connection: object) -> None:
        for kind, facts in ((AlertKind.RECOVERED, {}), (AlertKind.SELF_BACKUP, {"reason": "no", "code": "x"})):
            raising.raise_alert(connection, tenant_id, None, kind, made_at=made_at, **facts)  # type: ignore[arg-type]

    parts.database.write(write)

    async def journey(hands: Hands) -> None:
        await hands.read("This appliance came back from a backup of itself", "What changed after that is not in it")
        await hands.read("The appliance itself is not backed up as it should be", "The last self-backup failed: no")

    visit(parts, "/", journey)
    visit(parts, "/alerts", journey)
