"""All SQL on jobs, their progress and their log. Each claim is one conditional UPDATE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.jobs.model import OWNER_DAEMON, Job, JobLogLine, JobProgress, NewJob, State
from saveos.protocol import JobId

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from saveos.protocol import AgentId, LogLine, PolicyId, TenantId

LOG_LINES_LIMIT = 20_000  # kept per job: a hostile host cannot fill the disk with its log
JOB = (
    "SELECT j.id, j.tenant_id, j.agent_id, j.policy_id, j.kind, j.runs_on, j.state, j.order_json, j.attempts,"
    " j.attempts_limit, j.not_before, j.lease_until, j.owner, j.requested_by, j.requested_at, j.started_at,"
    " j.ended_at, j.cancel_requested_at, j.error_code, j.message, j.warnings_count, a.hostname,"
    " j.error_facts_json, CASE WHEN j.state = 'queued' AND EXISTS (SELECT 1 FROM facts WHERE name = 'moved')"
    " THEN 'moved' WHEN j.state = 'queued' AND j.kind = 'backup' AND EXISTS"
    " (SELECT 1 FROM facts WHERE name = 'disk-full') THEN 'disk-full' WHEN j.state = 'queued' AND"
    " (SELECT r.away_at FROM repositories r WHERE r.agent_id = j.agent_id) IS NOT NULL"
    " THEN 'repository-away' ELSE '' END AS held_by"
    " FROM jobs j LEFT JOIN agents a ON a.id = j.agent_id"
)
# An appliance that has moved gives nothing out.
_HERE = "NOT EXISTS (SELECT 1 FROM facts WHERE name = 'moved')"
# What writes waits while the appliance itself works on the repository; backups, while its disk is full; all, while a
# repository is only in the offsite copy.
_MAY = (
    f"{_HERE} AND "
    "NOT (kind = 'backup' AND EXISTS (SELECT 1 FROM facts WHERE name = 'disk-full')) AND "
    "NOT (kind IN ('backup', 'prune') AND EXISTS"
    " (SELECT 1 FROM repositories r WHERE r.agent_id = jobs.agent_id AND r.upkeep_job <> ''))"
    " AND NOT (kind IN ('backup', 'prune', 'restore', 'drill', 'verify') AND EXISTS (SELECT 1 FROM repositories r WHERE"
    " r.agent_id = coalesce(json_extract(order_json, '$.restore.lender.agent_id'), jobs.agent_id)"
    " AND r.away_at IS NOT NULL))"
)
# What works on offsite copies: one at a time for a host, and two copies in all, so that others have hands left.
_TURN = (
    f"{_HERE} AND "
    "NOT (kind IN ('offsite', 'offsite-verify', 'rehydrate') AND EXISTS (SELECT 1 FROM jobs o WHERE o.state = 'running'"
    " AND o.agent_id = jobs.agent_id AND o.kind IN ('offsite', 'offsite-verify', 'rehydrate')))"
    " AND NOT (kind IN ('offsite', 'offsite-verify') AND (SELECT count(*) FROM jobs o WHERE o.state = 'running'"
    " AND o.kind IN ('offsite', 'offsite-verify')) >= 2)"
)


def to_job(row: sqlite3.Row) -> Job:
    """Return the row as a Job."""
    return msgspec.convert(dict(row), Job)


def insert(connection: sqlite3.Connection, job: NewJob) -> bool:
    """Add a queued job; return False when its `due_key` exists already."""
    now = clock.to_text(clock.now())
    return (
        connection.execute(
            "INSERT INTO jobs (id, tenant_id, agent_id, policy_id, kind, runs_on, state, priority, order_json,"
            " attempts_limit, not_before, due_key, requested_by, requested_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (due_key) DO NOTHING",
            (
                job.id,
                job.tenant_id,
                job.agent_id,
                job.policy_id,
                job.kind.value,
                job.runs_on.value,
                job.priority,
                msgspec.json.encode(job.order).decode(),
                job.attempts_limit,
                clock.to_text(job.not_before) if job.not_before else now,
                job.due_key,
                job.requested_by,
                now,
            ),
        ).rowcount
        > 0
    )


def get(connection: sqlite3.Connection, job_id: str, tenant_id: TenantId | None = None) -> Job | None:
    """Return a job, of that tenant if one is given."""
    row = one(connection, f"{JOB} WHERE j.id = ? AND (? IS NULL OR j.tenant_id = ?)", (job_id, tenant_id, tenant_id))
    return to_job(row) if row else None


def waiting_of(connection: sqlite3.Connection, agent_id: AgentId, kind: str) -> list[Job]:
    """Return an agent's queued or running jobs of this kind that nobody is stopping."""
    statement = (
        f"{JOB} WHERE j.agent_id = ? AND j.kind = ? AND j.state IN ('queued', 'running')"
        " AND j.cancel_requested_at IS NULL ORDER BY j.state DESC, j.id"
    )
    return [to_job(row) for row in many(connection, statement, (agent_id, kind))]


def is_ordered(connection: sqlite3.Connection, agent_id: AgentId, kind: str, text: str) -> bool:
    """Return whether an agent's queued or running job of this kind names the text in its order."""
    statement = (
        "SELECT 1 FROM jobs WHERE agent_id = ? AND kind = ? AND state IN ('queued', 'running')"
        " AND instr(order_json, ?) > 0"
    )
    return one(connection, statement, (agent_id, kind, text)) is not None


def queued_of_kind(connection: sqlite3.Connection, kind: str) -> list[Job]:
    """Return the jobs of this kind that wait, of every tenant."""
    return [to_job(row) for row in many(connection, f"{JOB} WHERE j.kind = ? AND j.state = 'queued'", (kind,))]


def set_order(connection: sqlite3.Connection, job_id: JobId, order: dict[str, Any], not_before: datetime) -> None:
    """Say what a waiting job is to do, and from when on."""
    connection.execute(
        "UPDATE jobs SET order_json = ?, not_before = ? WHERE id = ? AND state = 'queued'",
        (msgspec.json.encode(order).decode(), clock.to_text(not_before), job_id),
    )


def waiting_on_appliance(connection: sqlite3.Connection, kind: str) -> Job | None:
    """Return the appliance's own job of this kind that is queued or running, if any."""
    row = one(
        connection,
        f"{JOB} WHERE j.runs_on = 'appliance' AND j.kind = ? AND j.state IN ('queued', 'running') ORDER BY j.id",
        (kind,),
    )
    return to_job(row) if row else None


def find(connection: sqlite3.Connection, tenant_id: TenantId, filters: dict[str, Any], limit: int) -> list[Job]:
    """Return a tenant's jobs, newest first. Filters: agent_id, state, kind, before (a job id)."""
    conditions = ["j.tenant_id = :tenant_id"]
    conditions += [f"j.{name} = :{name}" for name in ("agent_id", "state", "kind") if filters.get(name)]
    if filters.get("before"):
        conditions.append("j.id < :before")
    statement = f"{JOB} WHERE {' AND '.join(conditions)} ORDER BY j.id DESC LIMIT :limit"
    return [to_job(row) for row in many(connection, statement, {**filters, "tenant_id": tenant_id, "limit": limit})]


def last_ended_backups(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, Job]:
    """Return the last backup of each of a tenant's agents that succeeded or failed, by agent id."""
    rows = many(
        connection,
        f"{JOB} WHERE j.id IN (SELECT (SELECT e.id FROM jobs e WHERE e.agent_id = b.id AND e.kind = 'backup'"
        " AND e.state IN ('done', 'warned', 'failed') ORDER BY e.requested_at DESC, e.id DESC LIMIT 1)"
        " FROM agents b WHERE b.tenant_id = ?)",
        (tenant_id,),
    )
    return {row["agent_id"]: to_job(row) for row in rows}


def agents_with_work(connection: sqlite3.Connection) -> set[str]:
    """Return the agents that could claim a job now."""
    rows = many(
        connection,
        "SELECT DISTINCT agent_id FROM jobs WHERE state = 'queued' AND runs_on = 'host' AND not_before <= ?"
        f" AND {_MAY}",
        (clock.to_text(clock.now()),),
    )
    return {row["agent_id"] for row in rows}


def claim_for_host(connection: sqlite3.Connection, agent_id: AgentId, lease_until: datetime) -> Job | None:
    """Give an agent's next due job to its daemon."""
    row = one(
        connection,
        "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_until = ?1, owner = ?2,"
        " started_at = coalesce(started_at, ?3) WHERE id = (SELECT id FROM jobs WHERE agent_id = ?4"
        f" AND state = 'queued' AND runs_on = 'host' AND not_before <= ?3 AND {_MAY}"
        " ORDER BY priority DESC, not_before, id LIMIT 1) RETURNING id",
        (clock.to_text(lease_until), OWNER_DAEMON, clock.to_text(clock.now()), agent_id),
    )
    return get(connection, row["id"]) if row else None


def claim(connection: sqlite3.Connection, job_id: JobId, owner: str, lease_until: datetime) -> Job | None:
    """Claim exactly this job if it is queued and due."""
    now = clock.to_text(clock.now())
    row = one(
        connection,
        "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_until = ?, owner = ?,"
        " started_at = coalesce(started_at, ?) WHERE id = ? AND state = 'queued' AND not_before <= ?"
        f" AND {_TURN} RETURNING id",
        (clock.to_text(lease_until), owner, now, job_id, now),
    )
    return get(connection, row["id"]) if row else None


def renew_lease(connection: sqlite3.Connection, job_id: JobId, lease_until: datetime) -> None:
    """Somebody works on it."""
    connection.execute(
        "UPDATE jobs SET lease_until = ? WHERE id = ? AND state = 'running'", (clock.to_text(lease_until), job_id)
    )


def end(
    connection: sqlite3.Connection, job_id: JobId, state: State, error_code: str, message: str, warnings_count: int
) -> None:
    """Write how it ended."""
    connection.execute(
        "UPDATE jobs SET state = ?, error_code = ?, message = ?, warnings_count = ?, ended_at = ?, lease_until = NULL"
        " WHERE id = ?",
        (state.value, error_code, message, warnings_count, clock.to_text(clock.now()), job_id),
    )


def requeue(connection: sqlite3.Connection, job_id: JobId, not_before: datetime, message: str) -> None:
    """Let it be claimed again, not before a moment."""
    connection.execute(
        "UPDATE jobs SET state = 'queued', lease_until = NULL, owner = '', not_before = ?, message = ? WHERE id = ?",
        (clock.to_text(not_before), message, job_id),
    )


def put_back(connection: sqlite3.Connection, job_id: JobId, not_before: datetime, message: str) -> None:
    """Let it be claimed again, as if it had not been tried: it was not its fault."""
    requeue(connection, job_id, not_before, message)
    connection.execute("UPDATE jobs SET attempts = max(0, attempts - 1) WHERE id = ?", (job_id,))


def is_disk_full(connection: sqlite3.Connection) -> bool:
    """Return whether backups wait for room on the appliance's disk."""
    return one(connection, "SELECT 1 FROM facts WHERE name = 'disk-full'") is not None


def explain(connection: sqlite3.Connection, job_id: JobId, message: str, facts: dict[str, Any]) -> None:
    """Say why a job failed, in English and in numbers: other languages make their own sentence of these."""
    connection.execute(
        "UPDATE jobs SET message = ?, error_facts_json = ? WHERE id = ?",
        (message, msgspec.json.encode(facts).decode(), job_id),
    )


def take_up(connection: sqlite3.Connection, job_id: JobId) -> Job | None:
    """Let a job that was queued again go on in the hands of the daemon that never left it."""
    connection.execute(
        "UPDATE jobs SET state = 'running', owner = ?, message = '' WHERE id = ? AND state = 'queued'",
        (OWNER_DAEMON, job_id),
    )
    return get(connection, job_id)


def request_cancel(connection: sqlite3.Connection, job_id: JobId) -> None:
    """Note that a person wants it to stop."""
    connection.execute(
        "UPDATE jobs SET cancel_requested_at = coalesce(cancel_requested_at, ?) WHERE id = ?",
        (clock.to_text(clock.now()), job_id),
    )


def expired(connection: sqlite3.Connection) -> list[Job]:
    """Return the running jobs of which nobody has spoken in time."""
    statement = f"{JOB} WHERE j.state = 'running' AND j.lease_until < ?"
    return [to_job(row) for row in many(connection, statement, (clock.to_text(clock.now()),))]


def running_of(connection: sqlite3.Connection, agent_id: AgentId) -> list[Job]:
    """Return what an agent is believed to run."""
    statement = f"{JOB} WHERE j.state = 'running' AND j.agent_id = ?"
    return [to_job(row) for row in many(connection, statement, (agent_id,))]


def running_on_appliance(connection: sqlite3.Connection) -> list[Job]:
    """Return the appliance's own jobs that are believed to run."""
    statement = f"{JOB} WHERE j.state = 'running' AND j.runs_on = 'appliance'"
    return [to_job(row) for row in many(connection, statement)]


def renew_leases_of_hosts(connection: sqlite3.Connection, lease_until: datetime) -> None:
    """Let every job that a host runs go on until that moment at least."""
    connection.execute(
        "UPDATE jobs SET lease_until = max(lease_until, ?) WHERE state = 'running' AND runs_on = 'host'",
        (clock.to_text(lease_until),),
    )


def running(connection: sqlite3.Connection, tenant_id: TenantId) -> list[Job]:
    """Return a tenant's running jobs."""
    statement = f"{JOB} WHERE j.state = 'running' AND j.tenant_id = ?"
    return [to_job(row) for row in many(connection, statement, (tenant_id,))]


def due_on_appliance(connection: sqlite3.Connection) -> list[JobId]:
    """Return the ids of appliance jobs to be done now, the most urgent first."""
    rows = many(
        connection,
        "SELECT id FROM jobs WHERE state = 'queued' AND runs_on = 'appliance' AND not_before <= ?"
        f" AND {_TURN} ORDER BY priority DESC, not_before, id",
        (clock.to_text(clock.now()),),
    )
    return [JobId(row["id"]) for row in rows]


def progress(connection: sqlite3.Connection, job_id: str) -> JobProgress | None:
    """Return the last word of a job."""
    row = one(connection, "SELECT * FROM job_progress WHERE job_id = ?", (job_id,))
    return msgspec.convert(dict(row), JobProgress) if row else None


def set_progress(connection: sqlite3.Connection, progress: JobProgress) -> None:
    """Replace the last word of a job."""
    values = msgspec.to_builtins(progress)
    values["updated_at"] = clock.to_text(progress.updated_at)
    names = list(values)
    updates = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    connection.execute(
        f"INSERT INTO job_progress ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
        f" ON CONFLICT (job_id) DO UPDATE SET {updates}",
        values,
    )


def add_log(connection: sqlite3.Connection, job_id: JobId, lines: Iterable[LogLine]) -> None:
    """Append lines, up to LOG_LINES_LIMIT for the job."""
    lines = list(lines)
    if not lines:
        return
    count = one(connection, "SELECT count(*) AS count FROM job_log WHERE job_id = ?", (job_id,))
    free = LOG_LINES_LIMIT - (count["count"] if count else 0)
    now = clock.to_text(clock.now())
    connection.executemany(
        "INSERT INTO job_log (job_id, at, level, line) VALUES (?, ?, ?, ?)",
        [(job_id, now, line.level, line.line) for line in lines[: max(0, free)]],
    )


def log(connection: sqlite3.Connection, job_id: str, after: int, limit: int) -> list[JobLogLine]:
    """Return kept lines with an id above `after`, oldest first."""
    rows = many(
        connection,
        "SELECT id, at, level, line FROM job_log WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?",
        (job_id, after, limit),
    )
    return [msgspec.convert(dict(row), JobLogLine) for row in rows]


def counts(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """Return (tenant_id, kind, state, count) over all jobs."""
    return many(connection, "SELECT tenant_id, kind, state, count(*) AS count FROM jobs GROUP BY 1, 2, 3")


def forget_policy(connection: sqlite3.Connection, policy_id: PolicyId) -> None:
    """Let jobs of a policy that goes away name none."""
    connection.execute("UPDATE jobs SET policy_id = NULL WHERE policy_id = ?", (policy_id,))
