"""/api/v1/keys: the recovery kit, and who holds the hosts' keys. No recovery code ever comes here but sealed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import Parameter
from msgspec import Meta

from saveos.agents.model import KeyMode
from saveos.api.agents import AgentIdPath
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.repositories import keys, table_keys
from saveos.repositories.model import HostKey, Offer, Unlock
from saveos.repositories.table_keys import Resealing
from saveos.tenants import kits
from saveos.tenants.model import Check, Kit

UnlockIdPath = Annotated[str, Parameter(max_length=64, description="Id of an unlock")]
SealedCode = Annotated[str, Meta(min_length=1, max_length=1024, description="base64, sealed to the offer")]


class KitView(Kit, frozen=True, kw_only=True):
    """The recovery kit, and how many hosts have sealed their keys to it."""

    resealing: Resealing


class NewKit(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery key made in the browser: the public half alone."""

    recovery_public_key: Annotated[str, Meta(min_length=1, max_length=64)]
    check: Check


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """That the kit is at hand: PBKDF2 of the two groups it asks for, 32 bytes in base64."""

    proof: Annotated[str, Meta(min_length=1, max_length=64)]

    def __repr__(self) -> str:
        return "Proof(***)"


class ProofByCode(msgspec.Struct, frozen=True, kw_only=True):
    """That the kit is at hand: the whole code, sealed to an offer."""

    sealed_code: SealedCode


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Open these hosts' keys, none named: all, for so many minutes."""

    sealed_code: SealedCode
    agent_ids: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=10_000)] = ()
    minutes: Annotated[float, Meta(ge=0.01, le=1440)] = 15.0


class UnlockList(msgspec.Struct, frozen=True, kw_only=True):
    """What is unlocked, the first to end first."""

    items: list[Unlock]


class KeyModeChange(msgspec.Struct, frozen=True, kw_only=True):
    """Who shall hold a host's key."""

    mode: KeyMode


class Keys(Controller):
    """Recovery kit, unlocks, modes."""

    path = "/api/v1"
    tags = ("keys",)

    @get("/keys/kit", summary="Show the recovery kit's state", sync_to_thread=True, responses=documented())
    def kit(self, principal: Principal, parts: Parts) -> KitView:
        """Show whose the recovery key is, whether somebody has confirmed it, and how many hosts use it."""
        return _view(kits.state(parts.database, principal), principal, parts)

    @post(
        "/keys/kit",
        summary="Replace the recovery key",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def rotate(self, data: NewKit, principal: Principal, parts: Parts) -> KitView:
        """Replace the recovery key: hosts seal their keys to it at their next heartbeats."""
        return _view(kits.rotate(parts.database, principal, data.recovery_public_key, data.check), principal, parts)

    @post(
        "/keys/kit/confirm",
        summary="Confirm the recovery kit",
        status_code=200,
        sync_to_thread=True,
        responses=documented(),
    )
    def confirm(self, data: Proof, principal: Principal, parts: Parts) -> KitView:
        """Confirm that the recovery code is at hand, by two groups of it."""
        return _view(kits.confirm(parts.database, principal, data.proof, keys.note_proof), principal, parts)

    @post("/keys/unlocks", summary="Offer an unlock", responses=documented())
    async def offer(self, principal: Principal, parts: Parts) -> Offer:
        """Get what to seal the recovery code to: a key pair of a process made for this, worth two minutes."""
        return await parts.unlocks.offer(principal)

    @get("/keys/unlocks", summary="List unlocks", sync_to_thread=False, responses=documented())
    def unlocks(self, principal: Principal, parts: Parts) -> UnlockList:
        """List what is unlocked."""
        return UnlockList(items=parts.unlocks.current(principal))

    @post("/keys/unlocks/{unlock_id:str}/open", summary="Unlock hosts", status_code=200, responses=documented())
    async def open(self, unlock_id: UnlockIdPath, data: OpenRequest, principal: Principal, parts: Parts) -> Unlock:
        """Open hosts' keys in that process's memory, for minutes. Audited."""
        return await parts.unlocks.open(principal, unlock_id, data.sealed_code, data.agent_ids, data.minutes)

    @post(
        "/keys/unlocks/{unlock_id:str}/prove",
        summary="Confirm the kit by its whole code",
        status_code=204,
        responses=documented(),
    )
    async def prove(self, unlock_id: UnlockIdPath, data: ProofByCode, principal: Principal, parts: Parts) -> None:
        """Confirm that the recovery code is at hand; nothing is unlocked."""
        await parts.unlocks.prove(principal, unlock_id, data.sealed_code)

    @delete("/keys/unlocks/{unlock_id:str}", summary="Lock again", responses=documented())
    async def lock(self, unlock_id: UnlockIdPath, principal: Principal, parts: Parts) -> None:
        """Lock again now."""
        await parts.unlocks.lock(principal, unlock_id)

    @get(
        "/agents/{agent_id:str}/key", summary="Show who holds a host's key", sync_to_thread=True, responses=documented()
    )
    def mode(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> HostKey:
        """Show who holds a host's key."""
        return keys.held(parts.database, principal, agent_id)

    @put(
        "/agents/{agent_id:str}/key",
        summary="Decide who holds a host's key",
        sync_to_thread=True,
        responses=documented(),
    )
    def set_mode(self, agent_id: AgentIdPath, data: KeyModeChange, principal: Principal, parts: Parts) -> HostKey:
        """Decide whether the appliance may open a host's key by itself."""
        keys.set_mode(parts.database, principal, agent_id, data.mode)
        return keys.held(parts.database, principal, agent_id)


def _view(kit: Kit, principal: Principal, parts: Parts) -> KitView:
    resealing = table_keys.resealing(parts.database.read, principal.tenant_id)
    return KitView(**{name: getattr(kit, name) for name in Kit.__struct_fields__}, resealing=resealing)
