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
from saveos.protocol import AgentId, Kind, RestoreOrder
from saveos.repositories.access import lender_of
from saveos.snapshots import backup, restore, table

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.repositories.unlocks import Unlocks

NEEDS = {Kind.BACKUP: Permission.BACK_UP, Kind.RESTORE: Permission.RESTORE}
SEEN = frozenset({State.DONE, State.WARNED})
AGAIN = frozenset({State.FAILED, State.CANCELLED, State.WARNED})


def may_retry(principal: Principal, job: Job) -> bool:
    """Return whether this job can be asked for again by the principal."""
    return job.kind in NEEDS and job.state in AGAIN and principal.may(NEEDS[job.kind])


def owner_of(database: Database, principal: Principal, job_id: str) -> AgentId:
    """Return whose snapshot a host's restore brings back: with its key. Raises NotFound."""
    principal.require(Permission.READ)
    return _owner(_known(jobs.get(database.read, job_id, principal.tenant_id)))


def retry(database: Database, principal: Principal, job_id: str, unlocks: Unlocks | None = None) -> Job:
    """Ask for the same as a job that ended badly did, as a new job; as the one that waits when that was done already.

    A backup goes by what its policy says today, unless it was one of chosen paths. `unlocks`: has the key for a restore
    onto another host, where the snapshot's own is not online. Raises NotFound, IllegalTransition (it runs, waits or was
    done), Conflict (revoked host), OfflineAndSealed.
    """
    principal.require(Permission.READ)  # what else is needed depends on the job

    def write(connection: sqlite3.Connection) -> Job:
        job = _known(jobs.get(connection, job_id, principal.tenant_id))
        principal.require(NEEDS[job.kind])
        if job.state not in AGAIN:
            message = f"The job is {job.state.value}: only one that failed, was cancelled or warned can be done again."
            raise IllegalTransition(message)
        if job.kind is Kind.BACKUP:
            made = _back_up(connection, job, principal.label)
        else:
            made = _restore(connection, job, _order(job), principal.label, is_open=is_open)
        record(connection, tenant_id=job.tenant_id, actor=principal.label, action="job-retried", target=job.id)
        return made

    is_open = _is_open(database, principal, job_id, unlocks)
    return database.write(write)


def may_carry_out(principal: Principal, job: Job) -> bool:
    """Return whether this is a dry run that ended, which the principal can have done."""
    is_dry = bool(job.kind is Kind.RESTORE and job.order["restore"].get("dry_run"))
    return is_dry and job.state in SEEN and principal.may(Permission.RESTORE)


def carry_out(database: Database, principal: Principal, job_id: str, unlocks: Unlocks | None = None) -> Job:
    """Ask for what a dry run looked at, as a new job; as the one that waits when that was done already.

    `unlocks` and what it raises: as for `retry`.
    """
    principal.require(Permission.RESTORE)

    def write(connection: sqlite3.Connection) -> Job:
        job = jobs.get(connection, job_id, principal.tenant_id)
        if job is None or job.kind is not Kind.RESTORE:
            message = "There is no such dry run."
            raise NotFound(message)
        if not may_carry_out(principal, job):
            message = "Only a dry run that ended can be carried out."
            raise IllegalTransition(message)
        order = msgspec.structs.replace(_order(job), dry_run=False)
        return _restore(connection, job, order, principal.label, is_open=is_open)

    is_open = _is_open(database, principal, job_id, unlocks)
    return database.write(write)


def _known(job: Job | None) -> Job:
    if job is None or job.kind not in NEEDS:
        message = "There is no such job that a host does."
        raise NotFound(message)
    return job


def _order(job: Job) -> RestoreOrder:
    return msgspec.convert(job.order["restore"], RestoreOrder)


def _owner(job: Job) -> AgentId:
    host = AgentId(job.agent_id or "")
    return lender_of(job, host) or host


def _is_open(database: Database, principal: Principal, job_id: str, unlocks: Unlocks | None) -> bool:
    job = jobs.get(database.read, job_id, principal.tenant_id)
    return job is not None and unlocks is not None and unlocks.is_open(principal, _owner(job))


def _live_agent(connection: sqlite3.Connection, job: Job) -> Agent:
    agent = agents.get(connection, job.agent_id or "", job.tenant_id)
    if agent is None or agent.state is AgentState.REVOKED:
        message = "The job's host has been revoked: it takes no more jobs."
        raise Conflict(message)
    return agent


def _back_up(connection: sqlite3.Connection, job: Job, who: str) -> Job:
    agent = _live_agent(connection, job)
    if job.order.get("is_chosen"):
        return backup.queue(
            connection, agent, who, sources=job.order["backup"]["sources"], priority=backup.PERSON_PRIORITY
        )
    waiting = backup.waiting_of(connection, agent)
    return waiting or backup.queue(connection, agent, who, priority=backup.PERSON_PRIORITY)


def _restore(connection: sqlite3.Connection, job: Job, order: RestoreOrder, who: str, *, is_open: bool) -> Job:
    """Ask as the first time, of the same moment: names that `rename` gives are those of the first attempt."""
    snapshot = table.by_archive(connection, _owner(job), order.archive)
    if snapshot is None:
        message = "The snapshot of this restore is not there any more."
        raise NotFound(message)
    terms = restore.Terms(
        paths=order.paths,
        target=order.target,
        selected=order.selected,
        conflict=order.conflict,
        dry_run=order.dry_run,
        onto_agent_id=_live_agent(connection, job).id,
        expected_files_count=order.expected_files_count,
        expected_bytes=order.expected_bytes,
        asked_at=order.asked_at,
    )
    return restore.queue(connection, snapshot, who, terms, is_open=is_open)
