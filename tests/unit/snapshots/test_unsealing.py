"""Opened names: whose they stay, and that they are closed whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from saveos.identity.principals import system
from saveos.protocol import AgentId, TenantId
from saveos.snapshots import unsealing as rooms
from saveos.snapshots.unsealing import Unsealing
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.identity.principals import Principal

OURS, THEIRS = TenantId("ten_1"), TenantId("ten_2")
HOST = AgentId("agt_a")


class FakeUnlocks:
    """Our host is unlocked, for us."""

    on_end: Any = None

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.is_unlocked = True

    def current(self, _principal: Principal) -> list[Any]:
        if self.errors:
            raise self.errors.pop()
        return []

    def is_open(self, principal: Principal, _agent_id: str) -> bool:
        return self.is_unlocked and principal.tenant_id == OURS


@pytest.fixture
def unlocks() -> FakeUnlocks:
    return FakeUnlocks()


@pytest.fixture
def unsealing(tmp_path: Path, unlocks: FakeUnlocks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Unsealing]:
    world = World.made(tmp_path)
    typed: Any = unlocks
    made = Unsealing(world.settings, world.database, typed)
    monkeypatch.setattr(made, "_is_sealed", lambda _tenant_id: True)
    monkeypatch.setattr(made, "_lacking", lambda _tenant_id, _agent_id: [])
    made._hosts[HOST] = (OURS, 1.0)
    yield made
    world.close()


def test_names_stay_their_tenants_whoever_else_asks_for_them(unsealing: Unsealing) -> None:
    unsealing.prepare(system(THEIRS, "thief"), [HOST])

    assert {HOST: (OURS, 1.0)} == unsealing._hosts


def test_look_of_their_tenant_keeps_names_open(unsealing: Unsealing) -> None:
    unsealing.prepare(system(OURS, "reader"), [HOST])

    tenant_id, looked_at = unsealing._hosts[HOST]
    assert OURS == tenant_id
    assert looked_at > 1.0


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database is locked"), OSError(5, "I/O error")])
def test_names_are_closed_in_spite_of_an_error_before(
    unsealing: Unsealing, unlocks: FakeUnlocks, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(rooms, "WATCH_SECONDS", 0.01)
    unlocks.errors, unlocks.is_unlocked = [error], False

    async def go() -> None:
        await unsealing.start()
        await asyncio.sleep(0.5)
        await unsealing.stop()

    asyncio.run(go())

    assert {} == unsealing._hosts
