"""All SQL on sealed keys: which host's key is sealed to which public key, and who may open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents.model import KeyMode
from saveos.database.connection import many, one
from saveos.repositories.keyholding import Seal, SealedHost
from saveos.repositories.model import Purpose
from saveos.repositories.sealing import as_text
from saveos.repositories.table import repository_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.config import Settings
    from saveos.protocol import AgentId, TenantId


class Resealing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a new recovery key has come: of so many hosts, so many are sealed to it."""

    hosts_count: int
    resealed_count: int
    managed_count: int  # of them, those that the appliance can open by itself


# What hosts sealed to recovery keys before the present one: it goes once they have sealed to that, and it is confirmed.
_FORGET_FORMER = (
    "DELETE FROM seals WHERE purpose = 'recovery' AND {which} AND EXISTS (SELECT 1 FROM repositories r"
    " JOIN tenants t ON t.id = r.tenant_id"
    " JOIN seals present ON present.agent_id = r.agent_id AND present.public_key = t.recovery_public_key"
    " WHERE r.agent_id = seals.agent_id AND t.recovery_public_key <> seals.public_key"
    " AND t.recovery_confirmed_at IS NOT NULL)"
)


def put(connection: sqlite3.Connection, agent_id: AgentId, public_key: bytes, purpose: Purpose, sealed: str) -> None:
    """Keep what a host sealed; for one purpose the newest alone, once somebody has shown to have the present kit."""
    if purpose is Purpose.MANAGED:
        forget(connection, agent_id, purpose)
    connection.execute(
        "INSERT OR REPLACE INTO seals (agent_id, public_key, purpose, sealed, sealed_at) VALUES (?, ?, ?, ?, ?)",
        (agent_id, public_key, purpose, sealed, clock.to_text(clock.now())),
    )
    connection.execute(_FORGET_FORMER.format(which="agent_id = ?"), (agent_id,))


def forget(connection: sqlite3.Connection, agent_id: AgentId, purpose: Purpose) -> None:
    """Delete what a host sealed for a purpose; SQLite overwrites the bytes (secure_delete)."""
    connection.execute("DELETE FROM seals WHERE agent_id = ? AND purpose = ?", (agent_id, purpose))


def forget_former(connection: sqlite3.Connection, tenant_id: TenantId) -> None:
    """Forget what a tenant's hosts sealed to former recovery keys, of those that have sealed to the confirmed one."""
    which = "agent_id IN (SELECT agent_id FROM repositories WHERE tenant_id = ?)"
    connection.execute(_FORGET_FORMER.format(which=which), (tenant_id,))


def purposes(connection: sqlite3.Connection, agent_id: str) -> dict[bytes, Purpose]:
    """Return to which public keys a host's key is sealed, and what for."""
    rows = many(connection, "SELECT public_key, purpose FROM seals WHERE agent_id = ?", (agent_id,))
    return {row["public_key"]: Purpose(row["purpose"]) for row in rows}


def hosts(
    connection: sqlite3.Connection, settings: Settings, tenant_id: TenantId, agent_ids: Sequence[str] = ()
) -> list[SealedHost]:
    """Return the tenant's hosts with a sealed key, all or those named, with all that is sealed of each."""
    found: dict[AgentId, list[Seal]] = {}
    rows = many(
        connection,
        "SELECT s.agent_id, s.public_key, s.sealed FROM seals s JOIN repositories r ON r.agent_id = s.agent_id"
        " WHERE r.tenant_id = ? ORDER BY s.agent_id",
        (tenant_id,),
    )
    wanted = set(agent_ids)
    for row in rows:
        if not wanted or row["agent_id"] in wanted:
            seal = Seal(public_key=as_text(row["public_key"]), sealed=row["sealed"])
            found.setdefault(row["agent_id"], []).append(seal)
    return [
        SealedHost(agent_id=agent_id, path=str(repository_path(settings, tenant_id, agent_id)), seals=tuple(seals))
        for agent_id, seals in found.items()
    ]


def sealed_to(connection: sqlite3.Connection, agent_id: str, public_key: bytes) -> str:
    """Return a host's key as it is sealed to a recovery key, the present one or one before; "" when it is not."""
    row = one(
        connection,
        "SELECT sealed FROM seals WHERE agent_id = ? AND public_key = ? AND purpose = 'recovery'",
        (agent_id, public_key),
    )
    return str(row["sealed"]) if row else ""


def mode(connection: sqlite3.Connection, agent_id: str, tenant_id: TenantId) -> KeyMode | None:
    """Return who holds the key of a tenant's host; None when there is no such host."""
    row = one(
        connection, "SELECT key_mode FROM repositories WHERE agent_id = ? AND tenant_id = ?", (agent_id, tenant_id)
    )
    return KeyMode(row["key_mode"]) if row else None


def set_mode(connection: sqlite3.Connection, agent_id: AgentId, key_mode: KeyMode) -> None:
    """Keep who holds a host's key."""
    since = clock.to_text(clock.now()) if key_mode is KeyMode.MANAGED else None
    connection.execute(
        "UPDATE repositories SET key_mode = ?, managed_since = coalesce(?, managed_since) WHERE agent_id = ?",
        (key_mode, since, agent_id),
    )


def was_managed(connection: sqlite3.Connection, agent_id: str) -> bool:
    """Return whether the appliance was ever to hold a host's key."""
    row = one(connection, "SELECT managed_since FROM repositories WHERE agent_id = ?", (agent_id,))
    return row is not None and row["managed_since"] is not None


def resealing(connection: sqlite3.Connection, tenant_id: TenantId) -> Resealing:
    """Return how many of a tenant's live hosts are sealed to its present recovery key."""
    row = one(
        connection,
        "SELECT count(*) AS hosts_count, coalesce(sum(r.key_mode = 'managed'), 0) AS managed_count,"
        " coalesce(sum(EXISTS (SELECT 1 FROM seals s WHERE s.agent_id = r.agent_id"
        " AND s.public_key = t.recovery_public_key)), 0) AS resealed_count"
        " FROM repositories r JOIN agents a ON a.id = r.agent_id JOIN tenants t ON t.id = r.tenant_id"
        " WHERE r.tenant_id = ? AND r.state = 'ready' AND a.state <> 'revoked'",
        (tenant_id,),
    )
    return msgspec.convert(dict(row) if row else {}, Resealing)
