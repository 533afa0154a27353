"""What is written down of a key that one host asks another for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from saveos.agents import questions
from saveos.agents.model import AgentIdentity, AgentState
from saveos.audit import record as audit
from saveos.errors import HostOffline
from saveos.protocol import AgentId, JobId, LentKeyRequest, SealedKey, TenantId
from saveos.snapshots import lending
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.made(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("answer", [SealedKey(sealed="s"), SealedKey(error="no"), None])
def test_key_counts_as_lent_once_its_host_has_sealed_it(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: SealedKey | None
) -> None:
    borrower = AgentIdentity(
        agent_id=AgentId(world.add_host("borrower")), tenant_id=TenantId(world.tenant), hostname="", serial="1",
        is_renewal_due=False, state=AgentState.READY,
    )  # fmt: skip
    owner = AgentId(world.add_host("lender"))
    unlocks: Any = SimpleNamespace(is_open=lambda _principal, _agent_id: False)
    means = lending.Means(database=world.database, unlocks=unlocks, root="")

    async def answered(*_words: Any) -> SealedKey:
        if answer is None:
            raise HostOffline("x")
        return answer

    monkeypatch.setattr(questions, "reachable", lambda host: host)
    monkeypatch.setattr(lending, "_answer", answered)
    monkeypatch.setattr(lending, "_lender", lambda *_words: owner)
    monkeypatch.setattr(lending, "_require_own", lambda *_words: None)

    async def ask() -> SealedKey | None:
        try:
            return await lending.key_for(means, borrower, JobId("j"), LentKeyRequest(certificate="c"))
        except HostOffline:
            return None

    assert answer == asyncio.run(ask())
    noted = [entry.action for entry in audit.newest(world.database.read, TenantId(world.tenant), 4)]
    assert (answer is not None and answer.sealed != "") == ("key-lent" in noted)
