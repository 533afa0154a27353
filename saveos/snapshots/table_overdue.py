"""All SQL on backups that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import many, one

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.protocol import AgentId, TenantId

TICKED = "overdue-ticked-at"


def running_backups(connection: sqlite3.Connection) -> set[AgentId]:
    """Return the agents that are being backed up now."""
    rows = many(connection, "SELECT DISTINCT agent_id FROM jobs WHERE state = 'running' AND kind = 'backup'")
    return {row["agent_id"] for row in rows}


def open_alerts(connection: sqlite3.Connection) -> dict[AgentId, TenantId]:
    """Return the agents of every open alert of this kind, and the tenant of each."""
    rows = many(connection, "SELECT tenant_id, agent_id FROM alerts WHERE kind = 'overdue' AND cleared_at IS NULL")
    return {row["agent_id"]: row["tenant_id"] for row in rows}


def last_tick(connection: sqlite3.Connection) -> datetime | None:
    """Return when the appliance looked last."""
    row = one(connection, "SELECT value FROM facts WHERE name = ?", (TICKED,))
    return clock.from_text(row["value"]) if row else None


def set_tick(connection: sqlite3.Connection, moment: datetime) -> None:
    """Note that the appliance looks now."""
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (TICKED, clock.to_text(moment)),
    )


def set_due(connection: sqlite3.Connection, agent_id: AgentId, moment: datetime) -> None:
    """Move the moment since which a backup is due."""
    connection.execute("UPDATE agents SET due_at = ? WHERE id = ?", (clock.to_text(moment), agent_id))
