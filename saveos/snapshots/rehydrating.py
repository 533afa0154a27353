"""Back to a generation of the offsite copy: it is fetched as a checkpoint, and a roll-back goes back to that.

So the way back is the one that is gone after an attack, too: hosts wait, the nonce never goes back, snapshots are what
they were, and what stood there becomes a checkpoint itself.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound, RepositoryLocked
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.offsite import table as table_offsite
from saveos.protocol import AgentId, JobId, Kind, TenantId
from saveos.repositories import table as repositories
from saveos.repositories import table_checkpoints
from saveos.snapshots import checkpoints, table_roll_back

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.lifecycle import OnEnd
    from saveos.repositories.model import Checkpoint

ATTEMPTS = 20  # what was fetched is there still
PRIORITY = 5
NEWEST = 0  # in place of a generation's number: whatever is the newest then
AGAIN_AFTER = timedelta(minutes=10)
SCHEDULE = "system:schedule"


def request(
    database: Database, principal: Principal, agent_id: str, number: int, hostname: str, on_end: Mapping[Kind, OnEnd]
) -> Job:
    """Let a repository be what a generation of its offsite copy is. `hostname`: typed by the person.

    Raises NotFound, InvalidRequest (another name), Conflict (one is under way).
    """
    principal.require(Permission.ROLL_BACK)

    def write(connection: sqlite3.Connection) -> Job:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        store = table_offsite.store_of(connection, agent.tenant_id) if agent else None
        known = table_offsite.generations(connection, store.id, agent.id) if agent and store else []
        if agent is None or store is None or not any(one.number == number for one in known):
            raise NotFound("There is no such generation.")
        if hostname.strip() != agent.hostname:
            raise InvalidRequest(f"Type the name of the host: {agent.hostname}.", field="hostname")
        if any(jobs.waiting_of(connection, agent.id, kind) for kind in (Kind.REHYDRATE, Kind.ROLL_BACK)):
            raise Conflict("This repository is being replaced already.")
        for job in jobs.waiting_of(connection, agent.id, Kind.OFFSITE):
            jobs.request_cancel(connection, job.id)
            if job.state is State.QUEUED:
                asked = jobs.get(connection, job.id) or job
                lifecycle.lost(connection, asked, "The repository is fetched back from its copy.", on_end)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="rehydration-requested",
            target=agent.id,
            generation=number,
        )
        return _queue(connection, agent.tenant_id, agent.id, number, principal.label)

    return database.write(write)


def request_all(database: Database, principal: Principal) -> int:
    """Fetch all of the tenant's repositories that are only in the copy; return how many were asked for."""
    principal.require(Permission.ROLL_BACK)

    def write(connection: sqlite3.Connection) -> int:
        count = queue_away(connection, principal.label, principal.tenant_id)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="repositories-fetched-back",
            count=count,
        )
        return count

    return database.write(write)


def queue_away(connection: sqlite3.Connection, requested_by: str, tenant_id: TenantId | None = None) -> int:
    """Ask for all repositories that are only in the copy, of a tenant or of all; return how many."""
    return _queue_each(connection, table_roll_back.away(connection, tenant_id), requested_by)


def queue_wanted(connection: sqlite3.Connection) -> int:
    """Ask for the repositories that are only in the copy and that some job waits for; return how many."""
    return _queue_each(connection, table_roll_back.wanted(connection, clock.now() - AGAIN_AFTER), SCHEDULE)


def require_here(database: Database, agent_id: str) -> None:
    """Raise RepositoryLocked while a host's repository is only in the offsite copy; it is asked for then."""
    repository = repositories.of_agent(database.read, agent_id)
    if repository is None or repository.away_at is None:
        return
    found = [(repository.tenant_id, repository.agent_id)]
    database.write(lambda connection: _queue_each(connection, found, SCHEDULE))
    raise RepositoryLocked("This repository is only in the offsite copy. It is fetched now: try again once it is here.")


def is_wanted(database: Database) -> bool:
    """Return whether there is one to be asked for: looked at without keeping writers waiting."""
    return bool(table_roll_back.wanted(database.read, clock.now() - AGAIN_AFTER))


def _queue_each(connection: sqlite3.Connection, found: list[tuple[TenantId, AgentId]], requested_by: str) -> int:
    count = 0
    for tenant_id, agent_id in found:
        is_under_way = any(jobs.waiting_of(connection, agent_id, kind) for kind in (Kind.REHYDRATE, Kind.ROLL_BACK))
        if not is_under_way and table_offsite.store_of(connection, tenant_id) is not None:
            _queue(connection, tenant_id, agent_id, NEWEST, requested_by)
            count += 1
    return count


def _queue(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId, number: int, requested_by: str
) -> Job:
    store = table_offsite.store_of(connection, tenant_id)
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            agent_id=agent_id,
            kind=Kind.REHYDRATE,
            runs_on=RunsOn.APPLIANCE,
            order={"store": store.id if store else "", "generation": number},
            requested_by=requested_by,
            priority=PRIORITY,
            attempts_limit=ATTEMPTS,
        ),
    )


def go_back(connection: sqlite3.Connection, job: Job, checkpoint: Checkpoint, on_end: Mapping[Kind, OnEnd]) -> Job:
    """Call what was fetched a checkpoint that is there, and roll the repository back to it, once. Raises NotFound."""
    agent = agents.get(connection, checkpoint.agent_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    table_checkpoints.set_made(connection, checkpoint.id)
    checkpoints.cancel_writes(connection, agent.id, on_end)
    following = lifecycle.request(connection, checkpoints.new_roll_back(agent, checkpoint, job.requested_by))
    table_roll_back.note_following(connection, job.id, following.id)
    return following
