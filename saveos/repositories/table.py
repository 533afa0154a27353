"""All SQL on repositories."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.database.identifiers import new_id
from saveos.repositories.model import Label, Repository, Seal
from saveos.repositories.sealing import as_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from saveos.config import Settings
    from saveos.protocol import AgentId, TenantId

_REPOSITORY = (
    "SELECT id, tenant_id, agent_id, state, engine_id, sealed_at, stored_bytes, measured_at, upkeep_job, frozen_at,"
    " frozen_why, settled_segment, manifest_bytes, manifest_compression,"
    " generation, retained_at, compacted_at, quarantine_bytes, away_at"
    " FROM repositories"
)


def insert(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Add the repository of a new agent."""
    connection.execute(
        "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at) VALUES (?, ?, ?, 'new', ?)",
        (new_id("rep"), tenant_id, agent_id, clock.to_text(clock.now())),
    )


def of_agent(connection: sqlite3.Connection, agent_id: str) -> Repository | None:
    """Return an agent's repository."""
    row = one(connection, f"{_REPOSITORY} WHERE agent_id = ?", (agent_id,))
    return msgspec.convert(dict(row), Repository) if row else None


def everything(connection: sqlite3.Connection) -> list[Repository]:
    """Return all repositories of the appliance."""
    return [msgspec.convert(dict(row), Repository) for row in many(connection, _REPOSITORY)]


def archive_ids(connection: sqlite3.Connection, agent_id: str) -> tuple[str, ...]:
    """Return Borg's ids of the archives that an agent's snapshots are, hex."""
    rows = many(connection, "SELECT archive_id FROM snapshots WHERE agent_id = ? AND standing <> 'lost'", (agent_id,))
    return tuple(row["archive_id"] for row in rows)


def set_settled(connection: sqlite3.Connection, agent_id: str, segment: int) -> None:
    """Keep up to which segment snapshots need what is there."""
    connection.execute("UPDATE repositories SET settled_segment = ? WHERE agent_id = ?", (segment, agent_id))


def set_manifest(connection: sqlite3.Connection, agent_id: str, size: int, compression: str) -> None:
    """Keep how large the manifest is, and how it is compressed."""
    connection.execute(
        "UPDATE repositories SET manifest_bytes = ?, manifest_compression = ? WHERE agent_id = ?",
        (size, compression, agent_id),
    )


def freeze(connection: sqlite3.Connection, agent_id: str, why: str) -> bool:
    """Let nothing of a repository be removed for good from now on; return whether that is new."""
    cursor = connection.execute(
        "UPDATE repositories SET frozen_at = ?, frozen_why = ? WHERE agent_id = ? AND frozen_at IS NULL",
        (clock.to_text(clock.now()), why, agent_id),
    )
    return cursor.rowcount > 0


def thaw(connection: sqlite3.Connection, agent_id: str) -> bool:
    """Let retention go on; return whether it was frozen."""
    cursor = connection.execute(
        "UPDATE repositories SET frozen_at = NULL, frozen_why = '' WHERE agent_id = ? AND frozen_at IS NOT NULL",
        (agent_id,),
    )
    return cursor.rowcount > 0


def frozen_agents(connection: sqlite3.Connection, tenant_id: str) -> set[str]:
    """Return a tenant's agents whose repository is frozen."""
    rows = many(
        connection, "SELECT agent_id FROM repositories WHERE tenant_id = ? AND frozen_at IS NOT NULL", (tenant_id,)
    )
    return {row["agent_id"] for row in rows}


def begin_upkeep(connection: sqlite3.Connection, agent_id: str, job_id: str) -> bool:
    """Keep hosts from writing while a job works on the repository; return False when another one does."""
    cursor = connection.execute(
        "UPDATE repositories SET upkeep_job = ?1 WHERE agent_id = ?2 AND upkeep_job IN ('', ?1)", (job_id, agent_id)
    )
    return cursor.rowcount > 0


def end_upkeep(connection: sqlite3.Connection, agent_id: str, job_id: str) -> None:
    """Let hosts write again."""
    connection.execute(
        "UPDATE repositories SET upkeep_job = '' WHERE agent_id = ? AND upkeep_job = ?", (agent_id, job_id)
    )


def set_retained(connection: sqlite3.Connection, agent_id: str) -> None:
    """Note that retention has been looked at."""
    connection.execute(
        "UPDATE repositories SET retained_at = ? WHERE agent_id = ?", (clock.to_text(clock.now()), agent_id)
    )


def set_compacted(connection: sqlite3.Connection, agent_id: str, segment: int) -> None:
    """Note a compaction: what snapshots need has moved, up to this segment."""
    connection.execute(
        "UPDATE repositories SET compacted_at = ?, settled_segment = ? WHERE agent_id = ?",
        (clock.to_text(clock.now()), segment, agent_id),
    )


def set_rolled_back(connection: sqlite3.Connection, agent_id: str, segment: int) -> None:
    """Note that the repository is another one now: its host learns of it by the generation."""
    connection.execute(
        "UPDATE repositories SET generation = generation + 1, settled_segment = ?, away_at = NULL WHERE agent_id = ?",
        (segment, agent_id),
    )


def away_count(connection: sqlite3.Connection) -> int:
    """Return how many repositories are only in the offsite copy."""
    row = one(connection, "SELECT count(*) AS count FROM repositories WHERE away_at IS NOT NULL")
    return int(row["count"]) if row else 0


def set_away(connection: sqlite3.Connection, agent_id: str) -> None:
    """Note that a repository is not on this machine: nothing is to be begun in its place."""
    connection.execute(
        "UPDATE repositories SET away_at = ? WHERE agent_id = ? AND away_at IS NULL",
        (clock.to_text(clock.now()), agent_id),
    )


def set_here(connection: sqlite3.Connection, agent_id: str) -> None:
    """Note that a repository is on this machine."""
    connection.execute("UPDATE repositories SET away_at = NULL WHERE agent_id = ? AND away_at IS NOT NULL", (agent_id,))


def labels(connection: sqlite3.Connection) -> list[Label]:
    """Return what is to stand beside each repository that has a sealed key."""
    rows = many(
        connection,
        "SELECT r.tenant_id, t.name AS tenant, r.agent_id, a.hostname, r.engine_id AS repository_id FROM repositories r"
        " JOIN tenants t ON t.id = r.tenant_id JOIN agents a ON a.id = r.agent_id WHERE r.state = 'ready'",
    )
    seals: dict[str, list[Seal]] = {}
    for row in many(
        connection, "SELECT agent_id, public_key, sealed FROM seals WHERE purpose = 'recovery' ORDER BY sealed_at"
    ):
        seal = Seal(public_key=as_text(row["public_key"]), sealed=row["sealed"])
        seals.setdefault(row["agent_id"], []).append(seal)
    return [Label(**dict(row), seals=tuple(seals.get(row["agent_id"], ()))) for row in rows]


def set_quarantine_bytes(connection: sqlite3.Connection, agent_id: str, size: int) -> None:
    """Keep what checkpoints hold alone."""
    connection.execute("UPDATE repositories SET quarantine_bytes = ? WHERE agent_id = ?", (size, agent_id))


def set_ready(connection: sqlite3.Connection, agent_id: AgentId, engine_id: str) -> None:
    """Note that the sealed key is here: from now on the repository is ready."""
    connection.execute(
        "UPDATE repositories SET sealed_at = ?, engine_id = ?, state = 'ready' WHERE agent_id = ?",
        (clock.to_text(clock.now()), engine_id, agent_id),
    )


def set_stored(connection: sqlite3.Connection, sizes: Iterable[tuple[str, int, datetime]]) -> None:
    """Keep what repositories take on disk: (repository id, bytes, when that was measured)."""
    connection.executemany(
        "UPDATE repositories SET stored_bytes = ?, measured_at = ? WHERE id = ?",
        [(size, clock.to_text(moment), repository_id) for repository_id, size, moment in sizes],
    )


def repository_path(settings: Settings, tenant_id: TenantId, agent_id: str) -> Path:
    """Return the folder of an agent's repository."""
    return settings.repositories / tenant_id / agent_id


def stored_bytes(folder: Path) -> int:
    """Return what a repository takes on disk. Its segments are large, so there are few files to ask."""
    found = 0
    for parent, _folders, names in os.walk(folder):  # it passes over folders that have just gone, as Borg's locks do
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += Path(parent, name).lstat().st_size
    return found
