"""Unlocks by what their registry does, with keyholders that only count."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.errors import InvalidRequest, NotFound, TooMany, Unavailable, WrongCode
from saveos.identity.principals import system
from saveos.protocol import AgentId, TenantId
from saveos.repositories import managed, sealing, single_uses, table_keys
from saveos.repositories import unlocks as registry
from saveos.repositories.keyholding import Opened, Seal, SealedHost
from saveos.repositories.unlocks import Unlocks
from saveos.tenants import kits, recovery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = SealedHost(agent_id=AgentId("agt_a"), path="/nowhere", seals=(Seal(public_key="", sealed=""),))


class FakeHolder:
    """Holds nothing. `opens`: what an order to open comes to."""

    opens: Callable[[], Opened] = staticmethod(lambda: Opened(public_key="", agent_ids=(HOST.agent_id,)))

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.public_key, self.is_gone = "", False
        self._on_end = on_end

    @classmethod
    async def spawned(cls, _unlock_id: str, on_end: Callable[[], None]) -> FakeHolder:
        await asyncio.sleep(0.01)
        return cls(on_end)

    async def open(self, _order: Any) -> Opened:
        return self.opens()

    async def start(self, *_words: Any) -> Any:
        return SimpleNamespace(on_end=lambda _call: None)

    def hang_up(self) -> None:
        if not self.is_gone:
            self.is_gone = True
            self._on_end()

    async def stop(self) -> None:
        self.hang_up()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.made(tmp_path)
    made.database.write(
        lambda connection: connection.execute("UPDATE tenants SET recovery_public_key = ?", (b"k" * 32,))
    )
    yield made
    made.database.close()


@pytest.fixture
def unlocks(world: World, monkeypatch: pytest.MonkeyPatch) -> Unlocks:
    monkeypatch.setattr(registry, "Holder", FakeHolder)
    monkeypatch.setattr(single_uses, "Holder", FakeHolder)
    made = Unlocks(world.settings, world.database)
    monkeypatch.setattr(made, "_hosts", lambda _principal, _agent_ids: [HOST])
    return made


async def offered(unlocks: Unlocks, world: World) -> tuple[str, FakeHolder]:
    offer = await unlocks.offer(world.principal)
    holder: Any = unlocks._entries[offer.unlock_id].holder
    return offer.unlock_id, holder


def test_open_without_any_sealed_key_says_so(unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlocks, "_hosts", lambda _principal, _agent_ids: [])

    async def go() -> None:
        unlock_id, _holder = await offered(unlocks, world)
        with pytest.raises(NotFound, match="nothing to unlock"):
            await unlocks.open(world.principal, unlock_id, "sealed")

    asyncio.run(go())

    assert [] == unlocks.current(world.principal)


@pytest.mark.parametrize("error", [Unavailable("x"), OSError("x"), None])
def test_keys_that_were_opened_for_nobody_are_locked(
    unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    async def broken(_write: Any) -> None:
        if error:
            raise error

    async def go() -> FakeHolder:
        unlock_id, holder = await offered(unlocks, world)
        monkeypatch.setattr(world.database, "write_async", broken)
        if error is None:
            await unlocks.open(world.principal, unlock_id, "sealed")
        else:
            with pytest.raises(type(error)):
                await unlocks.open(world.principal, unlock_id, "sealed")
        return holder

    assert (error is not None) == asyncio.run(go()).is_gone


def test_mistyped_code_may_be_typed_again(unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeHolder, "opens", staticmethod(lambda: Opened(error="mistyped")))

    async def go() -> FakeHolder:
        unlock_id, holder = await offered(unlocks, world)
        with pytest.raises(InvalidRequest):
            await unlocks.open(world.principal, unlock_id, "sealed")
        return holder

    assert not asyncio.run(go()).is_gone


@pytest.fixture
def managed_unlocks(unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch) -> Unlocks:
    """The same; the host's key is sealed to the appliance's own."""
    own = sealing.as_text(managed.public_key(world.settings))
    host = SealedHost(agent_id=HOST.agent_id, path="/nowhere", seals=(Seal(public_key=own, sealed=""),))
    monkeypatch.setattr(unlocks, "_hosts", lambda _principal, _agent_ids: [host])
    return unlocks


def test_uses_of_managed_hosts_that_begin_at_once_stay_within_their_limits(managed_unlocks: Unlocks) -> None:
    async def began(tenant: str, count: int) -> int:
        starting = [managed_unlocks.start(system(TenantId(tenant)), HOST.agent_id, ["read"]) for _ in range(count)]
        found = await asyncio.gather(*starting, return_exceptions=True)
        assert all(isinstance(each, TooMany) for each in found if isinstance(each, BaseException))
        return sum(not isinstance(each, BaseException) for each in found)

    async def go() -> list[int]:
        return [await began(f"ten_{number}", 40) for number in range(5)]

    assert [single_uses.LIMIT] * 4 + [registry.LIMIT_OF_ALL - 4 * single_uses.LIMIT] == asyncio.run(go())


def test_use_whose_keyholder_ends_while_it_starts_leaves_no_place_taken(
    managed_unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dead(_use_id: str, on_end: Callable[[], None]) -> FakeHolder:
        on_end()
        raise Unavailable("x")

    monkeypatch.setattr(FakeHolder, "spawned", dead)

    with pytest.raises(Unavailable):
        asyncio.run(managed_unlocks.start(world.principal, HOST.agent_id, ["read"]))

    assert 0 == len(managed_unlocks._single_uses)


def test_use_that_is_over_leaves_its_place(
    managed_unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    over: list[Callable[[], object]] = []

    async def started(_holder: FakeHolder, *_words: Any) -> Any:
        return SimpleNamespace(on_end=over.append)

    monkeypatch.setattr(FakeHolder, "start", started)

    async def go() -> tuple[int, int]:
        await managed_unlocks.start(world.principal, HOST.agent_id, ["read"])
        before = len(managed_unlocks._single_uses)
        over[0]()
        await asyncio.sleep(0.01)
        return before, len(managed_unlocks._single_uses)

    assert (1, 0) == asyncio.run(go())


def test_kit_that_is_replaced_while_its_code_is_tried_is_not_confirmed(
    unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = X25519PrivateKey.generate()
    shown = sealing.as_text(private.public_key().public_bytes_raw())
    kits.rotate(world.database, world.principal, shown, recovery.check_of(recovery.create()[0]))
    inner = world.database.write_async

    async def late(write: Any) -> Any:
        code, public_key = recovery.create()
        kits.rotate(world.database, world.principal, sealing.as_text(public_key), recovery.check_of(code))
        return await inner(write)

    async def go() -> None:
        unlock_id, _holder = await offered(unlocks, world)
        monkeypatch.setattr(FakeHolder, "opens", staticmethod(lambda: Opened(public_key=shown)))
        monkeypatch.setattr(world.database, "write_async", late)
        with pytest.raises(WrongCode):
            await unlocks.prove(world.principal, unlock_id, "sealed")

    asyncio.run(go())

    assert kits.state(world.database, world.principal).confirmed_at is None


def test_kit_whose_code_unlocks_is_confirmed_and_the_former_one_forgotten(
    unlocks: Unlocks, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = sealing.as_text(b"k" * 32)
    forgotten: list[str] = []
    monkeypatch.setattr(FakeHolder, "opens", staticmethod(lambda: Opened(public_key=shown, agent_ids=(HOST.agent_id,))))
    monkeypatch.setattr(table_keys, "forget_former", lambda _connection, tenant_id: forgotten.append(tenant_id))

    async def go() -> None:
        unlock_id, _holder = await offered(unlocks, world)
        await unlocks.open(world.principal, unlock_id, "sealed")

    asyncio.run(go())

    assert [world.tenant] == forgotten
    assert kits.state(world.database, world.principal).confirmed_at is not None
