"""The hottest path: note that a host lives, and answer with its next job and what people ask of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import addresses, questions, table
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import OWNER_DAEMON, Job
from saveos.protocol import (
    Assignment,
    BackupOrder,
    DrillOrder,
    JobReport,
    Kind,
    Outcome,
    ProgressAnswer,
    PruneOrder,
    Question,
    RestoreOrder,
    UpdateOrder,
    VerifyOrder,
    Wire,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from saveos.agents.model import AgentIdentity
    from saveos.jobs.lifecycle import OnEnd
    from saveos.protocol import Heartbeat, JobId, Progress


UPDATE_LEASE_SECONDS = 900.0
NEVER_BUILT = JobReport(
    outcome=Outcome.FAILED, error_code="build-failed", message="The executable was not built in time."
)


class HostOrder(Wire, frozen=True, kw_only=True):
    """What a host job's `order_json` holds."""

    backup: BackupOrder | None = None
    restore: RestoreOrder | None = None
    update: UpdateOrder | None = None
    prune: PruneOrder | None = None
    drill: DrillOrder | None = None
    verify: VerifyOrder | None = None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a host is to do and to answer now."""

    assignment: Assignment | None = None
    questions: tuple[Question, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return self.assignment is not None or bool(self.questions)


def beat(
    connection: sqlite3.Connection,
    agent: AgentIdentity,
    heartbeat: Heartbeat,
    address: str,
    lease_seconds: float,
    on_end: Mapping[Kind, OnEnd],
) -> Wanted:
    """Record a heartbeat, claim the host's next job and hand its questions out.

    A daemon that says it runs nothing has lost what we think it runs (an answer that did not arrive, a kill -9):
    such jobs go back to the queue at once. One that works for a later appliance than this one gets nothing.
    """
    now = clock.now()
    skew = (heartbeat.local_time - now).total_seconds() if heartbeat.local_time else 0.0
    serial = addresses.sane(heartbeat.addresses_serial)
    heartbeat = msgspec.structs.replace(heartbeat, addresses_serial=serial)
    table.record_heartbeat(connection, agent, heartbeat, address, skew)
    if addresses.is_ahead(connection, serial):
        return Wanted()
    if heartbeat.running_job is not None:
        return Wanted(questions=questions.take(connection, agent))
    for job in jobs.running_of(connection, agent.agent_id):
        if job.owner == OWNER_DAEMON:
            lifecycle.lost(connection, job, "The host lost this job (it was restarted or cut off).", on_end)
    return claim(connection, agent, lease_seconds, on_end)


def note_progress(
    connection: sqlite3.Connection, agent: AgentIdentity, job_id: JobId, said: Progress, lease_seconds: float
) -> ProgressAnswer:
    """Keep how far a host's job is; a host that works sends no heartbeats, so this is one too.

    Only a daemon hears questions: a command ends with its job, and its daemon listens beside it.
    """
    table.touch(connection, agent.agent_id)
    job = jobs.get(connection, job_id)
    lease_seconds = lease_of(job, lease_seconds) if job else lease_seconds
    cancel = lifecycle.note_progress(connection, job_id, agent.agent_id, said, lease_seconds)
    is_daemon = job is not None and job.owner == OWNER_DAEMON
    return ProgressAnswer(cancel=cancel, questions=questions.take(connection, agent) if is_daemon else ())


def claim(
    connection: sqlite3.Connection, agent: AgentIdentity, lease_seconds: float, on_end: Mapping[Kind, OnEnd]
) -> Wanted:
    """Claim the host's next due job, if any, and hand its questions out."""
    job = _next_job(connection, agent, lease_seconds, on_end)
    assignment = assignment_of(job, table.generation(connection, agent.agent_id)) if job else None
    return Wanted(assignment=assignment, questions=questions.take(connection, agent))


def _next_job(
    connection: sqlite3.Connection, agent: AgentIdentity, lease_seconds: float, on_end: Mapping[Kind, OnEnd]
) -> Job | None:
    """Claim a job that the host can do. An update that waited in vain for its executable ends here instead."""
    while job := jobs.claim_for_host(connection, agent.agent_id, clock.now() + timedelta(seconds=lease_seconds)):
        if job.kind is not Kind.UPDATE:
            return job
        if job.order.get("update") is not None:
            jobs.renew_lease(connection, job.id, clock.now() + timedelta(seconds=lease_of(job, lease_seconds)))
            return job
        lifecycle.finish(connection, job.id, None, NEVER_BUILT, on_end)
    return None


def assignment_of(job: Job, generation: int) -> Assignment:
    """Return a claimed host job as its host hears it. `generation`: of its repository."""
    order = msgspec.json.decode(job.order_json, type=HostOrder)
    is_chosen = order.restore is not None and has_choices(order.restore)
    return Assignment(
        job_id=job.id,
        kind=job.kind,
        attempt=job.attempts,
        backup=order.backup,
        restore=None if is_chosen else order.restore,
        chosen_restore=order.restore if is_chosen else None,
        update=order.update,
        prune=order.prune,
        generation=generation,
        drill=order.drill,
        verify=order.verify,
    )


def lease_of(job: Job, lease_seconds: float) -> float:
    """Return how long a job may be silent: an update starts the agent anew, and perhaps the former one after that."""
    return max(lease_seconds, UPDATE_LEASE_SECONDS) if job.kind is Kind.UPDATE else lease_seconds


def has_choices(order: RestoreOrder) -> bool:
    """Return whether an agent that knows only archive, paths and target would do something else."""
    plain = RestoreOrder(archive=order.archive)
    names = ("selected", "conflict", "dry_run", "lender")
    return any(getattr(order, name) != getattr(plain, name) for name in names)
