"""Ask for a backup, and keep what a finished one left: the snapshot."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, Job, NewJob, RunsOn, State
from saveos.offsite import orders as offsite_orders
from saveos.policies import due
from saveos.policies import table as policies
from saveos.protocol import AgentId, BackupOrder, JobId, JobReport, Kind, SnapshotId
from saveos.repositories import keys, quotas
from saveos.snapshots import guarding, overdue, table, table_listings, witness
from saveos.snapshots.model import Snapshot, SnapshotKind
from saveos.snapshots.table_listings import Want

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from saveos.agents.model import AgentIdentity
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import EscrowRequest

FIRST_PRIORITY = 10
PERSON_PRIORITY = 5


def request(database: Database, principal: Principal, agent_id: str, sources: Sequence[str] = ()) -> Job:
    """Ask an agent to back up now: its policy's sources, or these. One that already waits is returned instead.

    Raises NotFound, Conflict (revoked agent), InvalidRequest.
    """
    principal.require(Permission.BACK_UP)
    require_clean(sources)

    def write(connection: sqlite3.Connection) -> Job:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            message = "There is no such agent."
            raise NotFound(message)
        if not sources and (waiting := waiting_of(connection, agent)) is not None:
            return waiting
        record(connection, tenant_id=agent.tenant_id, actor=principal.label, action="backup-requested", target=agent.id)
        return queue(connection, agent, principal.label, sources=sources, priority=PERSON_PRIORITY)

    return database.write(write)


def request_many(database: Database, principal: Principal, agent_ids: Sequence[str]) -> int:
    """Ask several agents to back up now; return how many were asked. Those revoked meanwhile are passed over."""
    count = 0
    for agent_id in agent_ids:
        with contextlib.suppress(Conflict, NotFound):
            request(database, principal, agent_id)
            count += 1
    return count


def assign_policy(database: Database, principal: Principal, agent_ids: Sequence[str], policy_id: str) -> int:
    """Put agents under a policy, from their next backup on; return how many. Raises NotFound for an unknown policy."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> int:
        policy = policies.get(connection, policy_id, principal.tenant_id)
        if policy is None:
            message = "There is no such policy."
            raise NotFound(message)
        count = 0
        for agent_id in agent_ids:
            agent = agents.get(connection, agent_id, principal.tenant_id)
            if agent is None or agent.state is AgentState.REVOKED:
                continue
            zone = policy.time_zone or agent.time_zone
            agents.set_policy(connection, agent.id, policy.id, due.next_due(policy.schedule, zone, clock.now()))
            record(
                connection,
                tenant_id=agent.tenant_id,
                actor=principal.label,
                action="policy-assigned",
                target=agent.id,
                policy=policy.id,
            )
            count += 1
        return count

    return database.write(write)


def waiting_of(connection: sqlite3.Connection, agent: Agent) -> Job | None:
    """Return the queued or running backup of all that the agent's policy names; one of some chosen paths is another."""
    wanted = list(_sources(connection, agent))
    waiting = jobs.waiting_of(connection, agent.id, Kind.BACKUP)
    return next((job for job in waiting if job.order["backup"]["sources"] == wanted), None)


def queue(
    connection: sqlite3.Connection,
    agent: Agent,
    requested_by: str,
    *,
    sources: Sequence[str] = (),
    priority: int = 0,
    due_key: str | None = None,
) -> Job:
    """Queue a backup inside the caller's transaction. Raises Conflict for a revoked agent."""
    if agent.state is AgentState.REVOKED:
        message = f"{agent.hostname} has been revoked: it can no longer back up."
        raise Conflict(message)
    job_id = JobId(new_id("job"))
    order = _order(connection, agent, job_id, tuple(sources))
    return lifecycle.request(
        connection,
        NewJob(
            id=job_id,
            tenant_id=agent.tenant_id,
            agent_id=agent.id,
            policy_id=agent.policy_id,
            kind=Kind.BACKUP,
            runs_on=RunsOn.HOST,
            order={"backup": msgspec.to_builtins(order), "is_chosen": bool(sources)},
            requested_by=requested_by,
            priority=priority,
            due_key=due_key,
        ),
    )


def begin_protection(
    connection: sqlite3.Connection, settings: Settings, agent: AgentIdentity, escrow: EscrowRequest
) -> None:
    """Keep the sealed key; if it is the first, call the agent ready and queue its first backup."""
    if not keys.keep(connection, settings, agent, escrow):
        return
    agents.set_state(connection, agent.agent_id, AgentState.READY)
    found = agent_of(connection, agent.agent_id)
    queue(connection, found, "system:enrolment", priority=FIRST_PRIORITY)


def queue_due(connection: sqlite3.Connection) -> int:
    """Queue a backup for each agent whose policy is due, and set when it is due next; return how many."""
    now = clock.now()
    count = 0
    for agent in agents.due(connection):
        policy = policies.get(connection, agent.policy_id)
        if policy is None:
            continue
        zone = policy.time_zone or agent.time_zone
        if agent.next_backup_at is not None:
            agents.set_due(connection, agent.id, now)
        if agent.next_backup_at is not None and waiting_of(connection, agent) is None:
            key = due.due_key(policy.id, agent.id, policy.schedule, zone, agent.next_backup_at)
            count += _queue_once(connection, agent, key)
        agents.set_next_backup(connection, agent.id, due.next_due(policy.schedule, zone, now))
    return count


def after_backup(settings: Settings) -> Callable[[sqlite3.Connection, Job, State, JobReport], None]:
    """Return what the end of a backup does in its transaction: what the host wrote is judged, the snapshot recorded."""

    def end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
        if job.agent_id is not None:
            witness.judge_in(connection, settings, job.agent_id)
        archive = report.archive if state in GOOD else None
        if archive is not None and not witness.is_true(connection, job, archive.archive_id):
            return
        if record_end(connection, job, state, report):
            witness.settle(connection, settings, job)
        if state is State.FAILED and report.error_code == QuotaExceeded.code:
            quotas.explain(connection, settings, job)

    return end


def record_end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> bool:
    """Keep the snapshot that a finished backup left; return whether there is one."""
    facts = report.archive
    is_ordered = facts is not None and facts.name == job.order.get("backup", {}).get("archive")
    if state not in GOOD or facts is None or job.agent_id is None or not is_ordered:
        return False
    ended_at: datetime = clock.now()
    began_at = ended_at - timedelta(seconds=min(facts.duration_seconds, 86400 * 365))
    if job.started_at is not None:  # a host that claims to have begun long ago could drive out what was kept of then
        began_at = max(began_at, job.started_at)
    is_first = table.newest(connection, job.agent_id) is None
    snapshot = table.insert(
        connection,
        Snapshot(
            id=SnapshotId(new_id("snp")),
            tenant_id=job.tenant_id,
            agent_id=job.agent_id,
            job_id=job.id,
            archive=facts.name,
            archive_id=facts.archive_id,
            kind=SnapshotKind.FULL if is_first else SnapshotKind.INCREMENTAL,
            started_at=began_at,
            ended_at=ended_at,
            duration_seconds=facts.duration_seconds,
            files_count=facts.files_count,
            original_bytes=facts.original_bytes,
            compressed_bytes=facts.compressed_bytes,
            added_bytes=facts.added_bytes,
            new_files_count=facts.new_files_count,
            changed_files_count=facts.changed_files_count,
            sources=facts.sources,
            warnings_count=report.warnings_count,
        ),
    )
    guarding.judge(connection, job, snapshot, facts.guard)
    overdue.made(connection, job)
    table_listings.want(connection, job.agent_id, Want.NEWEST)
    offsite_orders.ask(connection, job.tenant_id, job.agent_id)
    return True


def of_agent(
    database: Database, principal: Principal, agent_id: str, *, before: str = "", limit: int = 100
) -> list[Snapshot]:
    """Return an agent's snapshots, newest first. Raises NotFound."""
    principal.require(Permission.READ)
    if agents.get(database.read, agent_id, principal.tenant_id) is None:
        message = "There is no such agent."
        raise NotFound(message)
    return table.of_agent(database.read, agent_id, before=before, limit=limit)


def require_clean(paths: Sequence[str], field: str = "paths") -> None:
    """Raise InvalidRequest for a path with a NUL byte or a `..` part. `field`: what the request calls them."""
    for path in paths:
        if "\0" in path or ".." in re.split(r"[/\\]", path):
            message = "A path holds a NUL byte or a '..' part."
            raise InvalidRequest(message, field=field)


def _queue_once(connection: sqlite3.Connection, agent: Agent, key: str) -> int:
    try:
        queue(connection, agent, "system:schedule", due_key=key)
    except Conflict:
        return 0  # the hour that comes twice in autumn: done already
    return 1


def _order(connection: sqlite3.Connection, agent: Agent, job_id: JobId, sources: tuple[str, ...]) -> BackupOrder:
    policy = policies.get(connection, agent.policy_id)
    last = table.newest(connection, agent.id)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", agent.hostname)[:64] or "host"
    return BackupOrder(
        archive=f"{name}-{clock.now():%Y-%m-%dT%H%M%S}-{job_id}",
        sources=sources or (policy.sources if policy else ()),
        excludes=policy.excludes if policy else (),
        compression=policy.compression if policy else "lz4",
        expected_files_count=last.files_count if last and not sources else 0,
        expected_bytes=last.original_bytes if last and not sources else 0,
        canaries=policy.guard_canaries if policy else False,
    )


def _sources(connection: sqlite3.Connection, agent: Agent) -> tuple[str, ...]:
    policy = policies.get(connection, agent.policy_id)
    return policy.sources if policy else ()


def agent_of(connection: sqlite3.Connection, agent_id: AgentId) -> Agent:
    """Return an agent for whom a verb acts. Raises NotFound."""
    agent = agents.get(connection, agent_id)
    if agent is None:
        message = "There is no such agent."
        raise NotFound(message)
    return agent
