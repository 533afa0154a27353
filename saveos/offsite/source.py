"""What a copy is made of: a repository as it was at its last commit, and what its manifest is to tell."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import RepositoryLocked, RepositoryMissing
from saveos.jobs import table as jobs
from saveos.offsite import table
from saveos.offsite.layout import Manifest
from saveos.protocol import Kind
from saveos.repositories import evidence, quarantine
from saveos.repositories import table as repositories_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from datetime import datetime
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.repositories.model import Repository


@contextlib.contextmanager
def taken(database: Database, settings: Settings, repository: Repository) -> Iterator[tuple[Path, Manifest]]:
    """Give the repository as it was at its last commit, as links that nobody changes, and what is to be told of it.

    Hosts may write meanwhile. Only what the appliance itself does to a repository takes segments away: it must not
    have begun before all links are there. Raises RepositoryMissing, RepositoryLocked, StorageError.
    """
    folder = repositories_table.repository_path(settings, repository.tenant_id, repository.agent_id)
    recorded = {known.id for known in table.snapshots(database.read, repository.agent_id)}  # before the commit
    moment = evidence.last_commit(folder)
    if moment < 0:
        raise RepositoryMissing("There is no repository that could be copied.")
    place = settings.offsite / repository.tenant_id / repository.agent_id
    shutil.rmtree(place, ignore_errors=True)  # of a copy that was killed
    source, made_at = place / "source", clock.now()
    try:
        quarantine.make(folder, source, moment)
        _require_rest(database, repository)
        yield source, _manifest(database, repository, source, moment, made_at, recorded)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _require_rest(database: Database, before: Repository) -> None:
    now = repositories_table.of_agent(database.read, before.agent_id)
    is_same = now is not None and (now.compacted_at, now.generation) == (before.compacted_at, before.generation)
    if not is_same or before.upkeep_job or (now and now.upkeep_job):
        raise RepositoryLocked("The appliance works on this repository now; this is tried again.")


def _manifest(
    database: Database,
    repository: Repository,
    source: Path,
    moment: int,
    made_at: datetime,
    recorded: AbstractSet[str],
) -> Manifest:
    """Tell what was taken. Of the snapshots recorded before its commit, it has those that nobody deletes by now."""
    read, agent_id = database.read, repository.agent_id
    kept = tuple(
        known
        for known in table.snapshots(read, agent_id)
        if known.id in recorded and not jobs.is_ordered(read, agent_id, Kind.PRUNE, known.archive_id)
    )
    return Manifest(
        number=0,
        made_at=made_at,
        tenant_id=repository.tenant_id,
        agent_id=agent_id,
        hostname=table.hostname(read, agent_id),
        engine_id=repository.engine_id,
        moment=moment,
        life=repository.generation,
        config=_text(source / "config"),
        readme=_text(source / "README"),
        nonce=_text(source / "nonce").strip(),
        seals=table.seals(read, agent_id),
        snapshots=kept,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
