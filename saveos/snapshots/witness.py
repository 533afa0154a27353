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
from saveos.repositories import table as repositories
from saveos.snapshots import suspicion, table_protection
from saveos.snapshots.suspicion import Known, Ordered, Why

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.agents.model import Agent
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
        log.info("%d commits of %s are judged.", done, agent_id)


def judge_in(connection: sqlite3.Connection, settings: Settings, agent_id: AgentId) -> int:
    """Judge the commits that have happened within the caller's transaction; return how many there were."""
    agent, repository = agents.get(connection, agent_id), repositories.of_agent(connection, agent_id)
    if agent is None or repository is None:
        return 0
    folder = repositories.repository_path(settings, agent.tenant_id, agent_id)
    last, count = kept.last_commit(folder), 0
    for path, evidence in kept.read_all(settings.evidence / agent_id):
        if evidence.base < last:
            count += 1
            if table_protection.add_write(connection, agent_id, path.name, evidence):
                _judge(connection, agent, repository, evidence)
    return count


def sweep(database: Database, settings: Settings) -> None:
    """Judge what a former life of the appliance left."""
    if settings.evidence.is_dir():
        for folder in settings.evidence.iterdir():
            judge(database, settings, AgentId(folder.name))
    database.write(lambda connection: table_protection.forget_writes(connection, WRITES_KEPT))


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


def found_by(connection: sqlite3.Connection, repository: Repository, job: Job) -> tuple[int, datetime]:
    """Return the commit that a host's job found, and until when that was the last one."""
    found = table_protection.found_by(connection, repository.agent_id, job.id)
    return (found[0], clock.from_text(found[1])) if found else (repository.settled_segment, clock.now())


def _judge(connection: sqlite3.Connection, agent: Agent, repository: Repository, evidence: Evidence) -> None:
    job = jobs.get(connection, JobId(evidence.job_id)) if evidence.job_id else None
    ordered = _ordered(job, table_protection.held_archives(connection, agent.id))
    known = Known(
        manifest_bytes=repository.manifest_bytes,
        is_same_compression=table_protection.last_manifest(connection, agent.id)[1] == repository.manifest_compression,
        snapshots_count=table_protection.snapshots_count(connection, agent.id),
        stored_bytes=repository.stored_bytes,
        job_bytes=tuple(table_protection.bytes_of_jobs(connection, agent.id, KNOWN_JOBS)),
    )
    found = suspicion.findings(evidence, ordered, known) if repository.settled_segment >= 0 else {}
    going = [one for one in evidence.archive_ids if one in ordered.archive_ids]
    table_protection.remove(connection, agent.id, going, BY_ORDER, evidence.job_id)
    if found:
        lost = [one for one in evidence.archive_ids if one not in ordered.archive_ids]
        table_protection.set_lost(connection, agent.id, lost)
        numbers = {why.value: number for why, number in found.items()}
        sound_the_alarm(connection, repository, evidence.base, evidence.at, numbers)


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
