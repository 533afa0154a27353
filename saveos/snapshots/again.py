"""Do a job again that failed, was cancelled, or left something out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import table as agents
from saveos.agents.model import AgentState
from saveos.audit.record import record
from saveos.errors import Conflict, IllegalTransition, NotFound
from saveos.identity.principals import Permission
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, State
from saveos.protocol import Kind, RestoreOrder
from saveos.snapshots import backup, restore

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

NEEDS = {Kind.BACKUP: Permission.BACK_UP, Kind.RESTORE: Permission.RESTORE}
SEEN = frozenset({State.DONE, State.WARNED})
AGAIN = frozenset({State.FAILED, State.CANCELLED, State.WARNED})


def may_retry(principal: Principal, job: Job) -> bool:
    """Return whether this job can be asked for again by the principal."""
    return job.kind in NEEDS and job.state in AGAIN and principal.may(NEEDS[job.kind])


def retry(database: Database, principal: Principal, job_id: str) -> Job:
    """Ask for the same as a job that ended badly did, as a new job.

    A backup goes by what its policy says today, unless it was one of chosen paths. Raises NotFound,
    IllegalTransition (it runs, waits or was done), Conflict (revoked host).
    """
    principal.require(Permission.READ)  # what else is needed depends on the job

    def write(connection: sqlite3.Connection) -> Job:
        job = jobs.get(connection, job_id, principal.tenant_id)
        if job is None or job.kind not in NEEDS:
            message = "There is no such job that a host does."
            raise NotFound(message)
        principal.require(NEEDS[job.kind])
        if job.state not in AGAIN:
            message = f"The job is {job.state.value}: only one that failed, was cancelled or warned can be done again."
            raise IllegalTransition(message)
        agent = _live_agent(connection, job)
        made = (_back_up if job.kind is Kind.BACKUP else _restore)(connection, agent, job, principal.label)
        record(connection, tenant_id=job.tenant_id, actor=principal.label, action="job-retried", target=job.id)
        return made

    return database.write(write)


def may_carry_out(principal: Principal, job: Job) -> bool:
    """Return whether this is a dry run that ended, which the principal can have done."""
    is_dry = bool(job.kind is Kind.RESTORE and job.order["restore"].get("dry_run"))
    return is_dry and job.state in SEEN and principal.may(Permission.RESTORE)


def carry_out(database: Database, principal: Principal, job_id: str) -> Job:
    """Ask for what a dry run looked at, as a new job. Raises NotFound, IllegalTransition, Conflict (revoked host)."""
    principal.require(Permission.RESTORE)

    def write(connection: sqlite3.Connection) -> Job:
        job = jobs.get(connection, job_id, principal.tenant_id)
        if job is None or job.kind is not Kind.RESTORE:
            message = "There is no such dry run."
            raise NotFound(message)
        if not may_carry_out(principal, job):
            message = "Only a dry run that ended can be carried out."
            raise IllegalTransition(message)
        agent = _live_agent(connection, job)
        order = msgspec.structs.replace(msgspec.convert(job.order["restore"], RestoreOrder), dry_run=False)
        made = restore.queue_order(connection, agent, order, principal.label)
        record(
            connection,
            tenant_id=job.tenant_id,
            actor=principal.label,
            action="restore-requested",
            target=job.id,
            to=order.target or "original place",
        )
        return made

    return database.write(write)


def _live_agent(connection: sqlite3.Connection, job: Job) -> Agent:
    agent = agents.get(connection, job.agent_id or "", job.tenant_id)
    if agent is None or agent.state is AgentState.REVOKED:
        message = "The job's host has been revoked: it takes no more jobs."
        raise Conflict(message)
    return agent


def _back_up(connection: sqlite3.Connection, agent: Agent, job: Job, who: str) -> Job:
    if job.order.get("is_chosen"):
        return backup.queue(
            connection, agent, who, sources=job.order["backup"]["sources"], priority=backup.PERSON_PRIORITY
        )
    waiting = backup.waiting_of(connection, agent)
    return waiting or backup.queue(connection, agent, who, priority=backup.PERSON_PRIORITY)


def _restore(connection: sqlite3.Connection, agent: Agent, job: Job, who: str) -> Job:
    return restore.queue_order(connection, agent, msgspec.convert(job.order["restore"], RestoreOrder), who)
