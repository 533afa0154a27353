"""The overview's offer to protect the appliance's own machine."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos.installers import bases, own_host
from saveos.jobs import table
from saveos.jobs.model import State
from saveos.protocol import Platform
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.jobs.model import Job
    from saveos.parts import Parts

BUTTON = "Protect this machine too"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("own")) as made:
        base = made.settings.bases / bases.name_of(Platform.LINUX)
        base.parent.mkdir(mode=0o700)
        base.write_bytes(b"executable")
        yield made


def visit(parts: Parts, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open("/")
            await journey(Hands(user))

    asyncio.run(go())


def end(parts: Parts, job: Job, state: State, code: str = "", message: str = "") -> None:
    """Let the job be over: no worker runs here."""
    parts.database.write(lambda connection: table.end(connection, job.id, state, code, message, 0))


def asked(parts: Parts) -> Job | None:
    principal, _cookie = board.sign_in(parts)
    return own_host.latest(parts.database, principal)


def test_offer_is_asked_followed_and_what_is_left_is_told(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_host, "may_serve", lambda: False)

    async def journey(hands: Hands) -> None:
        hands.press(BUTTON)
        job = await hands.until(lambda: asked(parts))
        await hands.read("Protection of this machine begins in a moment")
        assert BUTTON not in hands.texts

        end(parts, job, State.DONE)

        await hands.read("To start its service, run this", own_host.remaining_command(parts.settings))

    visit(parts, journey)


def test_failure_is_explained_and_can_be_tried_again(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        hands.press(BUTTON)
        job = await hands.until(lambda: asked(parts))
        end(parts, job, State.FAILED, "host-error", "No space left on device.")

        await hands.read("No space left on device. The log of this job says more.", BUTTON)
        hands.press(BUTTON)
        await hands.until(lambda: asked(parts).id != job.id)

    visit(parts, journey)


def test_old_failure_is_no_longer_told(parts: Parts) -> None:
    principal, _cookie = board.sign_in(parts)
    job = own_host.request(parts.database, parts.settings, principal)
    end(parts, job, State.FAILED, "host-error", "No space left on device.")
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute("UPDATE jobs SET requested_at = '2020-01-01T00:00:00.000000Z'")
    connection.close()

    async def journey(hands: Hands) -> None:
        await hands.read(BUTTON)
        assert not any("No space left" in text for text in hands.texts)

    visit(parts, journey)


def test_viewer_is_offered_nothing(parts: Parts) -> None:
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")
    connection.close()

    async def journey(hands: Hands) -> None:
        await hands.read("Nothing is protected yet.")
        assert BUTTON not in hands.texts

    visit(parts, journey)
