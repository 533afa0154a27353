"""All SQL on tenants and their users, and on the appliance's own facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import many, one
from saveos.protocol import TenantId

if TYPE_CHECKING:
    import sqlite3


def fact(connection: sqlite3.Connection, name: str) -> str | None:
    """Return a fact about the appliance."""
    row = one(connection, "SELECT value FROM facts WHERE name = ?", (name,))
    return row["value"] if row else None


def set_fact(connection: sqlite3.Connection, name: str, value: str | None) -> None:
    """Keep a fact; None forgets it."""
    if value is None:
        connection.execute("DELETE FROM facts WHERE name = ?", (name,))
        return
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def insert_tenant(connection: sqlite3.Connection, tenant_id: str, name: str, recovery_public_key: bytes) -> None:
    """Add a tenant."""
    connection.execute(
        "INSERT INTO tenants (id, name, recovery_public_key, created_at) VALUES (?, ?, ?, ?)",
        (tenant_id, name, recovery_public_key, clock.to_text(clock.now())),
    )


def set_recovery(
    connection: sqlite3.Connection, tenant_id: str, public_key: bytes, made_by: str, check_json: str
) -> None:
    """Give a tenant another recovery key, which nobody has confirmed."""
    connection.execute(
        "UPDATE tenants SET recovery_public_key = ?, recovery_made_at = ?, recovery_made_by = ?,"
        " recovery_check_json = ?, recovery_confirmed_at = NULL WHERE id = ?",
        (public_key, clock.to_text(clock.now()), made_by, check_json, tenant_id),
    )


def set_recovery_confirmed(connection: sqlite3.Connection, tenant_id: str) -> None:
    """Note that somebody has a tenant's recovery code."""
    connection.execute(
        "UPDATE tenants SET recovery_confirmed_at = ? WHERE id = ?", (clock.to_text(clock.now()), tenant_id)
    )


def tenant(connection: sqlite3.Connection, tenant_id: str) -> sqlite3.Row | None:
    """Return all of a tenant: id, name, created_at, recovery_…."""
    return one(connection, "SELECT * FROM tenants WHERE id = ?", (tenant_id,))


def first_tenant(connection: sqlite3.Connection) -> sqlite3.Row | None:
    """Return the oldest tenant: the default one."""
    return one(connection, "SELECT * FROM tenants ORDER BY created_at, id LIMIT 1")


def tenant_ids(connection: sqlite3.Connection) -> list[TenantId]:
    """Return all tenants, the oldest first."""
    return [TenantId(row["id"]) for row in many(connection, "SELECT id FROM tenants ORDER BY created_at, id")]


def users_count(connection: sqlite3.Connection) -> int:
    """Return how many people exist."""
    return int(connection.execute("SELECT count(*) FROM users").fetchone()[0])


def insert_user(connection: sqlite3.Connection, values: dict[str, str]) -> None:
    """Add a user: id, tenant_id, email, password_hash, role, language, created_at."""
    connection.execute(
        "INSERT INTO users (id, tenant_id, email, password_hash, role, language, created_at)"
        " VALUES (:id, :tenant_id, :email, :password_hash, :role, :language, :created_at)",
        values,
    )


def administrators(connection: sqlite3.Connection, tenant_id: str) -> list[sqlite3.Row]:
    """Return a tenant's administrators who may sign in: id, email, created_at."""
    return many(
        connection,
        "SELECT id, email, created_at FROM users WHERE tenant_id = ? AND role = 'administrator' AND NOT is_disabled",
        (tenant_id,),
    )


def user_by_email(connection: sqlite3.Connection, email: str) -> sqlite3.Row | None:
    """Return a user."""
    return one(connection, "SELECT * FROM users WHERE email = ?", (email,))
