"""Retention carried out: decide, keep a checkpoint, let the host delete, compare, and only then compact."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, NewJob, RunsOn
from saveos.policies import due, window
from saveos.policies import table as policies
from saveos.protocol import AgentId, JobId, Kind, NamedArchive, PruneOrder
from saveos.repositories import table as repositories
from saveos.repositories import table_quotas
from saveos.snapshots import holds, retention, table, table_protection, witness
from saveos.snapshots.suspicion import Why

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job, State
    from saveos.protocol import JobReport, SnapshotId
    from saveos.repositories.model import Repository
    from saveos.snapshots.model import Snapshot

EVERY = timedelta(hours=20)
UPKEEP = (Kind.RETENTION, Kind.PRUNE, Kind.COMPACT, Kind.ROLL_BACK)
SYSTEM = "system:retention"
MISSED = timedelta(days=3)  # a laptop sleeps at night
ARCHIVES_LIMIT = 10_000  # of one order; the rest goes the next day
ATTEMPTS = 2000  # half a minute each: a backup of hours may be in the way
HOST_ATTEMPTS = 3


def queue_due(connection: sqlite3.Connection) -> int:
    """Queue the look at retention for each host that had none today, in its policy's window; return how many."""
    count = 0
    for agent_id in table_protection.due_for_retention(connection, clock.now() - EVERY):
        repository = repositories.of_agent(connection, agent_id)
        if repository is None or any(jobs.waiting_of(connection, agent_id, kind) for kind in UPKEEP):
            continue
        if not _is_time(connection, repository):
            continue
        if going(connection, repository):
            queue(connection, repository, SYSTEM)
            count += 1
        else:
            repositories.set_retained(connection, agent_id)
    return count


def request(database: Database, principal: Principal, agent_id: str) -> Job:
    """Carry a host's retention out now. Raises NotFound, Conflict (it is frozen, or this is under way)."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> Job:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        repository = repositories.of_agent(connection, agent_id) if agent else None
        if agent is None or repository is None:
            raise NotFound("There is no such agent.")
        if not agent.knows(Kind.PRUNE):
            raise Conflict("The agent of this host is too old to delete what it is told to: update it first.")
        if repository.frozen_at is not None:
            raise Conflict("The repository is frozen: nothing is removed until a person has looked at its alert.")
        if any(jobs.waiting_of(connection, agent.id, kind) for kind in UPKEEP):
            raise Conflict("Retention of this host is being carried out already.")
        record(
            connection, tenant_id=agent.tenant_id, actor=principal.label, action="retention-requested", target=agent.id
        )
        return queue(connection, repository, principal.label)

    return database.write(write)


def queue(connection: sqlite3.Connection, repository: Repository, requested_by: str) -> Job:
    """Queue the look at a host's retention."""
    return _request(connection, repository, Kind.RETENTION, RunsOn.APPLIANCE, {}, requested_by)


def going(connection: sqlite3.Connection, repository: Repository) -> list[Snapshot]:
    """Return the snapshots that retention lets go of now; none of a frozen repository."""
    agent_id = repository.agent_id
    agent = agents.get(connection, agent_id)
    policy = policies.get(connection, agent.policy_id) if agent else None
    if agent is None or policy is None or repository.frozen_at is not None:
        return []
    snapshots, now = table.all_of_agent(connection, agent_id), clock.now()
    zone = due.zone_of(policy.time_zone or agent.time_zone)
    return retention.to_remove(snapshots, holds.held_ids(connection, agent_id, now), policy.retention, zone, now)


def order(connection: sqlite3.Connection, job: Job, decided: AbstractSet[SnapshotId]) -> int:
    """Order the host to delete what was decided and still holds; return how many snapshots that are.

    Of a host that a limit stopped, whoever asks lets go of what its unfinished backups left, too: that may be all the
    room there is. By itself it stays, for a backup that goes on from there once the limit is raised.
    """
    repository = repositories.of_agent(connection, AgentId(job.agent_id or ""))
    if repository is None:
        return 0
    repositories.set_retained(connection, repository.agent_id)
    now = jobs.get(connection, job.id)
    if now is not None and now.cancel_requested_at is not None:
        return 0
    found = [snapshot for snapshot in going(connection, repository) if snapshot.id in decided][:ARCHIVES_LIMIT]
    is_stopped = job.requested_by != SYSTEM and table_quotas.stopped_by(connection, repository.agent_id)
    if found or is_stopped:
        archives = tuple(NamedArchive(name=one.archive, archive_id=one.archive_id) for one in found)
        order = {"prune": msgspec.to_builtins(PruneOrder(archives=archives))}
        _request(connection, repository, Kind.PRUNE, RunsOn.HOST, order, SYSTEM)
    return len(found)


def after_prune(settings: Settings) -> Callable[[sqlite3.Connection, Job, State, JobReport], None]:
    """Return what the end of a deletion does in its transaction: what happened is compared with what was ordered."""

    def end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
        repository = repositories.of_agent(connection, AgentId(job.agent_id or ""))
        if repository is None:
            return
        witness.judge_in(connection, settings, repository.agent_id)
        _compare(connection, repository, job, report, is_good=state in GOOD)
        witness.settle(connection, settings, job)
        _let_compact(connection, repository, job)

    return end


def _compare(
    connection: sqlite3.Connection, repository: Repository, job: Job, report: JobReport, *, is_good: bool
) -> None:
    """Look for archives that the host calls gone and whose objects nobody deleted."""
    ordered = msgspec.convert(job.order["prune"], PruneOrder).archives
    left = table_protection.still_there(connection, repository.agent_id, [one.archive_id for one in ordered])
    said = {*report.pruned.deleted, *report.pruned.absent} if report.pruned and is_good else set()
    untrue = [one.archive_id for one in ordered if one.archive_id in left and one.name in said]
    record(
        connection,
        tenant_id=job.tenant_id,
        actor=SYSTEM,
        action="snapshots-removed",
        target=repository.agent_id,
        ordered=len(ordered),
        removed=len(ordered) - len(left),
        untrue=len(untrue),
    )
    if untrue:
        table_protection.set_lost(connection, repository.agent_id, untrue, clock.now())
        numbers = {Why.ARCHIVES_LOST.value: len(untrue)}
        witness.sound_the_alarm(connection, repository, *witness.found_by(connection, repository, job), numbers)


def _let_compact(connection: sqlite3.Connection, repository: Repository, job: Job) -> None:
    """Queue the compaction, once something was removed as ordered and nothing else was."""
    removed = table_protection.removed_by(connection, repository.agent_id, job.id)
    found = table_protection.found_by(connection, repository.agent_id, job.id)
    is_wanted = removed or not job.order["prune"]["archives"]  # it was to delete leftovers
    now = repositories.of_agent(connection, repository.agent_id)
    if is_wanted and found is not None and now is not None and now.frozen_at is None:
        order = {"moment": found[0], "until": found[1], "prune_job": job.id}
        _request(connection, repository, Kind.COMPACT, RunsOn.APPLIANCE, order, SYSTEM)


def _request(
    connection: sqlite3.Connection,
    repository: Repository,
    kind: Kind,
    runs_on: RunsOn,
    order: dict[str, object],
    requested_by: str,
) -> Job:
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=repository.tenant_id,
            agent_id=repository.agent_id,
            kind=kind,
            runs_on=runs_on,
            order=order,
            requested_by=requested_by,
            attempts_limit=ATTEMPTS if runs_on is RunsOn.APPLIANCE else HOST_ATTEMPTS,
        ),
    )


def _is_time(connection: sqlite3.Connection, repository: Repository) -> bool:
    """Return whether now is the time for it: in the policy's window, or at any time once it was missed for days."""
    agent, now = agents.get(connection, repository.agent_id), clock.now()
    policy = policies.get(connection, agent.policy_id) if agent else None
    if agent is None or policy is None or not agent.knows(Kind.PRUNE):
        return False
    is_missed = now - (repository.retained_at or agent.enrolled_at) > MISSED
    zone = due.zone_of(policy.time_zone or agent.time_zone)
    return is_missed or window.in_window(policy.maintenance, zone, now)
