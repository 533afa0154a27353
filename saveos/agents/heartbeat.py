"""The hottest path: note that a host lives, and answer with its next job."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import OWNER_DAEMON, Job
from saveos.protocol import Assignment, BackupOrder, RestoreOrder, Wire

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import AgentIdentity
    from saveos.protocol import Heartbeat, JobId, Progress


class HostOrder(Wire, frozen=True, kw_only=True):
    """What a host job's `order_json` holds."""

    backup: BackupOrder | None = None
    restore: RestoreOrder | None = None


def beat(
    connection: sqlite3.Connection, agent: AgentIdentity, heartbeat: Heartbeat, address: str, lease_seconds: float
) -> Assignment | None:
    """Record a heartbeat and claim the host's next job.

    A daemon that says it runs nothing has lost what we think it runs (an answer that did not arrive, a kill -9):
    such jobs go back to the queue at once.
    """
    now = clock.now()
    skew = (heartbeat.local_time - now).total_seconds() if heartbeat.local_time else 0.0
    table.record_heartbeat(connection, agent, heartbeat, address, skew)
    if heartbeat.running_job is not None:
        return None
    for job in jobs.running_of(connection, agent.agent_id):
        if job.owner == OWNER_DAEMON:
            lifecycle.lost(connection, job, "The host lost this job (it was restarted or cut off).")
    return claim(connection, agent, lease_seconds)


def note_progress(
    connection: sqlite3.Connection, agent: AgentIdentity, job_id: JobId, said: Progress, lease_seconds: float
) -> bool:
    """Keep how far a host's job is; a host that works sends no heartbeats, so this is one too. True: stop."""
    table.touch(connection, agent.agent_id)
    return lifecycle.note_progress(connection, job_id, agent.agent_id, said, lease_seconds)


def claim(connection: sqlite3.Connection, agent: AgentIdentity, lease_seconds: float) -> Assignment | None:
    """Claim the host's next due job, if any."""
    job = jobs.claim_for_host(connection, agent.agent_id, clock.now() + timedelta(seconds=lease_seconds))
    return assignment_of(job) if job else None


def assignment_of(job: Job) -> Assignment:
    """Return a claimed host job as its host hears it."""
    order = msgspec.json.decode(job.order_json, type=HostOrder)
    return Assignment(job_id=job.id, kind=job.kind, attempt=job.attempts, backup=order.backup, restore=order.restore)
