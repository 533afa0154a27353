"""What a repository takes on disk, as limits count it."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.repositories import evidence, table

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.repositories.model import Repository

LEEWAY = timedelta(seconds=2)  # of a file system's clock


def committed_bytes(folder: Path) -> int:
    """Return what a repository takes without what was never committed: the next session clears that away."""
    data, last = folder / "data", evidence.last_commit(folder)
    left = 0
    for path in data.glob("[0-9]*/[0-9]*"):
        if path.name.isdigit() and int(path.name) > last:
            with contextlib.suppress(FileNotFoundError):
                left += path.lstat().st_size
    return max(0, table.stored_bytes(folder) - left)


def has_unfinished(folder: Path) -> bool:
    """Return whether a session that was cut off has left anything behind the last commit."""
    data, last = folder / "data", evidence.last_commit(folder)
    if last < 0:
        return False  # it is not made yet
    numbers = (int(path.name) for path in data.glob("[0-9]*/[0-9]*") if path.name.isdigit())
    return any(number > last for number in numbers)


def measure(database: Database, settings: Settings, repository: Repository, *, is_forced: bool) -> None:
    """Measure a repository that nobody writes to, if anybody has been there since; `is_forced`: in any case."""
    folder = table.repository_path(settings, repository.tenant_id, repository.agent_id)
    try:
        changed_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    except FileNotFoundError:
        return
    if is_forced or repository.measured_at is None or changed_at + LEEWAY >= repository.measured_at:
        found = (repository.id, committed_bytes(folder), clock.now())
        database.write(lambda connection: table.set_stored(connection, [found]))
