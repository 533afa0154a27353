"""All SQL of reports: what a tenant's hosts, snapshots and alerts were in a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.proofs.report_model import ReportAlert, ReportSnapshot

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.protocol import TenantId


def snapshots(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, until: datetime, agent_id: str, limit: int
) -> list[ReportSnapshot]:
    """Return the snapshots that were made in a time, the oldest first."""
    rows = many(
        connection,
        "SELECT id, agent_id, archive, archive_id, started_at, files_count, original_bytes, warnings_count, standing"
        " FROM snapshots WHERE tenant_id = ?1 AND started_at >= ?2 AND started_at < ?3"
        " AND (?4 = '' OR agent_id = ?4) ORDER BY id LIMIT ?5",
        (tenant_id, clock.to_text(since), clock.to_text(until), agent_id, limit),
    )
    return [msgspec.convert(dict(row), ReportSnapshot) for row in rows]


def alerts(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, until: datetime, agent_id: str, limit: int
) -> list[ReportAlert]:
    """Return the alerts that were open in a time, the oldest first."""
    rows = many(
        connection,
        "SELECT kind, agent_id, opened_at, cleared_at, cleared_by, evidence_json FROM alerts WHERE tenant_id = ?1"
        " AND opened_at < ?3 AND (cleared_at IS NULL OR cleared_at >= ?2) AND (?4 = '' OR agent_id = ?4)"
        " ORDER BY id LIMIT ?5",
        (tenant_id, clock.to_text(since), clock.to_text(until), agent_id, limit),
    )
    found = []
    for row in rows:
        values = dict(row)
        values["evidence"] = msgspec.json.decode(values.pop("evidence_json"))
        found.append(msgspec.convert(values, ReportAlert))
    return found


def good_counts(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, int]:
    """Return how many good snapshots each host has, by agent id."""
    rows = many(
        connection,
        "SELECT agent_id, sum(standing = 'good') AS good FROM snapshots WHERE tenant_id = ? GROUP BY 1",
        (tenant_id,),
    )
    return {row["agent_id"]: row["good"] for row in rows}


def tenant_name(connection: sqlite3.Connection, tenant_id: TenantId) -> str:
    """Return a tenant's name."""
    row = one(connection, "SELECT name FROM tenants WHERE id = ?", (tenant_id,))
    return str(row["name"]) if row else ""
