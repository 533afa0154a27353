"""What a host did to its repository is judged here, in the run in which it did it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.jobs import table as jobs
from saveos.protocol import AgentId, JobId, Kind, PruneOrder
from saveos.repositories import evidence as kept
from saveos.repositories import quotas
from saveos.repositories import table as repositories
from saveos.snapshots import suspicion, table_protection
from saveos.snapshots.suspicion import Known, Ordered, Why

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.repositories.evidence import Evidence
    from saveos.repositories.model import Repository

log = logging.getLogger("saveos.witness")
KNOWN_JOBS = 20
WRITES_KEPT = 500
BY_ORDER = "retention"


def judge(database: Database, settings: Settings, agent_id: AgentId) -> None:
    """Judge what a host's sessions left, once none of them writes any more. Twice changes nothing.

    Until then nobody may write: evidence of a commit that never happened would be taken for that of the next one.
    """
    paths = list((settings.evidence / agent_id).glob("[0-9]*.json"))  # what comes later is of a later session
    if paths:
        done = database.write(lambda connection: judge_in(connection, settings, agent_id))
        for path in paths:
            path.unlink(missing_ok=True)  # what was not judged speaks of a commit that never happened
        # Not before: what is forgotten and still lies there would be judged again, as if it were new.
        database.write(lambda connection: table_protection.forget_writes(connection, agent_id, WRITES_KEPT))
        log.info("%d commits of %s are judged.", done, agent_id)


def judge_in(connection: sqlite3.Connection, settings: Settings, agent_id: AgentId) -> int:
    """Judge the commits that have happened within the caller's transaction; return how many there were."""
    agent, repository = agents.get(connection, agent_id), repositories.of_agent(connection, agent_id)
    if agent is None or repository is None:
        return 0
    folder = repositories.repository_path(settings, agent.tenant_id, agent_id)
    last, count, court = kept.last_commit(folder), 0, _Court(connection, repository)
    for path, evidence in kept.read_all(settings.evidence / agent_id):
        if evidence.base < last or evidence.refused_bytes:
            count += 1
            if table_protection.add_write(connection, agent_id, path.name, evidence):
                court.judge(evidence)
    return count


def sweep(database: Database, settings: Settings) -> None:
    """Judge what a former life of the appliance left."""
    if settings.evidence.is_dir():
        for folder in settings.evidence.iterdir():
            judge(database, settings, AgentId(folder.name))


def settle(connection: sqlite3.Connection, settings: Settings, job: Job) -> None:
    """Let what a host's job left in its repository belong to snapshots, and look whether the manifest names them."""
    repository = repositories.of_agent(connection, job.agent_id) if job.agent_id else None
    if repository is None:
        return
    agent_id = repository.agent_id
    folder = repositories.repository_path(settings, job.tenant_id, agent_id)
    size, compression = table_protection.last_manifest(connection, agent_id)
    is_same = compression == repository.manifest_compression
    if job.kind is Kind.BACKUP and is_same and suspicion.lacks_an_entry(repository.manifest_bytes, size):
        numbers = {Why.MANIFEST_SHRUNK.value: repository.manifest_bytes - size}
        sound_the_alarm(connection, repository, *found_by(connection, repository, job), numbers)
    repositories.set_settled(connection, agent_id, kept.last_commit(folder))
    if size:
        repositories.set_manifest(connection, agent_id, size, compression)


def is_true(connection: sqlite3.Connection, job: Job, archive_id: str) -> bool:
    """Return whether a backup made the archive that it reports; if not, that is told. Judge what it wrote before."""
    repository = repositories.of_agent(connection, job.agent_id) if job.agent_id else None
    if repository is None or table_protection.is_new_archive(connection, repository.agent_id, job.id, archive_id):
        return repository is not None
    sound_the_alarm(connection, repository, *found_by(connection, repository, job), {Why.UNTRUE.value: 1})
    return False


def found_by(connection: sqlite3.Connection, repository: Repository, job: Job) -> tuple[int, datetime]:
    """Return the commit that a host's job found, and until when that was the last one."""
    found = table_protection.found_by(connection, repository.agent_id, job.id)
    return (found[0], clock.from_text(found[1])) if found else (repository.settled_segment, clock.now())


class _Court:
    """Judges the commits of one host, one after the other; what they are judged by is looked up once for all."""

    def __init__(self, connection: sqlite3.Connection, repository: Repository) -> None:
        self._connection, self._repository = connection, repository
        self._held = table_protection.held_archives(connection, repository.agent_id)
        self._snapshots_count = table_protection.snapshots_count(connection, repository.agent_id)
        self._compression = table_protection.last_manifest(connection, repository.agent_id)[1]
        self._added = table_protection.bytes_of_jobs(connection, repository.agent_id, KNOWN_JOBS)
        self._room_bytes = quotas.room_of(connection, repository.agent_id)
        self._jobs: dict[str, Job | None] = {}

    def judge(self, evidence: Evidence) -> None:
        """Judge one more commit: snapshots that went as ordered are moved away; what no order explains is told."""
        connection, repository, agent_id = self._connection, self._repository, self._repository.agent_id
        ordered = _ordered(self._job_of(evidence), self._held)
        self._note(evidence)
        known = Known(
            manifest_bytes=repository.manifest_bytes,
            is_same_compression=self._compression == repository.manifest_compression,
            snapshots_count=self._snapshots_count,
            stored_bytes=repository.stored_bytes,
            room_bytes=self._room_bytes,
            job_bytes=tuple(reversed(self._added.values())),
        )
        found = suspicion.findings(evidence, ordered, known) if repository.settled_segment >= 0 else {}
        going = [one for one in evidence.archive_ids if one in ordered.archive_ids]
        if going:
            table_protection.remove(connection, agent_id, going, BY_ORDER, evidence.job_id)
        if found:
            lost = [one for one in evidence.archive_ids if one not in ordered.archive_ids]
            table_protection.set_lost(connection, agent_id, lost, evidence.at)
            numbers = {why.value: number for why, number in found.items()}
            sound_the_alarm(connection, repository, evidence.base, evidence.at, numbers)
        if evidence.archive_ids:
            self._snapshots_count = table_protection.snapshots_count(connection, agent_id)

    def _job_of(self, evidence: Evidence) -> Job | None:
        if evidence.job_id not in self._jobs:
            self._jobs[evidence.job_id] = jobs.get(self._connection, JobId(evidence.job_id))
        return self._jobs[evidence.job_id]

    def _note(self, evidence: Evidence) -> None:
        """Add up what its job has added, and keep how the manifest is compressed now."""
        if evidence.job_id:
            self._added[evidence.job_id] = self._added.pop(evidence.job_id, 0) + evidence.put_bytes
        if evidence.manifest_bytes:
            self._compression = table_protection.compression_of(self._job_of(evidence))


def _ordered(job: Job | None, held: set[str]) -> Ordered:
    """Return what a job was to do; what has been put under a hold since is not to be deleted, whatever it said."""
    if job is None or job.kind is not Kind.PRUNE:
        return Ordered()
    order = msgspec.convert(job.order["prune"], PruneOrder)
    archive_ids = frozenset(archive.archive_id for archive in order.archives)
    return Ordered(is_prune=True, archive_ids=archive_ids - held)


def sound_the_alarm(
    connection: sqlite3.Connection, repository: Repository, base: int, at: datetime, numbers: dict[str, int]
) -> None:
    """Freeze, and tell: once, however much follows. `base`, `at`: the last commit before it, and until when it held.

    What was then is what a person goes back to; the log holds it until the appliance compacts.
    """
    tenant_id, agent_id = repository.tenant_id, repository.agent_id
    known = alerts.open_of_kind(connection, tenant_id, agent_id, AlertKind.HOSTILE)
    if known is None:
        since = clock.to_text(at)
        raising.raise_alert(
            connection, tenant_id, agent_id, AlertKind.HOSTILE, before=base, since=since, findings=numbers
        )
    else:
        before = known.evidence.get("findings", {})
        more = {name: max(before.get(name, 0), numbers.get(name, 0)) for name in {*before, *numbers}}
        alerts.set_evidence(connection, known.id, {**known.evidence, "findings": more})
    if repositories.freeze(connection, agent_id, AlertKind.HOSTILE.value):
        record(
            connection,
            tenant_id=tenant_id,
            actor=raising.APPLIANCE,
            action="repository-frozen",
            target=agent_id,
            findings=numbers,
        )
