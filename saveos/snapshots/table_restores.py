"""All SQL on what restores found and made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.database.connection import one
from saveos.protocol import RestoreFacts

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import JobId, TenantId


def keep(connection: sqlite3.Connection, job_id: JobId, facts: RestoreFacts) -> None:
    """Keep the facts of a restore; the last word counts."""
    connection.execute(
        "INSERT OR REPLACE INTO restore_reports (job_id, facts_json) VALUES (?, ?)",
        (job_id, msgspec.json.encode(facts).decode()),
    )


def get(connection: sqlite3.Connection, job_id: str, tenant_id: TenantId) -> RestoreFacts | None:
    """Return the facts of a tenant's restore."""
    row = one(
        connection,
        "SELECT r.facts_json FROM restore_reports r JOIN jobs j ON j.id = r.job_id"
        " WHERE r.job_id = ? AND j.tenant_id = ?",
        (job_id, tenant_id),
    )
    return msgspec.json.decode(row["facts_json"], type=RestoreFacts) if row else None
