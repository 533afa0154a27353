"""All SQL on limits of storage, and on what hosts and tenants use of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.database.connection import many, one
from saveos.repositories.quota_model import HostUse, Quota, TenantUse

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import TenantId

_HOST = (
    "SELECT a.id AS agent_id, a.tenant_id, a.hostname, a.quota_soft_bytes AS soft_bytes,"
    " a.quota_hard_bytes AS hard_bytes, coalesce(r.stored_bytes, 0) AS used_bytes,"
    " coalesce(r.quarantine_bytes, 0) AS quarantine_bytes"
    " FROM agents a LEFT JOIN repositories r ON r.agent_id = a.id"
)
_LAST_BACKUP = (
    "SELECT j.error_code, j.error_facts_json FROM jobs j WHERE j.agent_id = {agent} AND j.kind = 'backup'"
    " AND j.state IN ('done', 'warned', 'failed') ORDER BY j.requested_at DESC, j.id DESC LIMIT 1"
)


def host(connection: sqlite3.Connection, agent_id: str, tenant_id: str | None = None) -> HostUse | None:
    """Return a host's limits and what it uses, of that tenant if one is given."""
    row = one(connection, f"{_HOST} WHERE a.id = ?1 AND (?2 IS NULL OR a.tenant_id = ?2)", (agent_id, tenant_id))
    return msgspec.convert(dict(row), HostUse) if row else None


def hosts(connection: sqlite3.Connection, tenant_id: str) -> list[HostUse]:
    """Return the limits and the use of a tenant's hosts, revoked ones too; those that use most first."""
    rows = many(connection, f"{_HOST} WHERE a.tenant_id = ? ORDER BY used_bytes DESC, a.id", (tenant_id,))
    return [msgspec.convert(dict(row), HostUse) for row in rows]


def tenant(connection: sqlite3.Connection, tenant_id: str) -> TenantUse | None:
    """Return a tenant's limits and what its repositories and their quarantine use."""
    row = one(
        connection,
        "SELECT t.id AS tenant_id, t.quota_soft_bytes AS soft_bytes, t.quota_hard_bytes AS hard_bytes,"
        " coalesce(sum(r.stored_bytes), 0) AS stored_bytes, coalesce(sum(r.quarantine_bytes), 0) AS quarantine_bytes,"
        " coalesce(sum(r.stored_bytes + r.quarantine_bytes), 0) AS used_bytes"
        " FROM tenants t LEFT JOIN repositories r ON r.tenant_id = t.id WHERE t.id = ? GROUP BY t.id",
        (tenant_id,),
    )
    return msgspec.convert(dict(row), TenantUse) if row else None


def limited(connection: sqlite3.Connection) -> tuple[list[str], list[TenantId]]:
    """Return the hosts and the tenants that have a limit or an open alert on one."""
    agents = many(
        connection,
        "SELECT id FROM agents WHERE quota_soft_bytes > 0 OR quota_hard_bytes > 0 UNION"
        " SELECT agent_id FROM alerts WHERE kind = 'quota' AND cleared_at IS NULL AND agent_id IS NOT NULL",
    )
    tenants = many(
        connection,
        "SELECT id FROM tenants WHERE quota_soft_bytes > 0 OR quota_hard_bytes > 0 UNION"
        " SELECT tenant_id FROM alerts WHERE kind = 'quota' AND cleared_at IS NULL AND agent_id IS NULL",
    )
    return [row["id"] for row in agents], [row["id"] for row in tenants]


def set_host(connection: sqlite3.Connection, agent_id: str, quota: Quota) -> None:
    """Give a host limits."""
    connection.execute(
        "UPDATE agents SET quota_soft_bytes = ?, quota_hard_bytes = ? WHERE id = ?",
        (quota.soft_bytes, quota.hard_bytes, agent_id),
    )


def set_tenant(connection: sqlite3.Connection, tenant_id: str, quota: Quota) -> None:
    """Give a tenant limits."""
    connection.execute(
        "UPDATE tenants SET quota_soft_bytes = ?, quota_hard_bytes = ? WHERE id = ?",
        (quota.soft_bytes, quota.hard_bytes, tenant_id),
    )


def written_by(connection: sqlite3.Connection, agent_id: str, job_id: str) -> int:
    """Return how much the sessions of a job have written so far, in bytes."""
    row = one(
        connection,
        "SELECT coalesce(sum(put_bytes), 0) AS size FROM writes WHERE agent_id = ? AND job_id = ?",
        (agent_id, job_id),
    )
    return int(row["size"]) if row else 0


def stopped_by(connection: sqlite3.Connection, agent_id: str) -> str:
    """Return which limit, a host's own or its tenant's, stopped a host's last backup; empty when none did."""
    row = one(connection, _LAST_BACKUP.format(agent="?"), (agent_id,))
    return _scope(row) if row else ""


def stopped_hosts(connection: sqlite3.Connection, tenant_id: str) -> int:
    """Return how many of a tenant's hosts its limit stopped in their last backup."""
    rows = many(
        connection,
        f"SELECT ({_LAST_BACKUP.replace('j.error_code, ', '').format(agent='a.id')}) AS error_facts_json,"
        " 'quota-exceeded' AS error_code FROM agents a WHERE a.tenant_id = ? AND a.state <> 'revoked'",
        (tenant_id,),
    )
    return sum(_scope(row) == "tenant" for row in rows)


def _scope(row: Any) -> str:
    if row["error_code"] != "quota-exceeded" or not row["error_facts_json"]:
        return ""
    facts: dict[str, Any] = msgspec.json.decode(row["error_facts_json"])
    return str(facts.get("scope", ""))
