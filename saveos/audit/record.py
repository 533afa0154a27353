"""Who did what: each entry carries the hash of the one before it, so that a removed or changed line shows."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.audit import table

if TYPE_CHECKING:
    import sqlite3


REFUSALS_PER_MINUTE = 60
LISTED_PATHS = 100


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log."""

    at: str
    actor: str
    action: str
    target: str
    detail: dict[str, object]


def record(
    connection: sqlite3.Connection,
    *,
    tenant_id: str | None,
    actor: str,
    action: str,
    target: str = "",
    **detail: object,
) -> None:
    """Append an entry inside the caller's transaction. `detail` must hold no secret."""
    previous = table.last_hash(connection)
    at = clock.to_text(clock.now())
    detail_json = msgspec.json.encode(detail, order="sorted").decode()
    fields = (tenant_id, at, actor, action, target, detail_json, previous)
    digest = hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
    table.insert(connection, (*fields, digest))


def listed(paths: list[str]) -> dict[str, object]:
    """Return paths as details of an entry: of very many the first ones, how many there are, and what proves the others.

    Whoever has a list can show that it is this one: SHA-256 of its paths in UTF-8, in their order, a zero byte between.
    """
    if len(paths) <= LISTED_PATHS:
        return {"paths": paths}
    digest = hashlib.sha256("\0".join(paths).encode()).hexdigest()
    return {"paths": paths[:LISTED_PATHS], "paths_count": len(paths), "paths_sha256": digest}


def record_refusal(connection: sqlite3.Connection, *, action: str, code: str, address: str, target: str) -> None:
    """Append that somebody unknown was turned away: 60 of an action a minute at most, as no flood may fill the disk."""
    sixtieth = table.nth_newest(connection, action, REFUSALS_PER_MINUTE)
    if sixtieth is None or clock.from_text(sixtieth) < clock.now() - timedelta(minutes=1):
        record(connection, tenant_id=None, actor=f"address:{address}", action=action, target=target, code=code)


def newest(connection: sqlite3.Connection, tenant_id: str, limit: int = 100) -> list[Entry]:
    """Return a tenant's newest entries, newest first."""
    return [
        Entry(
            at=row["at"],
            actor=row["actor"],
            action=row["action"],
            target=row["target"],
            detail=msgspec.json.decode(row["detail_json"]),
        )
        for row in table.newest(connection, tenant_id, limit)
    ]
