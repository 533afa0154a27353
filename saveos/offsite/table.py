"""All SQL on offsite copies: stores, what is in them, and how each host's copy stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.offsite.layout import KnownSnapshot, SealedKey
from saveos.offsite.model import Generation, Place, Store, Stored
from saveos.repositories.sealing import as_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

_SEGMENT = tuple(Stored.__struct_fields__)
_GENERATION = tuple(Generation.__struct_fields__)
APPLIANCE = "appliance-id"
INHERITED = "inherited-store:"


def _to_store(row: sqlite3.Row) -> Store:
    place = msgspec.json.decode(row["place_json"], type=Place)
    return msgspec.convert({**{name: row[name] for name in ("id", "tenant_id", "made_at")}, "place": place}, Store)


def put_store(connection: sqlite3.Connection, store: Store, secret_sealed: bytes) -> None:
    """Keep a store; one of its tenant, or of the appliance, that was before it goes with all that is known of it."""
    connection.execute(
        "DELETE FROM offsite_stores WHERE coalesce(tenant_id, '') = ? AND id <> ?", (store.tenant_id or "", store.id)
    )
    connection.execute(
        "INSERT INTO offsite_stores (id, tenant_id, place_json, secret_sealed, made_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET place_json = excluded.place_json, secret_sealed = excluded.secret_sealed",
        (
            store.id,
            store.tenant_id,
            msgspec.json.encode(store.place).decode(),
            secret_sealed,
            clock.to_text(store.made_at),
        ),
    )


def forget_store(connection: sqlite3.Connection, store_id: str) -> None:
    """Forget a store and what is known of it."""
    connection.execute("DELETE FROM offsite_stores WHERE id = ?", (store_id,))


def own_store(connection: sqlite3.Connection, tenant_id: str | None) -> Store | None:
    """Return the store of exactly this tenant, or with None the appliance's."""
    row = one(connection, "SELECT * FROM offsite_stores WHERE coalesce(tenant_id, '') = ?", (tenant_id or "",))
    return _to_store(row) if row else None


def store_of(connection: sqlite3.Connection, tenant_id: str) -> Store | None:
    """Return the store that a tenant's copies go to: its own, else the appliance's."""
    return own_store(connection, tenant_id) or own_store(connection, None)


def sealed_secret(connection: sqlite3.Connection, store_id: str) -> bytes:
    """Return the sealed secret of a store's access key; empty when there is no such store."""
    row = one(connection, "SELECT secret_sealed FROM offsite_stores WHERE id = ?", (store_id,))
    return bytes(row["secret_sealed"]) if row else b""


def appliance_id(connection: sqlite3.Connection, made: str) -> str:
    """Return by what this appliance is known in stores: `made`, the first time."""
    connection.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (APPLIANCE, made))
    row = one(connection, "SELECT value FROM facts WHERE name = ?", (APPLIANCE,))
    return str(row["value"]) if row else made


def set_appliance_id(connection: sqlite3.Connection, appliance_id: str) -> None:
    """Let this appliance be another one in stores than the one whose database this was."""
    connection.execute(
        "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (APPLIANCE, appliance_id),
    )


def every_store(connection: sqlite3.Connection) -> list[Store]:
    """Return all stores, whoever's they are."""
    return [_to_store(row) for row in many(connection, "SELECT * FROM offsite_stores ORDER BY id")]


def is_inherited(connection: sqlite3.Connection, store_id: str) -> bool:
    """Return whether a store was a former appliance's, whose place this one takes and has not taken there yet."""
    return one(connection, "SELECT 1 FROM facts WHERE name = ?", (INHERITED + store_id,)) is not None


def set_inherited(connection: sqlite3.Connection, inherited: Iterable[str], taken: Iterable[str] = ()) -> None:
    """Note which stores are to be taken over, and which have been."""
    connection.executemany(
        "INSERT INTO facts (name, value) VALUES (?, '') ON CONFLICT DO NOTHING",
        [(INHERITED + one,) for one in inherited],
    )
    connection.executemany("DELETE FROM facts WHERE name = ?", [(INHERITED + one,) for one in taken])


def segments(connection: sqlite3.Connection, store_id: str, agent_id: str) -> list[Stored]:
    """Return the segments of a host that are in the store."""
    rows = many(
        connection,
        f"SELECT {', '.join(_SEGMENT)} FROM offsite_segments WHERE store_id = ? AND agent_id = ? ORDER BY number, key",
        (store_id, agent_id),
    )
    return [msgspec.convert(dict(row), Stored, strict=False) for row in rows]


def put_segments(connection: sqlite3.Connection, store_id: str, agent_id: str, found: Iterable[Stored]) -> None:
    """Keep what is in the store of each of these segments."""
    names = ("store_id", "agent_id", *_SEGMENT)
    rows = [{"store_id": store_id, "agent_id": agent_id, **_values(one_of)} for one_of in found]
    connection.executemany(
        f"INSERT OR REPLACE INTO offsite_segments ({', '.join(names)}) VALUES"
        f" ({', '.join(':' + name for name in names)})",
        rows,
    )


def forget_segments(connection: sqlite3.Connection, store_id: str, agent_id: str, keys: Iterable[str]) -> None:
    """Forget segments that are not in the store any more."""
    connection.executemany(
        "DELETE FROM offsite_segments WHERE store_id = ? AND agent_id = ? AND key = ?",
        [(store_id, agent_id, key) for key in keys],
    )


def need(connection: sqlite3.Connection, store_id: str, agent_id: str, number: int, keys: Iterable[str]) -> None:
    """Note that a generation needs these segments."""
    connection.executemany(
        "UPDATE offsite_segments SET last_generation = ?1,"
        " first_generation = CASE WHEN first_generation = 0 THEN ?1 ELSE first_generation END"
        " WHERE store_id = ?2 AND agent_id = ?3 AND key = ?4",
        [(number, store_id, agent_id, key) for key in keys],
    )


def generations(connection: sqlite3.Connection, store_id: str, agent_id: str) -> list[Generation]:
    """Return the generations of a host's copy, newest first."""
    rows = many(
        connection,
        f"SELECT {', '.join(_GENERATION)} FROM offsite_generations WHERE store_id = ? AND agent_id = ?"
        " ORDER BY number DESC",
        (store_id, agent_id),
    )
    return [msgspec.convert(dict(row), Generation) for row in rows]


def put_generation(connection: sqlite3.Connection, store_id: str, agent_id: str, generation: Generation) -> None:
    """Keep a generation."""
    names = ("store_id", "agent_id", *_GENERATION)
    connection.execute(
        f"INSERT OR REPLACE INTO offsite_generations ({', '.join(names)}) VALUES"
        f" ({', '.join(':' + name for name in names)})",
        {"store_id": store_id, "agent_id": agent_id, **_values(generation)},
    )


def forget_generation(connection: sqlite3.Connection, store_id: str, agent_id: str, number: int) -> None:
    """Forget a generation that is not in the store any more."""
    connection.execute(
        "DELETE FROM offsite_generations WHERE store_id = ? AND agent_id = ? AND number = ?",
        (store_id, agent_id, number),
    )


def held(connection: sqlite3.Connection, tenant_id: str, since: datetime) -> list[sqlite3.Row]:
    """Return per host of a tenant: bytes in its store, segments, and those of both sent since a moment."""
    return many(
        connection,
        "SELECT s.agent_id, a.hostname, sum(s.bytes) AS bytes, count(*) AS segments_count,"
        " sum(CASE WHEN g.made_at >= ?1 THEN s.bytes ELSE 0 END) AS sent_bytes,"
        " sum(CASE WHEN g.made_at >= ?1 THEN 1 ELSE 0 END) AS sent_count"
        " FROM offsite_segments s JOIN agents a ON a.id = s.agent_id LEFT JOIN offsite_generations g"
        " ON g.store_id = s.store_id AND g.agent_id = s.agent_id AND g.number = s.first_generation"
        " WHERE a.tenant_id = ?2 AND s.store_id = (SELECT t.id FROM offsite_stores t"
        " WHERE coalesce(t.tenant_id, ?2) = ?2 ORDER BY t.tenant_id IS NULL LIMIT 1)"
        " GROUP BY s.agent_id ORDER BY a.hostname",
        (clock.to_text(since), tenant_id),
    )


def snapshots(connection: sqlite3.Connection, agent_id: str) -> tuple[KnownSnapshot, ...]:
    """Return a host's snapshots that have an archive, oldest first."""
    rows = many(
        connection,
        "SELECT id, archive, archive_id, started_at, ended_at FROM snapshots WHERE agent_id = ?"
        " AND standing <> 'lost' ORDER BY ended_at, id",
        (agent_id,),
    )
    return tuple(msgspec.convert(dict(row), KnownSnapshot) for row in rows)


def seals(connection: sqlite3.Connection, agent_id: str) -> tuple[SealedKey, ...]:
    """Return a host's key as it is sealed to recovery keys. What the appliance itself opens stays on it."""
    rows = many(
        connection,
        "SELECT public_key, purpose, sealed FROM seals WHERE agent_id = ? AND purpose = 'recovery'",
        (agent_id,),
    )
    return tuple(
        SealedKey(public_key=as_text(row["public_key"]), purpose=row["purpose"], sealed=row["sealed"]) for row in rows
    )


def hostname(connection: sqlite3.Connection, agent_id: str) -> str:
    """Return the name of a host."""
    row = one(connection, "SELECT hostname FROM agents WHERE id = ?", (agent_id,))
    return str(row["hostname"]) if row else ""


def _values(struct: msgspec.Struct) -> dict[str, Any]:
    found = msgspec.structs.asdict(struct)
    return {name: _text(value) for name, value in found.items()}


def _text(value: Any) -> Any:
    return clock.to_text(value) if hasattr(value, "astimezone") else value


def moment_text(moment: datetime | None) -> str | None:
    """Return a moment as it is kept."""
    return clock.to_text(moment) if moment else None
