"""All SQL on holds. A hold is in force until it is released, or its end has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.protocol import SnapshotId
from saveos.snapshots.model import Hold, HoldKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from saveos.identity.principals import Principal
    from saveos.protocol import TenantId

_IN_FORCE = "released_at IS NULL AND (until IS NULL OR until > :now)"


def _to_hold(row: sqlite3.Row) -> Hold:
    return msgspec.convert(dict(row), Hold)


def insert(connection: sqlite3.Connection, hold: Hold) -> None:
    """Add a hold."""
    values = msgspec.to_builtins(hold)
    values |= {"placed_at": clock.to_text(hold.placed_at), "until": clock.to_text(hold.until) if hold.until else None}
    names = ", ".join(values)
    connection.execute(f"INSERT INTO holds ({names}) VALUES ({', '.join(':' + name for name in values)})", values)


def get(connection: sqlite3.Connection, hold_id: str, snapshot_id: str, tenant_id: TenantId) -> Hold | None:
    """Return a hold of a tenant's snapshot."""
    statement = "SELECT * FROM holds WHERE id = ? AND snapshot_id = ? AND tenant_id = ?"
    row = one(connection, statement, (hold_id, snapshot_id, tenant_id))
    return _to_hold(row) if row else None


def of_snapshot(connection: sqlite3.Connection, snapshot_id: str) -> list[Hold]:
    """Return a snapshot's holds, newest first; those that are over too."""
    rows = many(connection, "SELECT * FROM holds WHERE snapshot_id = ? ORDER BY id DESC", (snapshot_id,))
    return [_to_hold(row) for row in rows]


def in_force(
    connection: sqlite3.Connection, tenant_id: TenantId, now: datetime, *, agent_id: str, before: str, limit: int
) -> list[Hold]:
    """Return a tenant's holds in force, newest first. `agent_id` empty: of all; `before`: only older than this id."""
    rows = many(
        connection,
        f"SELECT * FROM holds WHERE tenant_id = :tenant AND {_IN_FORCE} AND (:agent = '' OR agent_id = :agent)"
        " AND (:before = '' OR id < :before) ORDER BY id DESC LIMIT :limit",
        {"tenant": tenant_id, "now": clock.to_text(now), "agent": agent_id, "before": before, "limit": limit},
    )
    return [_to_hold(row) for row in rows]


def asked(connection: sqlite3.Connection, tenant_id: TenantId, now: datetime) -> list[Hold]:
    """Return a tenant's holds in force that somebody wants to end, the first asked first."""
    statement = (
        f"SELECT * FROM holds WHERE tenant_id = :tenant AND release_asked_at IS NOT NULL AND {_IN_FORCE}"
        " ORDER BY release_asked_at, id"
    )
    return [_to_hold(row) for row in many(connection, statement, {"tenant": tenant_id, "now": clock.to_text(now)})]


def held_ids(connection: sqlite3.Connection, agent_id: str, now: datetime) -> set[SnapshotId]:
    """Return an agent's snapshots that a hold keeps."""
    statement = f"SELECT DISTINCT snapshot_id FROM holds WHERE agent_id = :agent AND {_IN_FORCE}"
    rows = many(connection, statement, {"agent": agent_id, "now": clock.to_text(now)})
    return {SnapshotId(row["snapshot_id"]) for row in rows}


def kinds(
    connection: sqlite3.Connection, snapshot_ids: Iterable[str], now: datetime
) -> dict[str, tuple[HoldKind, ...]]:
    """Return what keeps each of these snapshots, each kind once; a snapshot that nothing keeps is left out."""
    rows = many(
        connection,
        f"SELECT DISTINCT snapshot_id, kind FROM holds WHERE {_IN_FORCE}"
        " AND snapshot_id IN (SELECT value FROM json_each(:ids))",
        {"now": clock.to_text(now), "ids": msgspec.json.encode(list(snapshot_ids)).decode()},
    )
    found: dict[str, set[HoldKind]] = {}
    for row in rows:
        found.setdefault(row["snapshot_id"], set()).add(HoldKind(row["kind"]))
    return {snapshot_id: tuple(kind for kind in HoldKind if kind in held) for snapshot_id, held in found.items()}


def ask_release(connection: sqlite3.Connection, hold_id: str, principal: Principal | None) -> None:
    """Note who wants a hold to end; None: nobody any more."""
    connection.execute(
        "UPDATE holds SET release_asked_at = ?, release_asked_by = ?, release_asked_id = ? WHERE id = ?",
        (
            clock.to_text(clock.now()) if principal else None,
            principal.label if principal else "",
            principal.id if principal else "",
            hold_id,
        ),
    )


def release(connection: sqlite3.Connection, hold_id: str, by: str) -> None:
    """End a hold."""
    connection.execute(
        "UPDATE holds SET released_at = ?, released_by = ? WHERE id = ? AND released_at IS NULL",
        (clock.to_text(clock.now()), by, hold_id),
    )
