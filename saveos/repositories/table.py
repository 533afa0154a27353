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
from saveos.repositories.model import Repository

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from saveos.config import Settings
    from saveos.protocol import AgentId, TenantId

_REPOSITORY = "SELECT id, tenant_id, agent_id, state, engine_id, sealed_at, stored_bytes, measured_at FROM repositories"


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
