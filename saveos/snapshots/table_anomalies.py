"""All SQL on what the guard knows: backups in numbers, and which snapshots are suspect."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.snapshots.anomaly import Finding, Run

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.protocol import AgentId, SnapshotId, TenantId
    from saveos.snapshots.model import Snapshot

KEPT = 200  # runs of a host; the history that is compared with is shorter


class RunState(StrEnum):
    """What a backup in numbers counts for."""

    CLEAN = "clean"
    SUSPECT = "suspect"  # no part of the history that others are compared with
    MEANT = "meant"  # it was suspect, until a person said that it was meant
    APART = "apart"  # of chosen paths: it is not compared, nor compared with


class GuardRun(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard knows of a snapshot."""

    snapshot_id: str
    at: datetime
    state: RunState
    run: Run
    findings: list[Finding] = []


def _to_run(row: sqlite3.Row) -> GuardRun:
    values = dict(row)
    values["run"] = msgspec.json.decode(values.pop("run_json"))
    values["findings"] = msgspec.json.decode(values.pop("findings_json"))
    return msgspec.convert(values, GuardRun)


def insert(
    connection: sqlite3.Connection, snapshot: Snapshot, state: RunState, run: Run, findings: Sequence[Finding]
) -> None:
    """Keep a backup in numbers, and let the host's oldest ones go."""
    connection.execute(
        "INSERT INTO guard_runs (snapshot_id, tenant_id, agent_id, at, state, run_json, findings_json)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            snapshot.id,
            snapshot.tenant_id,
            snapshot.agent_id,
            clock.to_text(snapshot.ended_at),
            state.value,
            msgspec.json.encode(run).decode(),
            msgspec.json.encode(list(findings)).decode(),
        ),
    )
    connection.execute(
        "DELETE FROM guard_runs WHERE agent_id = ?1 AND at < (SELECT at FROM guard_runs WHERE agent_id = ?1"
        " ORDER BY at DESC LIMIT 1 OFFSET ?2)",
        (snapshot.agent_id, KEPT),
    )


def history(connection: sqlite3.Connection, agent_id: AgentId, limit: int) -> list[Run]:
    """Return a host's backups that were as ever, or meant, newest first."""
    rows = many(
        connection,
        "SELECT run_json FROM guard_runs WHERE agent_id = ? AND state IN ('clean', 'meant') ORDER BY at DESC LIMIT ?",
        (agent_id, limit),
    )
    return [msgspec.json.decode(row["run_json"], type=Run) for row in rows]


def of_agent(connection: sqlite3.Connection, agent_id: str, limit: int) -> list[GuardRun]:
    """Return a host's backups in numbers, newest first."""
    rows = many(connection, "SELECT * FROM guard_runs WHERE agent_id = ? ORDER BY at DESC LIMIT ?", (agent_id, limit))
    return [_to_run(row) for row in rows]


def of_snapshot(connection: sqlite3.Connection, snapshot_id: str, tenant_id: TenantId) -> GuardRun | None:
    """Return what is known of a tenant's snapshot."""
    row = one(connection, "SELECT * FROM guard_runs WHERE snapshot_id = ? AND tenant_id = ?", (snapshot_id, tenant_id))
    return _to_run(row) if row else None


def set_suspect(connection: sqlite3.Connection, snapshot_id: str) -> None:
    """Call a snapshot suspect."""
    connection.execute("UPDATE snapshots SET standing = 'suspect' WHERE id = ? AND standing = 'good'", (snapshot_id,))


def clean_ones(connection: sqlite3.Connection, snapshot: Snapshot, limit: int) -> list[SnapshotId]:
    """Return the host's good snapshots but this one, newest first; one of chosen paths is none to go back to."""
    rows = many(
        connection,
        "SELECT s.id FROM snapshots s LEFT JOIN guard_runs g ON g.snapshot_id = s.id WHERE s.agent_id = ?"
        " AND s.id <> ? AND s.standing = 'good' AND coalesce(g.state, '') <> 'apart'"
        " ORDER BY s.ended_at DESC, s.id DESC LIMIT ?",
        (snapshot.agent_id, snapshot.id, limit),
    )
    return [row["id"] for row in rows]


def set_meant(connection: sqlite3.Connection, agent_id: AgentId) -> int:
    """Trust a host's suspect snapshots again, and let their numbers join the history; return how many there were."""
    connection.execute("UPDATE guard_runs SET state = 'meant' WHERE agent_id = ? AND state = 'suspect'", (agent_id,))
    connection.execute(
        "UPDATE snapshots SET lost_from = 'good' WHERE agent_id = ? AND lost_from = 'suspect'", (agent_id,)
    )
    cursor = connection.execute(
        "UPDATE snapshots SET standing = 'good' WHERE agent_id = ? AND standing = 'suspect'", (agent_id,)
    )
    return cursor.rowcount
