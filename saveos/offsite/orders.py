"""Ask for copies and verifications; tell how they stand. Light: no library of a store is needed for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, Job, NewJob, RunsOn, State
from saveos.offsite import table, table_states
from saveos.protocol import AgentId, JobId, Kind, TenantId

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.offsite.model import Generation, OffsiteState, Store
    from saveos.protocol import JobReport

PRIORITY = -5
VERIFY_AFTER = timedelta(days=7)
VERIFY_SHARE = 1 / 12  # all of it within a quarter
PERSON_PRIORITY = 5


def request_copy(database: Database, principal: Principal, agent_id: str) -> Job:
    """Copy a host's repository now; one that waits already is returned. Raises NotFound, Conflict (no store)."""
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> Job:
        agent = _known(connection, principal, agent_id)
        _store(connection, agent)
        for job in jobs.waiting_of(connection, agent.id, Kind.OFFSITE):
            if job.state is State.QUEUED:
                return job
        _record(connection, principal, agent, "offsite-copy-requested")
        return _queue(connection, Kind.OFFSITE, agent.tenant_id, agent.id, principal.label, {}, PERSON_PRIORITY)

    return database.write(write)


def request_verify(database: Database, principal: Principal, agent_id: str, share: float = 1.0) -> Job:
    """Look whether a host's copy is what was written, and read a share of it. Raises NotFound, Conflict."""
    principal.require(Permission.BACK_UP)
    if not 0 <= share <= 1:
        raise InvalidRequest("A share is a number from 0 to 1.", field="share")

    def write(connection: sqlite3.Connection) -> Job:
        agent = _known(connection, principal, agent_id)
        _store(connection, agent)
        if jobs.waiting_of(connection, agent.id, Kind.OFFSITE_VERIFY):
            raise Conflict("This copy is being verified already.")
        _record(connection, principal, agent, "offsite-verification-requested")
        order = {"share": share}
        return _queue(
            connection, Kind.OFFSITE_VERIFY, agent.tenant_id, agent.id, principal.label, order, PERSON_PRIORITY
        )

    return database.write(write)


def of_host(database: Database, principal: Principal, agent_id: str) -> OffsiteState:
    """Return how a host's copy stands. Raises NotFound."""
    principal.require(Permission.READ)
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    state = table_states.state_of(database.read, agent.id) if agent else None
    if state is None:
        raise NotFound("There is no such agent.")
    return state


def of_tenant(database: Database, principal: Principal) -> dict[AgentId, OffsiteState]:
    """Return how the copies of the tenant's hosts stand."""
    principal.require(Permission.READ)
    return {state.agent_id: state for state in table_states.states(database.read, principal.tenant_id)}


def generations(database: Database, principal: Principal, agent_id: str) -> list[Generation]:
    """Return the generations of a host's copy, newest first. Raises NotFound."""
    principal.require(Permission.READ)
    agent = _known(database.read, principal, agent_id)
    store = table.store_of(database.read, agent.tenant_id)
    return table.generations(database.read, store.id, agent.id) if store else []


def ask(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Ask for a copy where there is a store, once: one that runs may have begun before what is to be copied."""
    store = table.store_of(connection, tenant_id)
    if store is None or not store.place.is_enabled:
        return
    waiting = jobs.waiting_of(connection, agent_id, Kind.OFFSITE)
    if not any(job.state is State.QUEUED for job in waiting):
        _queue(connection, Kind.OFFSITE, tenant_id, agent_id, "system:schedule", {}, PRIORITY)


def queue_due(connection: sqlite3.Connection) -> int:
    """Ask for the copies that lack a snapshot; return how many hosts lack one."""
    found = table_states.behind(connection)
    for tenant_id, agent_id in found:
        ask(connection, TenantId(tenant_id), AgentId(agent_id))
    return len(found)


def queue_verifications(connection: sqlite3.Connection) -> int:
    """Ask for a part of each copy to be verified every week; return for how many hosts."""
    found = table_states.due_for_verification(connection, clock.now() - VERIFY_AFTER)
    for tenant_id, agent_id in found:
        order = {"share": VERIFY_SHARE}
        tenant, agent = TenantId(tenant_id), AgentId(agent_id)
        _queue(connection, Kind.OFFSITE_VERIFY, tenant, agent, "system:schedule", order, PRIORITY)
    return len(found)


def ask_verification(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Ask for all of a copy to be verified: something that came out of it was not right."""
    if not jobs.waiting_of(connection, agent_id, Kind.OFFSITE_VERIFY):
        _queue(connection, Kind.OFFSITE_VERIFY, tenant_id, agent_id, "system:drill", {"share": 1.0}, PRIORITY)


def record_end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
    """Keep that a copy failed, or did not. Called in the transaction that ends the job."""
    if job.agent_id is None or state is State.CANCELLED:
        return
    is_good = state in GOOD
    table_states.set_state(
        connection,
        job.agent_id,
        job.tenant_id,
        tried_at=clock.to_text(clock.now()),
        error_code="" if is_good else report.error_code,
        error_message="" if is_good else report.message,
    )


def _queue(
    connection: sqlite3.Connection,
    kind: Kind,
    tenant_id: TenantId,
    agent_id: AgentId,
    requested_by: str,
    order: dict[str, float],
    priority: int,
) -> Job:
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            agent_id=agent_id,
            kind=kind,
            runs_on=RunsOn.APPLIANCE,
            order=order,
            requested_by=requested_by,
            priority=priority,
        ),
    )


def _known(connection: sqlite3.Connection, principal: Principal, agent_id: str) -> Agent:
    agent = agents.get(connection, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent


def _store(connection: sqlite3.Connection, agent: Agent) -> Store:
    store = table.store_of(connection, agent.tenant_id)
    if store is None:
        raise Conflict("There is no store for offsite copies yet.")
    return store


def _record(connection: sqlite3.Connection, principal: Principal, agent: Agent, action: str) -> None:
    record(connection, tenant_id=agent.tenant_id, actor=principal.label, action=action, target=agent.id)
