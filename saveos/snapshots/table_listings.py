"""All SQL on listings: which snapshots the catalogues hold, and which hosts are to send some."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.protocol import AgentId, SnapshotId, TenantId

if TYPE_CHECKING:
    import sqlite3


class Want(IntEnum):
    """Which listings a host is to send."""

    NOTHING = 0
    NEWEST = 1  # of the snapshots after the last one that came; of the newest one when none did
    ALL = 2


class ListingState(StrEnum):
    """How far a listing is."""

    WAITING = "waiting"  # it is here, to be brought into the catalogue
    INDEXED = "indexed"
    SEALED = "sealed"  # it is here, encrypted
    FAILED = "failed"  # it is of no use


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a snapshot's listing."""

    snapshot_id: SnapshotId
    tenant_id: TenantId
    agent_id: AgentId
    archive: str
    started_at: datetime
    state: ListingState
    base: str
    entries_count: int
    message: str
    received_at: datetime


_LISTING = "SELECT l.*, s.archive, s.started_at FROM listings l JOIN snapshots s ON s.id = l.snapshot_id"


def insert(connection: sqlite3.Connection, values: dict[str, str]) -> None:
    """Add a listing: snapshot_id, tenant_id, agent_id, state, base, message."""
    connection.execute(
        "INSERT INTO listings (snapshot_id, tenant_id, agent_id, state, base, message, received_at)"
        " VALUES (:snapshot_id, :tenant_id, :agent_id, :state, :base, :message, :received_at)",
        {**values, "received_at": clock.to_text(clock.now())},
    )


def get(connection: sqlite3.Connection, snapshot_id: str) -> Listing | None:
    """Return a snapshot's listing."""
    return _listing(one(connection, f"{_LISTING} WHERE l.snapshot_id = ?", (snapshot_id,)))


def head(connection: sqlite3.Connection, agent_id: str) -> Listing | None:
    """Return an agent's newest listing that is of use: the next difference builds on it."""
    return _listing(
        one(
            connection,
            f"{_LISTING} WHERE l.agent_id = ? AND l.state <> 'failed' ORDER BY l.snapshot_id DESC LIMIT 1",
            (agent_id,),
        )
    )


def waiting(connection: sqlite3.Connection, last_agent_id: str) -> Listing | None:
    """Return the listing to be indexed next: the oldest, of another host than the last one if any other waits."""
    statement = f"{_LISTING} WHERE l.state = 'waiting' ORDER BY l.agent_id = ?, l.snapshot_id LIMIT 1"
    return _listing(one(connection, statement, (last_agent_id,)))


def sealed(connection: sqlite3.Connection, agent_id: str) -> list[Listing]:
    """Return an agent's sealed listings, oldest first."""
    rows = many(
        connection, f"{_LISTING} WHERE l.agent_id = ? AND l.state = 'sealed' ORDER BY l.snapshot_id", (agent_id,)
    )
    return [msgspec.convert(dict(row), Listing) for row in rows]


def counts(connection: sqlite3.Connection, agent_id: str) -> dict[str, int]:
    """Return how many listings of an agent are in which state, and under "" how many snapshots have none."""
    rows = many(
        connection,
        "SELECT coalesce(l.state, '') AS state, count(*) AS count FROM snapshots s"
        " LEFT JOIN listings l ON l.snapshot_id = s.id WHERE s.agent_id = ? GROUP BY 1",
        (agent_id,),
    )
    return {row["state"]: row["count"] for row in rows}


def set_ended(
    connection: sqlite3.Connection, snapshot_id: str, state: ListingState, *, entries_count: int = 0, message: str = ""
) -> None:
    """Keep how the indexing of a listing ended."""
    connection.execute(
        "UPDATE listings SET state = ?, entries_count = ?, message = ?, indexed_at = ? WHERE snapshot_id = ?",
        (state.value, entries_count, message, clock.to_text(clock.now()), snapshot_id),
    )


def lacking(connection: sqlite3.Connection, agent_id: str, want: Want) -> list[str]:
    """Return the archives whose listings an agent is to send, oldest first; none that was of no use already.

    They are those after the last one that is here, which for ALL has to be of use.
    """
    rows = many(
        connection,
        "SELECT s.archive FROM snapshots s LEFT JOIN listings known ON known.snapshot_id = s.id WHERE s.agent_id = ?1"
        " AND known.snapshot_id IS NULL AND s.id > coalesce((SELECT max(l.snapshot_id) FROM listings l"
        " WHERE l.agent_id = ?1 AND (NOT ?2 OR l.state <> 'failed')), '') ORDER BY s.id LIMIT 10000",
        (agent_id, want is Want.ALL),
    )
    archives = [row["archive"] for row in rows]
    if want is Want.NEWEST and not _has_any(connection, agent_id):
        return archives[-1:]
    return archives if want is not Want.NOTHING else []


def wanted(connection: sqlite3.Connection, agent_id: str) -> Want:
    """Return which listings an agent is to send."""
    row = one(connection, "SELECT listings_wanted FROM agents WHERE id = ?", (agent_id,))
    return Want(row["listings_wanted"]) if row else Want.NOTHING


def want(connection: sqlite3.Connection, agent_id: str, what: Want) -> None:
    """Ask an agent for listings; who is asked for all is not asked for less."""
    connection.execute(
        "UPDATE agents SET listings_wanted = ? WHERE id = ? AND (? = 0 OR listings_wanted < ?)",
        (what.value, agent_id, what.value, what.value),
    )


def forget_all(connection: sqlite3.Connection, agent_id: str, *, but_failed: bool = False) -> None:
    """Forget an agent's listings."""
    connection.execute(
        "DELETE FROM listings WHERE agent_id = ? AND NOT (? AND state = 'failed')", (agent_id, but_failed)
    )


def forget_waiting(connection: sqlite3.Connection, agent_id: str) -> int:
    """Forget an agent's listings that are to be indexed; return how many."""
    return connection.execute("DELETE FROM listings WHERE agent_id = ? AND state = 'waiting'", (agent_id,)).rowcount


def agents_with_any(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (tenant id, agent id) of each host with a listing that is of use."""
    rows = many(connection, "SELECT DISTINCT tenant_id, agent_id FROM listings WHERE state <> 'failed'")
    return [(row["tenant_id"], row["agent_id"]) for row in rows]


def known(connection: sqlite3.Connection, agent_id: str) -> set[str]:
    """Return the snapshots of an agent of which there is a listing, whatever its state."""
    rows = many(connection, "SELECT snapshot_id FROM listings WHERE agent_id = ?", (agent_id,))
    return {row["snapshot_id"] for row in rows}


def count_useful(connection: sqlite3.Connection, agent_id: str) -> int:
    """Return how many listings of an agent are of use."""
    row = one(connection, "SELECT count(*) AS n FROM listings WHERE agent_id = ? AND state <> 'failed'", (agent_id,))
    return int(row["n"]) if row else 0


def has_indexed(connection: sqlite3.Connection, agent_id: str) -> bool:
    """Return whether any listing of an agent is in its catalogue."""
    statement = "SELECT 1 FROM listings WHERE agent_id = ? AND state = 'indexed' LIMIT 1"
    return one(connection, statement, (agent_id,)) is not None


def is_indexed(connection: sqlite3.Connection, agent_id: str, archive: str) -> bool:
    """Return whether the listing of an agent's archive is in its catalogue, as far as is known."""
    statement = (
        "SELECT 1 FROM listings l JOIN snapshots s ON s.id = l.snapshot_id"
        " WHERE l.agent_id = ? AND l.state = 'indexed' AND s.archive = ?"
    )
    return one(connection, statement, (agent_id, archive)) is not None


def tenants_with_sealed_names(connection: sqlite3.Connection) -> list[TenantId]:
    """Return the tenants of whose files the appliance reads no names."""
    return [row["id"] for row in many(connection, "SELECT id FROM tenants WHERE names = 'sealed'")]


def hosts(connection: sqlite3.Connection, tenant_id: str) -> list[tuple[AgentId, str, bool]]:
    """Return (agent id, hostname, whether any snapshot is indexed) of a tenant's hosts with snapshots, by hostname."""
    rows = many(
        connection,
        "SELECT a.id, a.hostname, EXISTS (SELECT 1 FROM listings l WHERE l.agent_id = a.id AND l.state = 'indexed')"
        " AS is_indexed FROM agents a WHERE a.tenant_id = ? AND EXISTS (SELECT 1 FROM snapshots s WHERE s.agent_id ="
        " a.id) ORDER BY a.hostname, a.id",
        (tenant_id,),
    )
    return [(row["id"], row["hostname"], bool(row["is_indexed"])) for row in rows]


def names_of_tenant(connection: sqlite3.Connection, tenant_id: str) -> str:
    """Return whether the appliance may read names: "readable" or "sealed"."""
    row = one(connection, "SELECT names FROM tenants WHERE id = ?", (tenant_id,))
    return str(row["names"]) if row else "readable"


def set_names_of_tenant(connection: sqlite3.Connection, tenant_id: str, names: str) -> None:
    """Keep whether the appliance may read names."""
    connection.execute("UPDATE tenants SET names = ? WHERE id = ?", (names, tenant_id))


def _has_any(connection: sqlite3.Connection, agent_id: str) -> bool:
    return one(connection, "SELECT 1 FROM listings WHERE agent_id = ? LIMIT 1", (agent_id,)) is not None


def _listing(row: sqlite3.Row | None) -> Listing | None:
    return msgspec.convert(dict(row), Listing) if row else None
