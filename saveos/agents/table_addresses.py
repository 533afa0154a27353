"""All SQL on which hosts hold which list of addresses."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos.database.connection import many, one
from saveos.protocol import AgentId

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import TenantId


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A host, and when it was last heard of."""

    agent_id: AgentId
    hostname: str
    seen_at: datetime | None = None


def counts(connection: sqlite3.Connection, tenant_id: TenantId, serial: int) -> tuple[int, int, int]:
    """Return how many hosts a tenant has, how many hold the list of this serial, and how many a later one."""
    row = one(
        connection,
        "SELECT count(*) AS hosts, coalesce(sum(addresses_serial = ?1), 0) AS holders,"
        " coalesce(sum(addresses_serial > ?1), 0) AS ahead FROM agents WHERE tenant_id = ?2 AND state <> 'revoked'",
        (serial, tenant_id),
    )
    return (row["hosts"], row["holders"], row["ahead"]) if row else (0, 0, 0)


def without(connection: sqlite3.Connection, tenant_id: TenantId, serial: int, limit: int) -> tuple[Holder, ...]:
    """Return a tenant's hosts that do not hold the list of this serial, by name."""
    rows = many(
        connection,
        "SELECT id AS agent_id, hostname, seen_at FROM agents WHERE tenant_id = ? AND state <> 'revoked'"
        " AND addresses_serial <> ? ORDER BY hostname COLLATE NOCASE, id LIMIT ?",
        (tenant_id, serial, limit),
    )
    return tuple(msgspec.convert(dict(row), Holder) for row in rows)


def greatest(connection: sqlite3.Connection) -> int:
    """Return the serial of the latest list that any host holds."""
    row = one(connection, "SELECT max(addresses_serial) AS serial FROM agents WHERE state <> 'revoked'")
    return int(row["serial"] or 0) if row else 0
