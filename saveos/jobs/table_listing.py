"""All SQL that lists jobs page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos.database.connection import many, one
from saveos.jobs.table import JOB, to_job

if TYPE_CHECKING:
    import sqlite3

    from saveos.jobs.model import Job, JobChoice
    from saveos.protocol import TenantId


def page(connection: sqlite3.Connection, tenant_id: TenantId, choice: JobChoice, offset: int, limit: int) -> list[Job]:
    """Return a tenant's jobs of a choice, newest first."""
    conditions, values = _conditions(tenant_id, choice)
    statement = f"{JOB} WHERE {conditions} ORDER BY j.requested_at DESC, j.id DESC LIMIT :limit OFFSET :offset"
    return [to_job(row) for row in many(connection, statement, {**values, "limit": limit, "offset": offset})]


def count(connection: sqlite3.Connection, tenant_id: TenantId, choice: JobChoice) -> int:
    """Return how many jobs a choice has."""
    conditions, values = _conditions(tenant_id, choice)
    join = " LEFT JOIN agents a ON a.id = j.agent_id" if choice.search else ""
    row = one(connection, f"SELECT count(*) AS count FROM jobs j{join} WHERE {conditions}", values)
    return int(row["count"]) if row else 0


def _conditions(tenant_id: TenantId, choice: JobChoice) -> tuple[str, dict[str, Any]]:
    conditions = ["j.tenant_id = :tenant_id"]
    values: dict[str, Any] = {"tenant_id": tenant_id}
    if choice.search:
        conditions.append("instr(lower(a.hostname), lower(:search)) > 0")
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
