"""/api/v1/offsite and /api/v1/agents/…/offsite: where copies of repositories go, how they stand, and the way back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post, put
from msgspec import Meta

from saveos import clock
from saveos.api.agents import AgentIdPath
from saveos.api.jobs import JobView
from saveos.api.jobs import view as job_view
from saveos.api.problems import documented
from saveos.database.secrets import Secret
from saveos.errors import NotFound
from saveos.identity.principals import Principal
from saveos.offsite import costs, orders, stores
from saveos.offsite.costs import Costs
from saveos.offsite.model import Generation, Health, OffsiteState, Place, Store
from saveos.parts import Parts
from saveos.protocol import Confidential
from saveos.snapshots import rehydrating

SecretText = Annotated[str, Meta(max_length=1024)]


class ChosenPlace(Confidential, frozen=True, kw_only=True):
    """A place, and the secret of its access key; left out: as it was."""

    place: Place
    secret: SecretText = ""

    def key(self) -> Secret | None:
        """Return the secret, if one was said."""
        return Secret(self.secret) if self.secret else None


class StoreView(msgspec.Struct, frozen=True, kw_only=True):
    """The store in use. `is_of_appliance`: it serves all tenants that have none of their own."""

    id: str
    is_of_appliance: bool
    made_at: datetime
    place: Place


class TriedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a test and what came of it: ok, unsupported, refused, skipped."""

    name: str
    state: str
    code: str
    message: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do. `protection`: lock, versions or none: what keeps the copy from whoever holds the key."""

    is_usable: bool
    protection: str
    steps: list[TriedStep]


class HostCopy(msgspec.Struct, frozen=True, kw_only=True):
    """How a host's copy stands. `lag_seconds`: for how long the oldest snapshot that is not in it has been waiting."""

    health: Health
    lag_seconds: float
    state: OffsiteState


class HostCopies(msgspec.Struct, frozen=True, kw_only=True):
    """How the copies of all hosts stand."""

    items: list[HostCopy]


class HostGenerations(msgspec.Struct, frozen=True, kw_only=True):
    """A host's copy and its generations, newest first: each of them is a whole repository."""

    copy: HostCopy
    generations: list[Generation]


class AskedVerification(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the segments is to be read, from 0 to 1; the list is compared in any case."""

    share: Annotated[float, Meta(ge=0, le=1)] = 1.0


class AskedFetch(msgspec.Struct, frozen=True, kw_only=True):
    """Which generation the repository is to be; `hostname`: the host's name, typed, as this replaces what is there."""

    generation: Annotated[int, Meta(ge=1, le=2**53)]
    hostname: Annotated[str, Meta(max_length=255)]


class Offsite(Controller):
    """Offsite copies."""

    path = "/api/v1"
    tags = ("offsite",)

    @get("/offsite/store", summary="Show the store", sync_to_thread=True, responses=documented())
    def store(self, principal: Principal, parts: Parts) -> StoreView:
        """Show where copies go; the secret of its key is never shown."""
        found = stores.own_store(parts.database, principal)
        if found is None:
            raise NotFound("No store for offsite copies has been chosen.")
        return _view(found)

    @put("/offsite/store", summary="Choose the store", sync_to_thread=True, responses=documented(409))
    def choose(self, data: ChosenPlace, principal: Principal, parts: Parts) -> StoreView:
        """Copy to a place from now on. Another endpoint, bucket or prefix begins anew; what lay there stays there."""
        return _view(stores.keep_store(parts.database, parts.settings, principal, data.place, data.key()))

    @delete("/offsite/store", summary="Forget the store", sync_to_thread=True, responses=documented())
    def forget(self, principal: Principal, parts: Parts) -> None:
        """Copy nowhere any more. What lies in the store stays there."""
        stores.forget_store(parts.database, principal)

    @post(
        "/offsite/store/test", summary="Test a place", status_code=200, sync_to_thread=True, responses=documented(409)
    )
    def test(self, data: ChosenPlace, principal: Principal, parts: Parts) -> Tried:
        """Write, read, list, lock and delete an object of a few kilobytes there, and say what the store can do."""
        report = stores.try_place(parts.database, parts.settings, principal, data.place, data.key())
        steps = [
            TriedStep(name=step.name.value, state=step.state.value, code=step.code, message=step.message)
            for step in report.steps
        ]
        return Tried(is_usable=report.is_usable, protection=report.protection.value, steps=steps)

    @post(
        "/offsite/store/take-over",
        summary="Take a prefix over",
        status_code=204,
        sync_to_thread=True,
        responses=documented(409, 502),
    )
    def take_over(self, principal: Principal, parts: Parts) -> None:
        """Copy to a prefix that another appliance holds. That one is refused from then on."""
        stores.take_over(parts.database, parts.settings, principal)

    @get("/offsite/hosts", summary="Show how all copies stand", sync_to_thread=True, responses=documented())
    def hosts(self, principal: Principal, parts: Parts) -> HostCopies:
        """Show how the copy of each host stands: its newest snapshot, what is waiting, what failed or is damaged."""
        found = orders.of_tenant(parts.database, principal)
        return HostCopies(items=[_copy(state) for state in found.values()])

    @get("/offsite/costs", summary="Estimate costs", sync_to_thread=True, responses=documented())
    def costs(self, principal: Principal, parts: Parts) -> Costs:
        """Reckon what a month costs by the prices of the store, and what it would cost to fetch all of it once."""
        return costs.of_tenant(parts.database, principal)

    @get("/agents/{agent_id:str}/offsite", summary="Show a host's copy", sync_to_thread=True, responses=documented())
    def of_host(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> HostGenerations:
        """Show how a host's copy stands, and the generations that its repository can be brought back from."""
        state = orders.of_host(parts.database, principal, agent_id)
        found = orders.generations(parts.database, principal, agent_id)
        return HostGenerations(copy=_copy(state), generations=found)

    @post(
        "/agents/{agent_id:str}/offsite/copy",
        summary="Ask for a copy",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def copy(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> JobView:
        """Copy what the store lacks of a host's repository now."""
        return job_view(orders.request_copy(parts.database, principal, agent_id), None)

    @post(
        "/agents/{agent_id:str}/offsite/verify",
        summary="Verify a host's copy",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def verify(
        self, agent_id: AgentIdPath, principal: Principal, parts: Parts, data: AskedVerification | None = None
    ) -> JobView:
        """Compare what is in the store with what was written, and read a share of it; without a body all of it."""
        share = data.share if data else 1.0
        return job_view(orders.request_verify(parts.database, principal, agent_id, share), None)

    @post(
        "/agents/{agent_id:str}/offsite/fetch",
        summary="Fetch a repository back",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def fetch(self, agent_id: AgentIdPath, data: AskedFetch, principal: Principal, parts: Parts) -> JobView:
        """Let the repository be what a generation of its copy is. What stands here now becomes a checkpoint."""
        job = rehydrating.request(
            parts.database, principal, agent_id, data.generation, data.hostname, on_end=parts.endings
        )
        return job_view(job, None)


def _view(store: Store) -> StoreView:
    return StoreView(id=store.id, is_of_appliance=store.tenant_id is None, made_at=store.made_at, place=store.place)


def _copy(state: OffsiteState) -> HostCopy:
    now = clock.now()
    return HostCopy(health=state.health(now), lag_seconds=state.lag_seconds(now), state=state)
