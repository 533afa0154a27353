"""All SQL that lists jobs page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos.database.connection import many, one
from saveos.jobs.table import JOB, to_job

if TYPE_CHECKING:
    import sqlite3

    from saveos.jobs.model import Job, JobChoice
    from saveos.protocol import TenantId

NAMED = "SELECT n.id FROM agents n WHERE n.tenant_id = :tenant_id AND instr(lower(n.hostname), lower(:search)) > 0"


def page(connection: sqlite3.Connection, tenant_id: TenantId, choice: JobChoice, offset: int, limit: int) -> list[Job]:
    """Return a tenant's jobs of a choice, newest first."""
    conditions, values = _conditions(tenant_id, choice)
    order = "ORDER BY j.requested_at DESC, j.id DESC"
    chosen = f"SELECT j.id FROM jobs j WHERE {conditions} {order} LIMIT :limit OFFSET :offset"
    statement = f"{JOB} WHERE j.id IN ({chosen}) {order}"
    return [to_job(row) for row in many(connection, statement, {**values, "limit": limit, "offset": offset})]


def count(connection: sqlite3.Connection, tenant_id: TenantId, choice: JobChoice) -> int:
    """Return how many jobs a choice has."""
    conditions, values = _conditions(tenant_id, choice)
    row = one(connection, f"SELECT count(*) AS count FROM jobs j WHERE {conditions}", values)
    return int(row["count"]) if row else 0


def newest_of_appliance(connection: sqlite3.Connection, tenant_id: TenantId, kind: str) -> Job | None:
    """Return the newest of the appliance's own jobs of a kind, those that belong to no agent."""
    row = one(
        connection,
        f"{JOB} WHERE j.agent_id IS NULL AND +j.tenant_id = ? AND j.kind = ? ORDER BY j.requested_at DESC LIMIT 1",
        (tenant_id, kind),
    )
    return to_job(row) if row else None


def _conditions(tenant_id: TenantId, choice: JobChoice) -> tuple[str, dict[str, Any]]:
    # The plus keeps SQLite from walking the whole tenant where the index by agent is the short way.
    is_narrow = bool(choice.agent_id or choice.search)
    conditions = ["+j.tenant_id = :tenant_id" if is_narrow else "j.tenant_id = :tenant_id"]
    values: dict[str, Any] = {"tenant_id": tenant_id}
    if choice.search:
        conditions.append(f"j.agent_id IN ({NAMED})")
        values["search"] = choice.search
    if choice.states:
        names = {f"state_{number}": state.value for number, state in enumerate(choice.states)}
        conditions.append(f"j.state IN ({', '.join(':' + name for name in names)})")
        values |= names
    if choice.kind:
        conditions.append("j.kind = :kind")
        values["kind"] = choice.kind
    if choice.agent_id:
        conditions.append("j.agent_id = :agent_id")
        values["agent_id"] = choice.agent_id
    return " AND ".join(conditions), values
