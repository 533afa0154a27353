"""All SQL on what protects snapshots from their host: what it wrote, and which of them are removed or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.jobs import table as jobs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from saveos.jobs.model import Job
    from saveos.protocol import AgentId
    from saveos.repositories.evidence import Evidence

BORGS_OWN = "lz4"


def add_write(connection: sqlite3.Connection, agent_id: AgentId, name: str, evidence: Evidence) -> bool:
    """Keep evidence; return False when it is known by its name already."""
    cursor = connection.execute(
        "INSERT INTO writes (agent_id, name, job_id, at, put_bytes, facts_json) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (
            agent_id,
            name,
            evidence.job_id,
            clock.to_text(evidence.at),
            evidence.put_bytes,
            msgspec.json.encode(evidence).decode(),
        ),
    )
    return cursor.rowcount == 1


def is_new_archive(connection: sqlite3.Connection, agent_id: AgentId, job_id: str, archive_id: str) -> bool:
    """Return whether a job wrote this archive last before one of its commits, and no snapshot ever was of it."""
    written = one(
        connection,
        "SELECT 1 FROM writes WHERE agent_id = ? AND job_id = ? AND json_extract(facts_json, '$.newest_id') = ?",
        (agent_id, job_id, archive_id),
    )
    known = one(
        connection,
        "SELECT 1 FROM snapshots WHERE agent_id = ?1 AND archive_id = ?2 UNION ALL SELECT 1 FROM removed_snapshots"
        " WHERE agent_id = ?1 AND json_extract(row_json, '$.archive_id') = ?2",
        (agent_id, archive_id),
    )
    return written is not None and known is None


def last_manifest(connection: sqlite3.Connection, agent_id: AgentId) -> tuple[int, str]:
    """Return the size of the manifest that was written last and how it is compressed; 0 when none is known."""
    row = one(
        connection,
        "SELECT job_id, json_extract(facts_json, '$.manifest_bytes') AS size FROM writes WHERE agent_id = ?"
        " AND json_extract(facts_json, '$.manifest_bytes') > 0 ORDER BY id DESC LIMIT 1",
        (agent_id,),
    )
    return (int(row["size"]), compression_of(jobs.get(connection, row["job_id"]))) if row else (0, "")


def compression_of(job: Job | None) -> str:
    """Return how a job compresses the manifest; what no backup writes is compressed as Borg does it by itself."""
    return str(job.order.get("backup", {}).get("compression", BORGS_OWN)) if job else BORGS_OWN


def bytes_of_jobs(connection: sqlite3.Connection, agent_id: AgentId, limit: int) -> dict[str, int]:
    """Return what the agent's newest jobs added, by their ids, oldest first."""
    rows = many(
        connection,
        "SELECT job_id, sum(put_bytes) AS added FROM writes WHERE agent_id = ? AND job_id <> '' GROUP BY job_id"
        " ORDER BY max(id) DESC LIMIT ?",
        (agent_id, limit),
    )
    return {row["job_id"]: row["added"] for row in reversed(rows)}


def take_back_writes(connection: sqlite3.Connection, agent_id: AgentId, since: str) -> None:
    """Forget what an agent wrote since a moment (text): it was rolled back."""
    connection.execute("DELETE FROM writes WHERE agent_id = ? AND at >= ?", (agent_id, since))


def forget_writes(connection: sqlite3.Connection, agent_id: AgentId, kept: int) -> None:
    """Forget an agent's evidence but for the newest `kept`, and the first of each of as many jobs: see `found_by`."""
    connection.execute(
        "DELETE FROM writes WHERE agent_id = ?1 AND id NOT IN (SELECT id FROM writes WHERE agent_id = ?1 ORDER BY id"
        " DESC LIMIT ?2) AND id NOT IN (SELECT min(id) FROM writes WHERE agent_id = ?1 GROUP BY job_id ORDER BY min(id)"
        " DESC LIMIT ?2)",
        (agent_id, kept),
    )


def snapshots_count(connection: sqlite3.Connection, agent_id: AgentId) -> int:
    """Return how many snapshots of an agent have an archive."""
    row = one(
        connection, "SELECT count(*) AS count FROM snapshots WHERE agent_id = ? AND standing <> 'lost'", (agent_id,)
    )
    return int(row["count"]) if row else 0


def held_archives(connection: sqlite3.Connection, agent_id: AgentId) -> set[str]:
    """Return the archive ids of an agent's snapshots that a hold keeps now."""
    rows = many(
        connection,
        "SELECT s.archive_id FROM holds h JOIN snapshots s ON s.id = h.snapshot_id WHERE h.agent_id = ?"
        " AND h.released_at IS NULL AND (h.until IS NULL OR h.until > ?)",
        (agent_id, clock.to_text(clock.now())),
    )
    return {row["archive_id"] for row in rows}


def held_since(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> int:
    """Return how many snapshots of after a moment (text) a hold keeps now."""
    row = one(
        connection,
        "SELECT count(DISTINCT s.id) AS count FROM holds h JOIN snapshots s ON s.id = h.snapshot_id"
        " WHERE h.agent_id = ?1 AND h.released_at IS NULL AND (h.until IS NULL OR h.until > ?2) AND s.ended_at > ?3",
        (agent_id, clock.to_text(clock.now()), moment),
    )
    return int(row["count"]) if row else 0


def set_lost(connection: sqlite3.Connection, agent_id: AgentId, archive_ids: Sequence[str], at: datetime) -> int:
    """Mark the snapshots of these archives as lost since a moment; return how many were not."""
    cursor = connection.execute(
        "UPDATE snapshots SET lost_from = standing, lost_at = ?, standing = 'lost' WHERE agent_id = ?"
        " AND standing <> 'lost' AND archive_id IN (SELECT value FROM json_each(?))",
        (clock.to_text(at), agent_id, msgspec.json.encode(archive_ids).decode()),
    )
    return cursor.rowcount


def remove(
    connection: sqlite3.Connection, agent_id: AgentId, archive_ids: Sequence[str], why: str, job_id: str
) -> list[str]:
    """Move the snapshots of these archives away; return their ids. Their rows are kept for a roll-back."""
    rows = many(
        connection,
        "SELECT * FROM snapshots WHERE agent_id = ? AND archive_id IN (SELECT value FROM json_each(?))",
        (agent_id, msgspec.json.encode(archive_ids).decode()),
    )
    now = clock.to_text(clock.now())
    for row in rows:
        values = dict(row)
        connection.execute(
            "INSERT INTO removed_snapshots (snapshot_id, tenant_id, agent_id, removed_at, why, job_id, row_json)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (row["id"], row["tenant_id"], agent_id, now, why, job_id, msgspec.json.encode(values).decode()),
        )
        connection.execute("DELETE FROM snapshots WHERE id = ?", (row["id"],))
    return [row["id"] for row in rows]


def removed_by(connection: sqlite3.Connection, agent_id: AgentId, job_id: str) -> list[str]:
    """Return the ids of the snapshots that a job removed."""
    rows = many(
        connection, "SELECT snapshot_id FROM removed_snapshots WHERE agent_id = ? AND job_id = ?", (agent_id, job_id)
    )
    return [row["snapshot_id"] for row in rows]


def found_by(connection: sqlite3.Connection, agent_id: AgentId, job_id: str) -> tuple[int, str] | None:
    """Return the commit that a job found, and until when (text) that was the last one; None: it committed nothing."""
    row = one(
        connection,
        "SELECT json_extract(facts_json, '$.base') AS base, at FROM writes WHERE agent_id = ? AND job_id = ?"
        " ORDER BY id LIMIT 1",
        (agent_id, job_id),
    )
    return (int(row["base"]), row["at"]) if row else None


def still_there(connection: sqlite3.Connection, agent_id: AgentId, archive_ids: Sequence[str]) -> set[str]:
    """Return those of some archives that are snapshots still."""
    rows = many(
        connection,
        "SELECT archive_id FROM snapshots WHERE agent_id = ? AND standing <> 'lost'"
        " AND archive_id IN (SELECT value FROM json_each(?))",
        (agent_id, msgspec.json.encode(archive_ids).decode()),
    )
    return {row["archive_id"] for row in rows}


def due_for_retention(connection: sqlite3.Connection, before: datetime) -> list[AgentId]:
    """Return the ready agents whose retention was looked at before a moment or never, and nothing keeps from it."""
    rows = many(
        connection,
        "SELECT r.agent_id FROM repositories r JOIN agents a ON a.id = r.agent_id WHERE a.state = 'ready'"
        " AND r.frozen_at IS NULL AND r.away_at IS NULL AND r.upkeep_job = ''"
        " AND (r.retained_at IS NULL OR r.retained_at < ?)",
        (clock.to_text(before),),
    )
    return [row["agent_id"] for row in rows]


def bring_back(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> int:
    """Bring back the snapshots of up to a moment (text) that were removed since; what was lost by then still is."""
    rows = many(
        connection,
        "SELECT snapshot_id, row_json FROM removed_snapshots WHERE agent_id = ? AND removed_at >= ?",
        (agent_id, moment),
    )
    count = 0
    for row in rows:
        values: dict[str, Any] = msgspec.json.decode(row["row_json"])
        if values["ended_at"] > moment:
            continue
        names = ", ".join(values)
        cursor = connection.execute(
            f"INSERT INTO snapshots ({names}) VALUES ({', '.join(':' + name for name in values)})"
            " ON CONFLICT DO NOTHING",
            values,
        )
        if cursor.rowcount == 1:
            connection.execute("DELETE FROM removed_snapshots WHERE snapshot_id = ?", (row["snapshot_id"],))
            count += 1
    return count


def newer_archives(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> list[str]:
    """Return the archive ids of the snapshots that were recorded after a moment (text)."""
    rows = many(connection, "SELECT archive_id FROM snapshots WHERE agent_id = ? AND ended_at > ?", (agent_id, moment))
    return [row["archive_id"] for row in rows]


def set_found(connection: sqlite3.Connection, agent_id: AgentId, moment: str) -> int:
    """Let the snapshots of up to a moment (text) that were lost since stand as they did; return how many."""
    cursor = connection.execute(
        "UPDATE snapshots SET standing = lost_from, lost_at = NULL WHERE agent_id = ?1 AND standing = 'lost'"
        " AND ended_at <= ?2 AND lost_at >= ?2",
        (agent_id, moment),
    )
    return cursor.rowcount


def rolled_back_at(connection: sqlite3.Connection, agent_id: AgentId) -> str:
    """Return when (text) an agent's repository was rolled back last; "" for never."""
    row = one(
        connection,
        "SELECT max(ended_at) AS at FROM jobs WHERE agent_id = ? AND kind = 'roll-back' AND state = 'done'",
        (agent_id,),
    )
    return row["at"] or "" if row else ""


def forget_removed(connection: sqlite3.Connection) -> None:
    """Forget the snapshots that were removed before every checkpoint: none holds them any more."""
    connection.execute(
        "DELETE FROM removed_snapshots WHERE removed_at < coalesce((SELECT min(c.made_at) FROM checkpoints c"
        " WHERE c.agent_id = removed_snapshots.agent_id), ?)",
        (clock.to_text(clock.now()),),
    )
