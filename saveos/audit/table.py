"""All SQL on the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.database.connection import many, one

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def last_hash(connection: sqlite3.Connection) -> str:
    """Return the hash of the newest entry; empty for an empty log."""
    row = one(connection, "SELECT hash FROM audit ORDER BY id DESC LIMIT 1")
    return row["hash"] if row else ""


def insert(connection: sqlite3.Connection, values: Sequence[str | None]) -> None:
    """Append (tenant_id, at, actor, action, target, detail_json, previous_hash, hash)."""
    connection.execute(
        "INSERT INTO audit (tenant_id, at, actor, action, target, detail_json, previous_hash, hash)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def nth_newest(connection: sqlite3.Connection, action: str, number: int) -> str | None:
    """Return when the action was recorded the `number`th time before now, counting back from 1."""
    row = one(
        connection, "SELECT at FROM audit WHERE action = ? ORDER BY id DESC LIMIT 1 OFFSET ?", (action, number - 1)
    )
    return str(row["at"]) if row else None


def newest(connection: sqlite3.Connection, tenant_id: str, limit: int) -> list[sqlite3.Row]:
    """Return a tenant's newest entries, newest first."""
    return many(
        connection,
        "SELECT at, actor, action, target, detail_json FROM audit WHERE tenant_id = ? ORDER BY id DESC LIMIT ?",
        (tenant_id, limit),
    )
