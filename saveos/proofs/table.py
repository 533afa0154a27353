"""All SQL on how far repositories are checked, and on what is damaged in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.database.identifiers import new_id
from saveos.proofs.model import Check, Damage, FoundBy, Pass

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saveos.protocol import AgentId, LocatedArchive, TenantId

DAMAGES_LIMIT = 2000  # open ones of a host
_DAMAGE = "SELECT d.*, a.hostname FROM damages d JOIN agents a ON a.id = d.agent_id"


def check_of(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId) -> Check:
    """Return how far a host's repository is checked."""
    row = one(connection, "SELECT * FROM checks WHERE agent_id = ?", (agent_id,))
    return _to_check(row) if row else Check(agent_id=agent_id, tenant_id=tenant_id)


def checks_of(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, Check]:
    """Return how far a tenant's repositories are checked, by agent id."""
    rows = many(connection, "SELECT * FROM checks WHERE tenant_id = ?", (tenant_id,))
    return {row["agent_id"]: _to_check(row) for row in rows}


def keep_check(connection: sqlite3.Connection, check: Check) -> None:
    """Keep how far it is."""
    values: dict[str, Any] = {name: getattr(check, name) for name in check.__struct_fields__}
    for name in ("began_at", "checked_at", "not_before", "verify_began_at", "verified_at"):
        values[name] = clock.to_text(values[name]) if values[name] else None
    values["is_asked"] = int(check.is_asked)
    names = ", ".join(values)
    connection.execute(
        f"INSERT OR REPLACE INTO checks ({names}) VALUES ({', '.join(':' + name for name in values)})", values
    )


def ask_for_check(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId) -> None:
    """Let a host's repository be the next that is checked: as a whole, if a part of it is read already."""
    connection.execute(
        "INSERT INTO checks (agent_id, tenant_id, is_asked) VALUES (?, ?, 1)"
        " ON CONFLICT (agent_id) DO UPDATE SET is_asked = began_at IS NULL OR segment >= 0, not_before = NULL",
        (agent_id, tenant_id),
    )


def next_to_check(
    connection: sqlite3.Connection, now: datetime, before: datetime, new_before: datetime
) -> tuple[str, str] | None:
    """Return (agent id, tenant id) of the repository to check: asked for, begun, or checked longest ago.

    `before`: those checked since are not due; `new_before`: nor those made since.
    """
    row = one(
        connection,
        "SELECT r.agent_id, r.tenant_id FROM repositories r LEFT JOIN checks c ON c.agent_id = r.agent_id"
        " WHERE r.state = 'ready' AND r.away_at IS NULL AND (c.is_asked OR c.began_at IS NOT NULL OR c.checked_at < ?1"
        " OR c.generation <> r.generation OR (c.checked_at IS NULL AND r.created_at < ?2))"
        " AND (c.not_before IS NULL OR c.not_before <= ?3)"
        " ORDER BY coalesce(c.is_asked, 0) DESC, c.began_at IS NULL, coalesce(c.checked_at, r.created_at) LIMIT 1",
        (clock.to_text(before), clock.to_text(new_before), clock.to_text(now)),
    )
    return (row["agent_id"], row["tenant_id"]) if row else None


def generation_of(connection: sqlite3.Connection, agent_id: AgentId) -> int:
    """Return how often a host's repository was rolled back."""
    row = one(connection, "SELECT generation FROM repositories WHERE agent_id = ?", (agent_id,))
    return int(row["generation"]) if row else 0


def add_pass(connection: sqlite3.Connection, tenant_id: TenantId, done: Pass) -> None:
    """Keep that a repository was read through."""
    connection.execute(
        "INSERT INTO passes (tenant_id, agent_id, kind, began_at, ended_at, read_bytes, objects_count, damages_count)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(tenant_id, done.agent_id, done.kind, clock.to_text(done.began_at), clock.to_text(done.ended_at)),
            *(done.read_bytes, done.objects_count, done.damages_count),
        ),
    )


def passes(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, until: datetime, agent_id: str = ""
) -> list[Pass]:
    """Return a tenant's passes that ended in a time, oldest first."""
    rows = many(
        connection,
        "SELECT agent_id, kind, began_at, ended_at, read_bytes, objects_count, damages_count FROM passes"
        " WHERE tenant_id = ?1 AND ended_at >= ?2 AND ended_at < ?3 AND (?4 = '' OR agent_id = ?4) ORDER BY id",
        (tenant_id, clock.to_text(since), clock.to_text(until), agent_id),
    )
    return [msgspec.convert(dict(row), Pass) for row in rows]


def add_damage(
    connection: sqlite3.Connection,
    tenant_id: TenantId,
    agent_id: AgentId,
    *,
    place: str,
    what: str,
    segment: int = -1,
    found_by: FoundBy,
) -> bool:
    """Keep a damage; return False when it is known already, or there are too many."""
    now = clock.to_text(clock.now())
    seen = connection.execute(  # what the appliance sees itself is its own to clear, whoever saw it first
        "UPDATE damages SET seen_at = ?1, found_by = CASE WHEN ?2 = 'check' THEN ?2 ELSE found_by END,"
        " what = CASE WHEN ?2 = 'check' THEN ?3 ELSE what END"
        " WHERE agent_id = ?4 AND place = ?5 AND cleared_at IS NULL",
        (now, found_by.value, what, agent_id, place),
    )
    if seen.rowcount:
        return False
    count = one(
        connection, "SELECT count(*) AS count FROM damages WHERE agent_id = ? AND cleared_at IS NULL", (agent_id,)
    )
    if count and count["count"] >= DAMAGES_LIMIT:
        return False
    cursor = connection.execute(
        "INSERT INTO damages (id, tenant_id, agent_id, place, what, segment, found_at, seen_at, found_by)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8) ON CONFLICT DO NOTHING",
        (new_id("dmg"), tenant_id, agent_id, place, what, segment, now, found_by.value),
    )
    return cursor.rowcount == 1


def open_damages(connection: sqlite3.Connection, agent_id: str) -> list[Damage]:
    """Return what is damaged in a host's repository, the oldest first."""
    rows = many(connection, f"{_DAMAGE} WHERE d.agent_id = ? AND d.cleared_at IS NULL ORDER BY d.id", (agent_id,))
    return [_to_damage(row) for row in rows]


def open_counts(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, int]:
    """Return how much is damaged now, by agent id; hosts without damage are not among them."""
    rows = many(
        connection,
        "SELECT agent_id, count(*) AS count FROM damages WHERE tenant_id = ? AND cleared_at IS NULL GROUP BY 1",
        (tenant_id,),
    )
    return {row["agent_id"]: row["count"] for row in rows}


def damages(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, until: datetime, agent_id: str = ""
) -> list[Damage]:
    """Return a tenant's damages that were there in a time, the oldest first."""
    rows = many(
        connection,
        f"{_DAMAGE} WHERE d.tenant_id = ?1 AND d.found_at < ?3 AND (d.cleared_at IS NULL OR d.cleared_at >= ?2)"
        " AND (?4 = '' OR d.agent_id = ?4) ORDER BY d.id",
        (tenant_id, clock.to_text(since), clock.to_text(until), agent_id),
    )
    return [_to_damage(row) for row in rows]


def set_located(
    connection: sqlite3.Connection, damage_id: str, located: Sequence[LocatedArchive], at: datetime
) -> None:
    """Keep which of the archives that were there at a moment need an object."""
    connection.execute(
        "UPDATE damages SET located_json = ?, located_at = ? WHERE id = ?",
        (msgspec.json.encode(located).decode(), clock.to_text(at), damage_id),
    )


def locate_again(connection: sqlite3.Connection, damage_ids: Iterable[str]) -> None:
    """Have these looked for once more; what is known of them stays."""
    connection.executemany("UPDATE damages SET located_at = NULL WHERE id = ?", [(id_,) for id_ in damage_ids])


def clear_damages(connection: sqlite3.Connection, damage_ids: Iterable[str], why: str) -> None:
    """Keep that these are no more."""
    now = clock.to_text(clock.now())
    connection.executemany(
        "UPDATE damages SET cleared_at = ?, cleared_why = ? WHERE id = ? AND cleared_at IS NULL",
        [(now, why, id_) for id_ in damage_ids],
    )


def set_standings(connection: sqlite3.Connection, agent_id: AgentId, damaged: Iterable[str]) -> None:
    """Let exactly those snapshots stand as damaged whose archive ids these are; others' standings stay.

    A lost one stays lost, and is to stand like that once it is found.
    """
    ids = msgspec.json.encode(sorted(damaged)).decode()
    for name in ("standing", "lost_from"):
        connection.execute(
            f"UPDATE snapshots SET {name} = 'good' WHERE agent_id = ?1 AND {name} = 'damaged'"
            " AND archive_id NOT IN (SELECT value FROM json_each(?2))",
            (agent_id, ids),
        )
        connection.execute(
            f"UPDATE snapshots SET {name} = 'damaged' WHERE agent_id = ?1 AND {name} = 'good'"
            " AND archive_id IN (SELECT value FROM json_each(?2))",
            (agent_id, ids),
        )


def began_at(connection: sqlite3.Connection, agent_id: str, archive_ids: Sequence[str]) -> list[str]:
    """Return when (text) those snapshots of a host began that these archives are of, the newest first."""
    rows = many(
        connection,
        "SELECT started_at FROM snapshots WHERE agent_id = ? AND archive_id IN (SELECT value FROM json_each(?))"
        " ORDER BY started_at DESC",
        (agent_id, msgspec.json.encode(archive_ids).decode()),
    )
    return [row["started_at"] for row in rows]


def sound_counts(connection: sqlite3.Connection, agent_id: str) -> tuple[int, int, str | None]:
    """Return how many snapshots of a host are good, how many there are, and when the newest good one began."""
    row = one(
        connection,
        "SELECT coalesce(sum(standing = 'good'), 0) AS good, count(*) AS every,"
        " max(CASE WHEN standing = 'good' THEN started_at END) AS newest FROM snapshots WHERE agent_id = ?",
        (agent_id,),
    )
    return (row["good"], row["every"], row["newest"]) if row else (0, 0, None)


def _to_check(row: sqlite3.Row) -> Check:
    return msgspec.convert(dict(row) | {"is_asked": bool(row["is_asked"])}, Check)


def _to_damage(row: sqlite3.Row) -> Damage:
    values = dict(row)
    text = values.pop("located_json")
    values["located"] = msgspec.json.decode(text) if text is not None else None
    return msgspec.convert(values, Damage)
