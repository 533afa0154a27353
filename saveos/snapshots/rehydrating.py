"""Back to a generation of the offsite copy: it is fetched as a checkpoint, and a roll-back goes back to that.

So the way back is the one that is gone after an attack, too: hosts wait, the nonce never goes back, snapshots are what
they were, and what stood there becomes a checkpoint itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.offsite import table as table_offsite
from saveos.protocol import JobId, Kind
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
        return lifecycle.request(
            connection,
            NewJob(
                id=JobId(new_id("job")),
                tenant_id=agent.tenant_id,
                agent_id=agent.id,
                kind=Kind.REHYDRATE,
                runs_on=RunsOn.APPLIANCE,
                order={"store": store.id, "generation": number},
                requested_by=principal.label,
                priority=PRIORITY,
                attempts_limit=ATTEMPTS,
            ),
        )

    return database.write(write)


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
