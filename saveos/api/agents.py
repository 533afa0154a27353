"""/api/v1/agents: what people do with agents, and what agents do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.params import Parameter

from saveos import clock
from saveos.agents import addresses, enrolment, heartbeat
from saveos.agents import table as agents_table
from saveos.agents.model import Agent, AgentIdentity, Statistics
from saveos.api.problems import documented
from saveos.identity.principals import Permission, Principal
from saveos.identity.sessions import Visitor
from saveos.installers import updates
from saveos.installers.updates import Offer, has_update
from saveos.parts import Parts
from saveos.protocol import (
    ADDRESSES_LIMIT,
    Enrolment,
    EnrolRequest,
    EscrowRequest,
    Heartbeat,
    HeartbeatAnswer,
    JobId,
    LentKeyRequest,
    MachineClass,
    OwnJob,
    OwnJobRequest,
    OwnSnapshot,
    OwnStatus,
    Platform,
    Renewal,
    RenewRequest,
    SealedKey,
)
from saveos.repositories import keys, sealing
from saveos.repositories import table as repositories
from saveos.snapshots import backup, lending, own
from saveos.tenants import users

AgentIdPath = Annotated[str, Parameter(max_length=64, description="Id of an agent")]
FIRST_WAIT_SECONDS = 25.0


class AgentView(Agent, frozen=True, kw_only=True):
    """An agent as it is shown."""

    is_online: bool
    counts_as: MachineClass  # what kind of machine: as a person says, else as it says itself, else a server
    has_update: bool  # there is another executable for it: POST /api/v1/agents/{agent_id}/update


class AgentList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of agents; `next_after` is the `after` of the next one."""

    items: list[AgentView]
    next_after: str | None


class OwnSnapshotList(msgspec.Struct, frozen=True, kw_only=True):
    """The host's snapshots, newest first."""

    items: list[OwnSnapshot]


def view(agent: Agent, offered: Mapping[Platform, Offer]) -> AgentView:
    """Return the agent as it is shown. `offered`: what there is for hosts."""
    return AgentView(
        **msgspec.structs.asdict(agent),
        is_online=agent.is_online_at(clock.now()),
        counts_as=agent.lives_as,
        has_update=has_update(agent, offered),
    )


async def _hung_up(request: Request[Any, Any, Any]) -> None:
    """Return once the other end has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class PeopleOnAgents(Controller):
    """What people do with agents."""

    path = "/api/v1/agents"
    tags = ("agents",)

    @get("/", summary="List agents", sync_to_thread=True, responses=documented())
    def find(
        self,
        principal: Principal,
        parts: Parts,
        search: Annotated[str, Parameter(max_length=253)] = "",
        after: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 200,
    ) -> AgentList:
        """List agents in the order of enrolment."""
        found = enrolment.find(parts.database, principal, search=search, after=after, limit=limit)
        offered = updates.offers(parts.settings)
        return AgentList(
            items=[view(agent, offered) for agent in found], next_after=found[-1].id if len(found) == limit else None
        )

    @get("/stats", summary="Count the fleet", sync_to_thread=True, responses=documented())
    def stats(self, principal: Principal, parts: Parts) -> Statistics:
        """Count the fleet."""
        principal.require(Permission.READ)
        return agents_table.statistics(parts.database.read, principal.tenant_id)

    @get("/{agent_id:str}", summary="Show an agent", sync_to_thread=True, responses=documented())
    def get_one(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> AgentView:
        """Show an agent."""
        return view(enrolment.get(parts.database, principal, agent_id), updates.offers(parts.settings))

    @delete("/{agent_id:str}", summary="Revoke an agent", status_code=200, sync_to_thread=True, responses=documented())
    def revoke(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> AgentView:
        """Revoke an agent: its certificate is refused from the next request on. Its snapshots stay."""
        return view(enrolment.revoke(parts.database, principal, agent_id), updates.offers(parts.settings))


class AgentsThemselves(Controller):
    """What agents call."""

    path = "/api/v1/agents"
    tags = ("agent protocol",)

    @post("/register", summary="Enrol a host", sync_to_thread=True, responses=documented(409))
    def register(self, data: EnrolRequest, visitor: Visitor, parts: Parts) -> Enrolment:
        """Enrol: a one-time token and a certificate request for a certificate and a token bound to it."""
        enrolled = enrolment.enrol(
            parts.database,
            parts.authority,
            data,
            visitor.address,
            life=timedelta(days=parts.settings.agent_certificate_days),
            on_enrolled=lambda connection, agent: repositories.insert(connection, agent.tenant_id, agent.id),
        )
        told = addresses.told(parts.database.read)
        tenant_name, public_key = users.recovery_public_key(parts.database.read, enrolled.agent.tenant_id)
        return Enrolment(
            agent_id=enrolled.agent.id,
            hostname=enrolled.agent.hostname,
            tenant_name=tenant_name,
            certificate=enrolled.certificate,
            agent_token=enrolled.agent_token,
            recovery_public_key=sealing.as_text(public_key),
            heartbeat_seconds=parts.settings.heartbeat_seconds,
            addresses=told.addresses[:ADDRESSES_LIMIT],
            addresses_serial=told.serial,
        )

    @post("/heartbeat", summary="Send a heartbeat", status_code=200, responses=documented())
    async def beat(
        self, data: Heartbeat, agent: AgentIdentity, visitor: Visitor, parts: Parts, request: Request[Any, Any, Any]
    ) -> HeartbeatAnswer:
        """Say that the host lives; the answer waits for work or a question up to `wait_seconds`."""
        lease = parts.settings.lease_seconds
        parts.pulse.beat()
        wanted = await parts.database.write_async(
            lambda connection: heartbeat.beat(connection, agent, data, visitor.address, lease, parts.endings)
        )
        is_ahead = addresses.is_ahead(parts.database.read, data.addresses_serial)
        is_renewal_due = agent.is_renewal_due and not addresses.told(parts.database.read).moved_to
        deadline = time.monotonic() + data.wait_seconds
        is_listing_wanted = agent.is_listing_wanted
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            while not (wanted or data.running_job or is_renewal_due or is_ahead):
                left = deadline - time.monotonic()
                if not await parts.waiting.wait(agent.agent_id, left, gone, is_told=agent.is_listing_wanted):
                    break
                is_listing_wanted = agent.agent_id in agents_table.wanting_listings(parts.database.read)
                wanted = await parts.database.write_async(
                    lambda connection: heartbeat.claim(connection, agent, lease, parts.endings)
                )
                if is_listing_wanted:  # it was woken, and nothing else may be the reason
                    break
        finally:
            gone.cancel()
        told, listed = addresses.answer_to(parts.database.read, data)
        serves = not (told.moved_to or is_ahead)  # who does not changes nothing of a host that works for another one
        return HeartbeatAnswer(
            assignment=wanted.assignment,
            next_seconds=parts.settings.heartbeat_seconds,
            renew=agent.is_renewal_due and serves,
            escrow_wanted=agent.state == "enrolled" and serves,
            questions=wanted.questions,
            listing_wanted=is_listing_wanted,
            seals=keys.wanted(parts.database.read, parts.settings, agent) if serves else (),
            generation=agents_table.generation(parts.database.read, agent.agent_id),
            addresses=listed,
            addresses_serial=told.serial,
            has_moved=bool(told.moved_to),
        )

    @post("/renew", summary="Renew the certificate", status_code=200, sync_to_thread=True, responses=documented(409))
    def renew(self, data: RenewRequest, agent: AgentIdentity, parts: Parts) -> Renewal:
        """Give the host its next certificate; an appliance that has moved gives none that the other did not know."""
        addresses.require_here(parts.database.read)
        life = timedelta(days=parts.settings.agent_certificate_days)
        return enrolment.renew(parts.database, parts.authority, agent, data.csr, life=life)

    @post(
        "/escrow", summary="Hand over the sealed key", status_code=204, sync_to_thread=True, responses=documented(409)
    )
    def escrow(self, data: EscrowRequest, agent: AgentIdentity, parts: Parts) -> None:
        """Keep the repository's key, sealed to the recovery key or another that was asked for."""
        parts.database.write(lambda connection: backup.begin_protection(connection, parts.settings, agent, data))

    @get("/self", summary="Show the calling host", sync_to_thread=True, responses=documented())
    def own_status(self, agent: AgentIdentity, parts: Parts) -> OwnStatus:
        """Tell the host how the appliance sees it."""
        return own.status(parts.database, agent)

    @get("/self/snapshots", summary="List the calling host's snapshots", sync_to_thread=True, responses=documented())
    def own_snapshots(self, agent: AgentIdentity, parts: Parts) -> OwnSnapshotList:
        """List the host's snapshots."""
        return OwnSnapshotList(items=own.snapshots(parts.database, agent))

    @post("/self/jobs", summary="Ask for a job of the calling host", sync_to_thread=True, responses=documented(409))
    def own_job(self, data: OwnJobRequest, agent: AgentIdentity, parts: Parts) -> OwnJob:
        """Make a job that the host asks for."""
        addresses.require_here(parts.database.read, data.addresses_serial)
        return own.request(parts.database, agent, data, parts.settings.lease_seconds)

    @post(
        "/self/jobs/{job_id:str}/key",
        summary="Borrow another host's key",
        status_code=200,
        responses=documented(409),
    )
    async def lent_key(
        self,
        job_id: Annotated[str, Parameter(max_length=64, description="Id of a job")],
        data: LentKeyRequest,
        agent: AgentIdentity,
        parts: Parts,
    ) -> SealedKey:
        """Ask for the key of the host whose snapshot is restored here, sealed to our certificate."""
        return await lending.key_for(parts.lending, agent, JobId(job_id), data)
