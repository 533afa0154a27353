"""Hosts and their backups written into a database as the appliance writes them, without a host."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import AgentState
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import AgentId, ArchiveFacts, JobReport, Outcome
from saveos.snapshots import backup, table

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.snapshots.anomaly import Run


def enrol(connection: sqlite3.Connection, tenant_id: str, policy_id: str, agent_id: str, hostname: str) -> None:
    """Add a host that is ready."""
    values = {"id": agent_id, "tenant_id": tenant_id, "hostname": hostname, "platform": "linux", "policy_id": policy_id}
    now = clock.to_text(clock.now())
    agents.insert(connection, {**values, "agent_version": "", "address": "", "enrolled_at": now})
    agents.set_state(connection, AgentId(agent_id), AgentState.READY)


def record(
    database: Database, agent_id: str, run: Run, sources: tuple[str, ...] = (), *, is_silent: bool = False
) -> str:
    """Record a backup with these numbers and return the snapshot's id. `is_silent`: its host's guard says nothing."""

    def write(connection: sqlite3.Connection) -> str:
        agent = backup.agent_of(connection, AgentId(agent_id))
        made = backup.queue(connection, agent, "somebody", sources=sources)
        job = jobs.get(connection, made.id)
        assert job is not None
        facts = ArchiveFacts(
            name=job.order["backup"]["archive"],
            archive_id=secrets.token_hex(32),
            files_count=run.files_count,
            original_bytes=run.original_bytes,
            added_bytes=run.added_bytes,
            guard=None if is_silent else run.facts,
        )
        report = JobReport(outcome=Outcome.DONE, archive=facts)
        jobs.end(connection, job.id, State.DONE, "", "", 0)
        backup.record_end(connection, job, State.DONE, report)
        found = table.by_archive(connection, agent_id, facts.name)
        assert found is not None
        return found.id

    return database.write(write)
