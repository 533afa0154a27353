"""Agents that become another executable: who has one to come, and asking hosts to take it.

A host's order names the very file. While that is still to be built, its job waits in the queue, held back; the end of
the build lets it go, however that ends. One of which no end is ever heard lets it go when HOLD is over: it fails when
its host comes for it.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from saveos import __version__, clock
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import AlreadyCurrent, Conflict, NotFound, NotUpdatable
from saveos.identity.principals import Permission, Principal
from saveos.installers import bases, requests
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.protocol import JobId, Kind, Platform, UpdateOrder, is_newer

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import JobReport

PRIORITY = 5  # after the backup for which a person waits
HOLD = timedelta(hours=1)  # a build that is never heard of again does not hold a job for ever


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The executable of a platform; `sha256` is empty while it is still to be built."""

    version: str
    sha256: str = ""
    size_bytes: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of asking many. `build_job_id`: the executable is built first; the hosts follow by themselves."""

    asked_count: int
    skipped_count: int  # up to date, revoked, run from source, or unknown
    build_job_id: str | None = None


def offers(settings: Settings) -> dict[Platform, Offer]:
    """Return what there is for hosts, by platform."""
    found = {}
    for platform in Platform:
        base = bases.find(settings, platform)
        if base is not None:
            found[platform] = Offer(version=__version__, sha256=bases.digest(base), size_bytes=base.stat().st_size)
        elif bases.can_build(platform):
            found[platform] = Offer(version=__version__)
    return found


def has_update(agent: Agent, offered: Mapping[Platform, Offer]) -> bool:
    """Return whether an agent would become another executable. One that is newer than ours stays as it is."""
    offer = offered.get(agent.platform)
    return (
        offer is not None
        and agent.state is not AgentState.REVOKED
        and agent.build not in ("", offer.sha256)
        and not is_newer(agent.agent_version, offer.version)
    )


def request(database: Database, settings: Settings, principal: Principal, agent_id: str) -> Job:
    """Ask one agent to update itself; an update that waits or runs already is returned instead.

    Whoever may hand out the executable may renew it: it is the same file. Raises NotFound,
    AlreadyCurrent, NotUpdatable, Conflict (revoked), PlatformUnavailable.
    """
    principal.require(Permission.PROVISION)
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    if agent is None:
        message = "There is no such agent."
        raise NotFound(message)
    offered = offers(settings)
    _require_updatable(agent, offered)
    _queue(database, settings, principal, [agent], offered)
    return jobs.waiting_of(database.read, agent.id, Kind.UPDATE)[0]


def request_many(database: Database, settings: Settings, principal: Principal, agent_ids: Sequence[str]) -> Asked:
    """Ask these agents to update themselves; those for whom there is nothing are passed over."""
    principal.require(Permission.PROVISION)
    offered = offers(settings)
    known = [agents.get(database.read, agent_id, principal.tenant_id) for agent_id in dict.fromkeys(agent_ids)]
    chosen = [agent for agent in known if agent is not None and has_update(agent, offered)]
    build_job_id = _queue(database, settings, principal, chosen, offered)
    return Asked(asked_count=len(chosen), skipped_count=len(set(agent_ids)) - len(chosen), build_job_id=build_job_id)


def executable(settings: Settings, platform: Platform, sha256: str) -> Path:
    """Return the executable that an order names. Raises NotFound when there is another one by now."""
    base = bases.find(settings, platform)
    if base is None or bases.digest(base) != sha256:
        message = "This executable is offered no more. Ask for the update again."
        raise NotFound(message)
    return base


def after_build(settings: Settings) -> Callable[[sqlite3.Connection, Job, State, JobReport], None]:
    """Return what the end of a build does in its transaction: the hosts that wait for it go on, or hear why not."""

    def end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
        why = "The build of the executable was cancelled." if state is State.CANCELLED else report.message
        _release(connection, settings=settings, platform=Platform(job.order["platform"]), why=why)

    return end


def _require_updatable(agent: Agent, offered: Mapping[Platform, Offer]) -> None:
    if agent.state is AgentState.REVOKED:
        message = f"{agent.hostname} has been revoked."
        raise Conflict(message)
    if not agent.build:
        message = f"{agent.hostname} runs from source, or an agent too old to update itself: download a new one for it."
        raise NotUpdatable(message)
    if not has_update(agent, offered):
        message = f"{agent.hostname} is up to date."
        raise AlreadyCurrent(message)


def _queue(
    database: Database,
    settings: Settings,
    principal: Principal,
    chosen: Sequence[Agent],
    offered: Mapping[Platform, Offer],
) -> str | None:
    """Queue an update for each agent that has none; return the job that builds what they wait for."""
    missing = {agent.platform for agent in chosen if not offered[agent.platform].sha256}
    for platform in missing:
        bases.require_buildable(platform)

    def write(connection: sqlite3.Connection) -> None:
        for agent in chosen:
            if not jobs.waiting_of(connection, agent.id, Kind.UPDATE):
                _request(connection, principal, agent, offered[agent.platform])

    database.write(write)
    build_job_id = None
    for platform in missing:  # only now: a build that ends at once finds those who wait for it
        build_job_id = requests.ensure(database, settings, principal, platform)
        if build_job_id is None:
            database.write(partial(_release, settings=settings, platform=platform, why=""))
    return build_job_id


def _request(connection: sqlite3.Connection, principal: Principal, agent: Agent, offer: Offer) -> None:
    record(
        connection,
        tenant_id=agent.tenant_id,
        actor=principal.label,
        action="update-requested",
        target=agent.id,
        version=offer.version,
    )
    lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=agent.tenant_id,
            agent_id=agent.id,
            kind=Kind.UPDATE,
            runs_on=RunsOn.HOST,
            order={"platform": agent.platform.value, "update": _order(offer)},
            requested_by=principal.label,
            priority=PRIORITY,
            not_before=None if offer.sha256 else clock.now() + HOLD,
        ),
    )


def _order(offer: Offer) -> dict[str, object] | None:
    if not offer.sha256:
        return None
    order = UpdateOrder(sha256=offer.sha256, size_bytes=offer.size_bytes, version=offer.version)
    plain: dict[str, object] = msgspec.to_builtins(order)
    return plain


def _release(connection: sqlite3.Connection, *, settings: Settings, platform: Platform, why: str) -> None:
    """Let the updates go on that wait for a platform's executable; end them when it could not be built."""
    offer = offers(settings).get(platform)
    for job in jobs.queued_of_kind(connection, Kind.UPDATE):
        if job.order.get("update") is not None or job.order.get("platform") != platform.value:
            continue
        if offer is not None and offer.sha256:
            jobs.set_order(connection, job.id, {**job.order, "update": _order(offer)}, clock.now())
        else:
            jobs.end(connection, job.id, State.FAILED, "build-failed", why or "The executable could not be built.", 0)
