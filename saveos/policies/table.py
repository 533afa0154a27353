"""All SQL on policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.policies.model import Policy

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import PolicyId, TenantId


def _to_policy(row: sqlite3.Row) -> Policy:
    values = dict(row)
    for name in ("sources", "excludes", "retention"):
        values[name] = msgspec.json.decode(values.pop(f"{name}_json"))
    for name in ("is_default", "guard_canaries"):
        values[name] = bool(values[name])
    return msgspec.convert(values, Policy)


def insert(connection: sqlite3.Connection, policy: Policy) -> None:
    """Add a policy."""
    connection.execute(
        "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, time_zone, retention_json,"
        " compression, maintenance, is_default, created_at, guard_canaries)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            policy.id,
            policy.tenant_id,
            policy.name,
            msgspec.json.encode(policy.sources).decode(),
            msgspec.json.encode(policy.excludes).decode(),
            policy.schedule,
            policy.time_zone,
            msgspec.json.encode(policy.retention).decode(),
            policy.compression,
            policy.maintenance,
            int(policy.is_default),
            clock.to_text(clock.now()),
            int(policy.guard_canaries),
        ),
    )


def update(connection: sqlite3.Connection, policy: Policy) -> None:
    """Write a policy's terms."""
    connection.execute(
        "UPDATE policies SET name = ?, sources_json = ?, excludes_json = ?, schedule = ?, time_zone = ?,"
        " retention_json = ?, compression = ?, maintenance = ?, guard_canaries = ? WHERE id = ?",
        (
            policy.name,
            msgspec.json.encode(policy.sources).decode(),
            msgspec.json.encode(policy.excludes).decode(),
            policy.schedule,
            policy.time_zone,
            msgspec.json.encode(policy.retention).decode(),
            policy.compression,
            policy.maintenance,
            int(policy.guard_canaries),
            policy.id,
        ),
    )


def set_default(connection: sqlite3.Connection, tenant_id: TenantId, policy_id: PolicyId) -> None:
    """Let this one be the tenant's default, and no other."""
    connection.execute("UPDATE policies SET is_default = (id = ?) WHERE tenant_id = ?", (policy_id, tenant_id))


def delete(connection: sqlite3.Connection, policy_id: PolicyId) -> None:
    """Take a policy away; nothing may name it any more."""
    connection.execute("DELETE FROM policies WHERE id = ?", (policy_id,))


def id_of_name(connection: sqlite3.Connection, tenant_id: str, name: str) -> str:
    """Return the id of the tenant's policy of that name, or an empty text."""
    row = one(connection, "SELECT id FROM policies WHERE tenant_id = ? AND name = ?", (tenant_id, name))
    return str(row["id"]) if row else ""


def get(connection: sqlite3.Connection, policy_id: str, tenant_id: TenantId | None = None) -> Policy | None:
    """Return a policy, of that tenant if one is given."""
    statement = "SELECT * FROM policies WHERE id = ? AND (? IS NULL OR tenant_id = ?)"
    row = one(connection, statement, (policy_id, tenant_id, tenant_id))
    return _to_policy(row) if row else None


def find(connection: sqlite3.Connection, tenant_id: TenantId) -> list[Policy]:
    """Return a tenant's policies by name."""
    rows = many(
        connection, "SELECT * FROM policies WHERE tenant_id = ? ORDER BY name COLLATE NOCASE, name", (tenant_id,)
    )
    return [_to_policy(row) for row in rows]
