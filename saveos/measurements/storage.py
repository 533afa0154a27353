"""What each repository takes on disk: measured at most hourly, only where something has changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.repositories import quotas
from saveos.repositories import table as repositories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.repositories.model import Repository

BATCH = 100  # sizes that share one write
LEEWAY = timedelta(seconds=2)  # of a file system's clock


def measure(database: Database, settings: Settings) -> int:
    """Measure the repositories that have changed since they were measured last; return how many; judge limits.

    Borg makes and removes its lock, index and hints in the repository's folder itself, so one look at that folder's
    time tells whether anybody has been there.
    """
    found: list[tuple[str, int, datetime]] = []
    count = 0
    for repository in _changed(database, settings):
        moment = clock.now()
        path = repositories.repository_path(settings, repository.tenant_id, repository.agent_id)
        found.append((repository.id, repositories.stored_bytes(path), moment))
        count += 1
        if len(found) >= BATCH:
            _keep(database, found)
            found = []
    if found:
        _keep(database, found)
    database.write(quotas.judge_all)
    return count


def _keep(database: Database, found: list[tuple[str, int, datetime]]) -> None:
    sizes = list(found)
    database.write(lambda connection: repositories.set_stored(connection, sizes))


def _changed(database: Database, settings: Settings) -> Iterator[Repository]:
    for repository in repositories.everything(database.read):
        path = repositories.repository_path(settings, repository.tenant_id, repository.agent_id)
        try:
            changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue  # it has not been made yet
        if repository.measured_at is None or changed_at + LEEWAY >= repository.measured_at:
            yield repository
