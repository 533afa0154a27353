"""What a host may ask for itself: its state, its snapshots, a job of its own. Identity comes from the channel."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.heartbeat import assignment_of
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.jobs import table as jobs
from saveos.jobs.model import OWNER_COMMAND, Job, State
from saveos.protocol import Kind, OwnJob, OwnJobRequest, OwnSnapshot, OwnStatus
from saveos.snapshots import backup, rehydrating, restore, table

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import AgentIdentity
    from saveos.database.connection import Database
    from saveos.snapshots.model import Snapshot


def status(database: Database, agent: AgentIdentity) -> OwnStatus:
    """Return how the appliance sees the host."""
    found = backup.agent_of(database.read, agent.agent_id)
    return OwnStatus(
        agent_id=found.id,
        hostname=found.hostname,
        state=found.state.value,
        last_backup_at=found.last_backup_at,
        snapshots_count=found.snapshots_count,
        next_backup_at=found.next_backup_at,
        last_proven_at=found.proven_at,
    )


def snapshots(database: Database, agent: AgentIdentity) -> list[OwnSnapshot]:
    """Return the host's snapshots, newest first."""
    return [
        OwnSnapshot(
            snapshot_id=snapshot.id,
            archive=snapshot.archive,
            kind=snapshot.kind.value,
            started_at=snapshot.started_at,
            files_count=snapshot.files_count,
            original_bytes=snapshot.original_bytes,
            added_bytes=snapshot.added_bytes,
            standing=snapshot.standing.value,
        )
        for snapshot in table.of_agent(database.read, agent.agent_id, limit=10_000)
    ]


def request(database: Database, agent: AgentIdentity, asked: OwnJobRequest, lease_seconds: float) -> OwnJob:
    """Make a job that the host asked for; claimed at once if the command line runs it itself.

    Raises InvalidRequest, NotFound (no such snapshot of this host), Conflict, RepositoryLocked.
    """
    if asked.claim:
        rehydrating.require_here(database, agent.agent_id)

    def write(connection: sqlite3.Connection) -> OwnJob:
        job = _queue(connection, agent, asked)
        if not asked.claim:
            return OwnJob(job_id=job.id)
        claimed = jobs.claim(connection, job.id, OWNER_COMMAND, clock.now() + timedelta(seconds=lease_seconds))
        if claimed is None:
            message = "The job could not be claimed. Try again."
            raise Conflict(message)
        generation = agents.generation(connection, agent.agent_id)
        return OwnJob(job_id=job.id, assignment=assignment_of(claimed, generation))

    return database.write(write)


def _queue(connection: sqlite3.Connection, agent: AgentIdentity, asked: OwnJobRequest) -> Job:
    requested_by = f"agent:{agent.agent_id}"
    if asked.kind is Kind.BACKUP:
        backup.require_clean(asked.sources)
        found = backup.agent_of(connection, agent.agent_id)
        waiting = backup.waiting_of(connection, found)
        if waiting is not None and waiting.state is State.QUEUED and not asked.sources:
            return waiting
        return backup.queue(connection, found, requested_by, sources=asked.sources, priority=backup.PERSON_PRIORITY)
    if asked.kind is Kind.RESTORE:
        snapshot = _own_snapshot(connection, agent, asked.snapshot_id or "")
        terms = restore.Terms(
            paths=asked.paths,
            target=asked.target,
            selected=asked.selected,
            conflict=asked.conflict,
            dry_run=asked.dry_run,
        )
        return restore.queue(connection, snapshot, requested_by, terms)
    message = "A host asks for a backup or a restore."
    raise InvalidRequest(message, field="kind")


def _own_snapshot(connection: sqlite3.Connection, agent: AgentIdentity, snapshot_id: str) -> Snapshot:
    snapshot = table.get(connection, snapshot_id, agent.tenant_id)
    if snapshot is None or snapshot.agent_id != agent.agent_id:
        message = "This host has no such snapshot."
        raise NotFound(message)
    return snapshot
