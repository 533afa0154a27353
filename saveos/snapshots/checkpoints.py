"""Checkpoints for people: what there is, rolling a repository back to one, and letting retention go on."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.protocol import AgentId, JobId, Kind
from saveos.repositories import maintenance, table_checkpoints
from saveos.repositories import table as repositories
from saveos.repositories.model import Checkpoint, CheckpointState, CheckpointWhy
from saveos.snapshots import rebuilding, table_protection, table_roll_back, witness

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from saveos.agents.model import Agent
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.lifecycle import OnEnd
    from saveos.repositories.model import Repository

ATTEMPTS = 100  # a roll-back that was begun is finished
PRIORITY = 5


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """How a host's repository is protected from that host. `checkpoints`: newest first.

    `findings`: what froze it, by `suspicion.Why`, with a number of archives, objects or bytes each; `before_id`: the
    checkpoint of what was before that, once it is kept.
    """

    agent_id: AgentId
    frozen_at: datetime | None = None
    frozen_why: str = ""
    quarantine_bytes: int = 0
    retained_at: datetime | None = None
    compacted_at: datetime | None = None
    is_in_upkeep: bool = False
    quarantine_days: int
    findings: dict[str, int] = {}
    before_id: str = ""
    checkpoints: tuple[Checkpoint, ...] = ()


def of_host(database: Database, principal: Principal, agent_id: str) -> Protection:
    """Return how a host's repository is protected; of none yet there is nothing to tell. Raises NotFound."""
    principal.require(Permission.READ)
    connection = database.read
    agent = agents.get(connection, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    days = table_checkpoints.quarantine_days(connection, agent.tenant_id)
    repository = repositories.of_agent(connection, agent.id)
    if repository is None:
        return Protection(agent_id=agent.id, quarantine_days=days)
    found = table_checkpoints.of_agent(connection, repository.agent_id)
    made = tuple(one for one in found if one.state is CheckpointState.MADE)
    alert = alerts.open_of_kind(connection, repository.tenant_id, repository.agent_id, AlertKind.HOSTILE)
    return Protection(
        agent_id=repository.agent_id,
        frozen_at=repository.frozen_at,
        frozen_why=repository.frozen_why,
        quarantine_bytes=repository.quarantine_bytes,
        retained_at=repository.retained_at,
        compacted_at=repository.compacted_at,
        is_in_upkeep=bool(repository.upkeep_job),
        quarantine_days=days,
        findings=alert.evidence.get("findings", {}) if alert else {},
        before_id=next((one.id for one in made if alert and one.job_id == alert.id), ""),
        checkpoints=made,
    )


def request_roll_back(
    database: Database,
    principal: Principal,
    agent_id: str,
    checkpoint_id: str,
    hostname: str,
    on_end: Mapping[Kind, OnEnd],
) -> Job:
    """Let a repository be what a checkpoint was. `hostname`: typed by the person, who means this one.

    Raises NotFound, InvalidRequest (another name), Conflict (one is under way).
    """
    principal.require(Permission.ROLL_BACK)

    def write(connection: sqlite3.Connection) -> Job:
        agent, _repository = _known(connection, principal, agent_id)
        checkpoint = table_checkpoints.get(connection, checkpoint_id)
        if checkpoint is None or checkpoint.agent_id != agent.id or checkpoint.state is not CheckpointState.MADE:
            raise NotFound("There is no such checkpoint.")
        if hostname.strip() != agent.hostname:
            raise InvalidRequest(f"Type the name of the host: {agent.hostname}.", field="hostname")
        if held := table_protection.held_since(connection, agent.id, clock.to_text(checkpoint.made_at)):
            raise Conflict(f"{held} snapshots that came after this checkpoint are held: let them go first.")
        if jobs.waiting_of(connection, agent.id, Kind.ROLL_BACK):
            raise Conflict("This repository is being rolled back already.")
        cancel_writes(connection, agent.id, on_end)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="roll-back-requested",
            target=agent.id,
            checkpoint=checkpoint.id,
        )
        return lifecycle.request(connection, new_roll_back(agent, checkpoint, principal.label))

    return database.write(write)


def let_go_on(database: Database, principal: Principal, agent_id: str) -> None:
    """Say that what froze a repository was meant: retention goes on. Raises NotFound, Conflict (not frozen)."""
    principal.require(Permission.ROLL_BACK)

    def write(connection: sqlite3.Connection) -> None:
        agent, repository = _known(connection, principal, agent_id)
        if not repositories.thaw(connection, agent.id):
            raise Conflict("Nothing keeps the retention of this host from going on.")
        raising.clear(connection, agent.tenant_id, agent.id, AlertKind.HOSTILE, principal.label)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="repository-thawed",
            target=agent.id,
            was=repository.frozen_why,
        )

    database.write(write)


def judge(database: Database, settings: Settings, agent_id: AgentId) -> None:
    """Judge what a host's sessions left, and keep what was before it if that is alarming. Raises StorageError."""
    witness.judge(database, settings, agent_id)
    keep_before_alarm(database, settings, agent_id)


def keep_before_alarm(database: Database, settings: Settings, agent_id: AgentId) -> None:
    """Keep a checkpoint of what was before a host did what no order explains; once. Raises StorageError."""
    repository = repositories.of_agent(database.read, agent_id)
    if repository is None or repository.frozen_at is None:
        return
    alert = alerts.open_of_kind(database.read, repository.tenant_id, agent_id, AlertKind.HOSTILE)
    if alert is None or int(alert.evidence.get("before", -1)) < 0:
        return
    kept = (one for one in table_checkpoints.of_agent(database.read, agent_id) if one.job_id == alert.id)
    if not any(one.state is CheckpointState.MADE for one in kept):
        maintenance.keep(
            database,
            settings,
            repository,
            CheckpointWhy.HOSTILE,
            moment=int(alert.evidence["before"]),
            job_id=alert.id,
            made_at=clock.from_text(alert.evidence["since"]),
        )


def settle_roll_back(connection: sqlite3.Connection, job: Job, checkpoint: Checkpoint, segment: int) -> int:
    """Show what is there after a roll-back; return how many snapshots came back."""
    agent_id, moment = checkpoint.agent_id, clock.to_text(checkpoint.made_at)
    away = table_roll_back.away_at(connection, agent_id, moment)
    came = {one: at for one, at in table_roll_back.coming_back(connection, agent_id, moment).items() if one not in away}
    table_protection.bring_back(connection, agent_id, moment)
    table_protection.set_found(connection, agent_id, moment)
    newer = [*table_protection.newer_archives(connection, agent_id, moment), *away]
    held = table_protection.held_archives(connection, agent_id)  # put under a hold while it was rolled back
    gone = [archive_id for archive_id in newer if archive_id not in held]
    table_protection.remove(connection, agent_id, gone, CheckpointWhy.ROLL_BACK.value, job.id)
    table_protection.set_lost(
        connection, agent_id, [archive_id for archive_id in newer if archive_id in held], clock.now()
    )
    table_roll_back.note(connection, job.id, came)
    table_protection.take_back_writes(connection, agent_id, moment)
    is_known = checkpoint.why is not CheckpointWhy.ROLL_BACK  # else what was written to it is forgotten
    repositories.set_rolled_back(connection, agent_id, segment)
    size, compression = table_protection.last_manifest(connection, agent_id) if is_known else (0, "")
    repositories.set_manifest(connection, agent_id, size, compression)
    repositories.thaw(connection, agent_id)
    raising.clear(connection, checkpoint.tenant_id, agent_id, AlertKind.HOSTILE, job.requested_by)
    rebuilding.ask_for_all(connection, agent_id)
    repositories.end_upkeep(connection, agent_id, job.id)
    record(
        connection,
        tenant_id=checkpoint.tenant_id,
        actor=job.requested_by,
        action="rolled-back",
        target=agent_id,
        checkpoint=checkpoint.id,
        came_back=len(came),
        went=len(gone),
    )
    return len(came)


def cancel_writes(connection: sqlite3.Connection, agent_id: AgentId, on_end: Mapping[Kind, OnEnd]) -> None:
    """Cancel what would remove snapshots again that are about to come back, and a backup onto what is about to go."""
    for kind in (Kind.RETENTION, Kind.PRUNE, Kind.COMPACT, Kind.BACKUP):
        for job in jobs.waiting_of(connection, agent_id, kind):
            if kind is Kind.BACKUP and job.state is not State.RUNNING:
                continue
            jobs.request_cancel(connection, job.id)
            if job.state is State.QUEUED or job.runs_on is RunsOn.HOST:  # else its hands let the repository go first
                lifecycle.lost(connection, jobs.get(connection, job.id) or job, "A roll-back was asked for.", on_end)


def new_roll_back(agent: Agent, checkpoint: Checkpoint, requested_by: str) -> NewJob:
    """Return the job that rolls a repository back to a checkpoint."""
    return NewJob(
        id=JobId(new_id("job")),
        tenant_id=agent.tenant_id,
        agent_id=agent.id,
        kind=Kind.ROLL_BACK,
        runs_on=RunsOn.APPLIANCE,
        order={"checkpoint": checkpoint.id},
        requested_by=requested_by,
        priority=PRIORITY,
        attempts_limit=ATTEMPTS,
    )


def _known(connection: sqlite3.Connection, principal: Principal, agent_id: str) -> tuple[Agent, Repository]:
    agent = agents.get(connection, agent_id, principal.tenant_id)
    repository = repositories.of_agent(connection, agent_id) if agent else None
    if agent is None or repository is None:
        raise NotFound("There is no such agent.")
    return agent, repository
