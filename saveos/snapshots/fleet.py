"""How does each host stand? Its newest snapshot, what it does now, and whether a person is needed."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState, Limits, Proof
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, JobProgress, RunsOn, State
from saveos.protocol import Kind
from saveos.repositories import table as repositories
from saveos.snapshots import overdue, table
from saveos.snapshots.model import Snapshot

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from saveos.database.connection import Database

HOSTS_LIMIT = 10_000
START = timedelta(minutes=15)  # a new host gets this long to begin its first backup


class Need(StrEnum):
    """Why a host needs a person, or not."""

    NOTHING = "nothing"
    FROZEN = "frozen"  # it changed its repository as no order told it to
    STARTING = "starting"  # its first backup is on its way
    ALERT = "alert"  # something about it was found out that a person has to hear of
    FAILED = "failed"  # its last backup
    LATE = "late"  # it should have been backed up long ago
    NEVER = "never"  # enrolled, and nothing came
    UNCOPIED = "uncopied"  # its offsite copy is late, failed or damaged
    UNPROVEN = "unproven"  # no restore has proven itself for long
    REVOKED = "revoked"


NEEDY = frozenset({Need.FROZEN, Need.ALERT, Need.FAILED, Need.LATE, Need.NEVER, Need.UNCOPIED, Need.UNPROVEN})


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One agent and how it stands. `job`: what it does or waits for now; `failure`: its last backup, if that failed."""

    agent: Agent
    is_online: bool
    newest: Snapshot | None
    job: Job | None
    progress: JobProgress | None
    failure: Job | None
    need: Need
    alerts: frozenset[AlertKind] = frozenset()  # that go on


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Which hosts are looked for. `standing`: needy, working, online, offline, revoked or empty for all."""

    search: str = ""  # in the hostname
    standing: str = ""
    policy_id: str = ""


def hosts(database: Database, principal: Principal) -> list[Host]:
    """Return the tenant's hosts by hostname; those that need a person first, the revoked ones last."""
    principal.require(Permission.READ)
    connection = database.read
    newest = table.newest_of_agents(connection, principal.tenant_id)
    limits = agents.limits(connection, principal.tenant_id)
    alarms = alerts.open_kinds(connection, principal.tenant_id)
    ended = jobs.last_ended_backups(connection, principal.tenant_id)
    work: dict[str | None, Job] = {}
    for state in (State.QUEUED, State.RUNNING):  # what runs hides what waits
        for job in reversed(lifecycle.find(database, principal, {"state": state}, HOSTS_LIMIT)):
            if job.runs_on is RunsOn.HOST:
                work[job.agent_id] = job
    frozen = repositories.frozen_agents(connection, principal.tenant_id)
    found = [
        _with_alerts(
            _host(
                connection,
                agent,
                newest.get(agent.id),
                work.get(agent.id),
                ended.get(agent.id),
                limits,
                is_frozen=agent.id in frozen,
            ),
            alarms.get(agent.id, frozenset()),
        )
        for agent in agents.find(connection, principal.tenant_id, limit=HOSTS_LIMIT)
    ]
    return sorted(found, key=_order)


def chosen(hosts: Sequence[Host], choice: Choice, *, sort: str = "", is_descending: bool = False) -> list[Host]:
    """Return the hosts that are looked for, sorted by host, state, when, proven, size; else as they came."""
    search = choice.search.casefold()
    found = [
        host
        for host in hosts
        if search in host.agent.hostname.casefold()
        and choice.policy_id in ("", host.agent.policy_id)
        and (not choice.standing or _STANDINGS[choice.standing](host))
    ]
    return sorted(found, key=_SORTS[sort], reverse=is_descending) if sort else found


_STANDINGS: dict[str, Callable[[Host], bool]] = {
    "needy": lambda host: host.need in NEEDY,
    "working": lambda host: host.job is not None,
    "online": lambda host: host.is_online,
    "offline": lambda host: not host.is_online and host.need is not Need.REVOKED,
    "revoked": lambda host: host.need is Need.REVOKED,
}
_SORTS: dict[str, Callable[[Host], Any]] = {
    "host": lambda host: host.agent.hostname.casefold(),
    "state": lambda host: (host.need not in NEEDY, host.need, host.agent.hostname.casefold()),
    "when": lambda host: host.newest.started_at.timestamp() if host.newest else 0.0,
    "proven": lambda host: host.agent.proven_at.timestamp() if host.agent.proven_at else 0.0,
    "size": lambda host: host.newest.original_bytes if host.newest else -1,
}


def need_of(
    agent: Agent,
    newest: Snapshot | None,
    job: Job | None,
    failure: Job | None,
    late_at: datetime | None,
    *,
    is_frozen: bool = False,
) -> Need:
    """Decide whether a host needs a person. `late_at`: when its next backup is overdue; None: never."""
    now = clock.now()
    if agent.state is AgentState.REVOKED:
        return Need.REVOKED
    if is_frozen:
        return Need.FROZEN
    if failure is not None:
        return Need.FAILED
    is_late = late_at is not None and late_at < now
    if newest is None:
        is_on_its_way = (job is not None and not is_late) or now - agent.enrolled_at < START
        return Need.STARTING if is_on_its_way else Need.NEVER
    if is_late:
        return Need.LATE
    is_unproven = agent.knows(Kind.DRILL) and agent.proof_at(now) is Proof.STALE
    return Need.UNPROVEN if is_unproven else Need.NOTHING


def _order(host: Host) -> tuple[int, str, str]:
    rank = 0 if host.need in NEEDY else 2 if host.need is Need.REVOKED else 1
    return rank, host.agent.hostname.casefold(), host.agent.id


def _host(
    connection: sqlite3.Connection,
    agent: Agent,
    newest: Snapshot | None,
    job: Job | None,
    ended: Job | None,
    limits: Limits,
    *,
    is_frozen: bool,
) -> Host:
    failure = ended if ended is not None and ended.state is State.FAILED else None
    if failure and newest and failure.ended_at and newest.ended_at > failure.ended_at:
        failure = None
    return Host(
        agent=agent,
        is_online=agent.is_online_at(clock.now()),
        newest=newest,
        job=job,
        progress=jobs.progress(connection, job.id) if job and job.state is State.RUNNING else None,
        failure=failure,
        need=need_of(
            agent,
            newest,
            job,
            failure,
            overdue.overdue_at(agent, limits, is_running=_is_backup(job)),
            is_frozen=is_frozen,
        ),
    )


def _with_alerts(host: Host, kinds: frozenset[AlertKind]) -> Host:
    """Add what goes on; that it is overdue is known already, and said with its reason."""
    need = host.need
    if kinds - {AlertKind.OVERDUE, AlertKind.OFFSITE} and need not in (Need.REVOKED, Need.FROZEN):
        need = Need.ALERT
    elif AlertKind.OFFSITE in kinds and need is Need.NOTHING:
        need = Need.UNCOPIED
    return msgspec.structs.replace(host, alerts=kinds, need=need)


def _is_backup(job: Job | None) -> bool:
    return job is not None and job.kind is Kind.BACKUP and job.state is State.RUNNING
