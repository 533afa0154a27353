"""What is open to everybody keeps nobody from coming back: challenges of strangers, slow readers of the executable."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.agent.recovery_code import RecoveryCode
from saveos.api import application
from saveos.errors import InvalidRequest, NotAuthenticated, TooMany
from saveos.installers import bases, rescue
from saveos.installers.rescue import Rescues
from saveos.protocol import Platform, RecoveryProof
from saveos.repositories import sealing
from saveos.snapshots import recovery as recoveries
from saveos.snapshots import table_recovery
from saveos.tenants import kits, recovery
from saveos.tenants.model import MadeBy
from tests.ui import board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.parts import Parts

CONTENT = bytes(range(256)) * 4096
SOON = 20.0


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with board.appliance(tmp_path) as made:
        made.settings.bases.mkdir(exist_ok=True)
        (made.settings.bases / bases.name_of(Platform.LINUX)).write_bytes(CONTENT)
        yield made


def strangers_key() -> str:
    return base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


def test_challenges_to_keys_that_nobody_has_take_no_room(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoveries, "LIVE_LIMIT", 2)
    code, public_key = recovery.create()
    tenant_id = board.sign_in(parts)[0].tenant_id
    parts.database.write(lambda connection: kits.keep(connection, tenant_id, public_key, None, MadeBy.APPLIANCE))
    own = sealing.as_text(public_key)

    strange = [recoveries.challenge(parts.database, strangers_key(), f"192.0.2.{number}") for number in range(5)]
    asked = recoveries.challenge(parts.database, own, "192.0.2.9")

    assert {len(asked.sealed)} == {len(one.sealed) for one in strange}
    assert {len(asked.challenge_id)} == {len(one.challenge_id) for one in strange}
    assert 1 == table_recovery.live_count(parts.database.read)
    proof = RecoveryProof(challenge_id=asked.challenge_id, secret=RecoveryCode(code).answer(asked))
    assert () == recoveries.hosts(parts.database, proof)
    for one in strange:
        with pytest.raises(NotAuthenticated):
            recoveries.hosts(parts.database, RecoveryProof(challenge_id=one.challenge_id, secret=proof.secret))

    recoveries.challenge(parts.database, own, "192.0.2.10")
    with pytest.raises(TooMany):
        recoveries.challenge(parts.database, own, "192.0.2.11")


def test_address_that_asks_for_strangers_too_often_waits(parts: Parts) -> None:
    for _ in range(5):
        recoveries.challenge(parts.database, strangers_key(), "192.0.2.1")

    with pytest.raises(TooMany):
        recoveries.challenge(parts.database, strangers_key(), "192.0.2.1")


def test_challenge_to_a_point_that_no_key_has_is_none(parts: Parts) -> None:
    with pytest.raises(InvalidRequest):
        recoveries.challenge(parts.database, base64.b64encode(bytes(32)).decode(), "192.0.2.1")


class Reader:
    """One who fetches the executable, and takes nothing after `messages` messages."""

    def __init__(self, app: Any, messages: int | None = None) -> None:
        self.status, self.body = 0, b""
        self._left = messages
        self.is_waiting = asyncio.Event()
        self.task = asyncio.ensure_future(app(self._scope(), asyncio.Event().wait, self._send))

    async def _send(self, message: dict[str, Any]) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                self.is_waiting.set()
                await asyncio.Event().wait()
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.is_waiting.set()
            self.task.cancel()

    async def settled(self) -> Reader:
        """Wait until it has all, or takes nothing any more."""
        await asyncio.wait_for(self.is_waiting.wait(), SOON)
        return self

    @staticmethod
    def _scope() -> dict[str, Any]:
        path = "/download/agent/linux/rescue"
        return {
            "type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": "GET", "scheme": "https",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": [],
            "client": ("192.0.2.1", 1), "server": ("127.0.0.1", 8000), "extensions": {}, "state": {},
        }  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what the framework's next major version will change
@pytest.mark.parametrize("messages", [0, 2], ids=["before-it-begins", "in-the-middle"])
def test_readers_who_take_nothing_lose_their_place(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, messages: int
) -> None:
    async def go() -> None:
        app: Any = application.build(parts)
        assert 200 == (await Reader(app).settled()).status
        slow = await asyncio.gather(*(Reader(app, messages).settled() for _ in range(rescue.PLACES)))
        refused = await Reader(app).settled()
        assert 429 == refused.status

        await asyncio.wait_for(asyncio.gather(*(reader.task for reader in slow)), SOON)
        assert all(len(reader.body) < len(CONTENT) for reader in slow)
        served = await Reader(app).settled()
        assert (200, CONTENT) == (served.status, served.body)

    monkeypatch.setattr(rescue, "LIMIT_SECONDS", 3.0)
    asyncio.run(go())


def test_places_are_given_back_by_readers_and_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    places = Rescues()
    taken = [places.take() for _ in range(rescue.PLACES)]
    with pytest.raises(TooMany):
        places.take()

    taken[0].leave()
    monkeypatch.setattr(rescue, "LIMIT_SECONDS", 0.0)
    places.take()
    places.take()  # the one before is over, though its reader never left
