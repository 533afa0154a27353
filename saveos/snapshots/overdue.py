"""Is a host's backup missing for longer than its kind of machine may be away? One alert when it begins, cleared once.

A backup counts as due from the moment at which this appliance asked for it until a whole one has been made; time during
which the appliance itself was not there does not count.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState, Limits
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.snapshots import table_overdue

if TYPE_CHECKING:
    import sqlite3

    from saveos.jobs.model import Job
    from saveos.protocol import TenantId

TICK = timedelta(minutes=1)
OUTAGE = timedelta(minutes=20)  # without a tick: the appliance was not there
LONGEST_RUN = timedelta(days=7)  # a backup that runs is not missing, but it has to end some day


def overdue_at(agent: Agent, limits: Limits, *, is_running: bool = False) -> datetime | None:
    """Return from when on a host's backup is overdue if none is made; None: nothing is due.

    Where a policy names no times, only the first backup is expected.
    """
    is_expected = agent.next_backup_at is not None or agent.last_backup_at is None
    if agent.due_at is None or agent.state is AgentState.REVOKED or not is_expected:
        return None
    limit = timedelta(hours=limits.of(agent.lives_as))
    return agent.due_at + (max(2 * limit, LONGEST_RUN) if is_running else limit)


def made(connection: sqlite3.Connection, job: Job) -> None:
    """Note that a backup was made: nothing is due any more, the alert is over. One of chosen paths does not count."""
    if job.agent_id is not None and not job.order.get("is_chosen"):
        agents.set_due(connection, job.agent_id, None)
        raising.clear(connection, job.tenant_id, job.agent_id, AlertKind.OVERDUE)


def tick(connection: sqlite3.Connection) -> int:
    """Open and clear alerts as of now; return how many changed. Called about every minute."""
    now = clock.now()
    _forgive_outage(connection, now)
    opened = table_overdue.open_alerts(connection)
    running = table_overdue.running_backups(connection) - opened.keys()  # an attempt does not end an alert
    limits: dict[TenantId, Limits] = {}
    late: dict[str, Agent] = {}
    for agent in agents.due_ones(connection):
        known = limits.setdefault(agent.tenant_id, agents.limits(connection, agent.tenant_id))
        moment = overdue_at(agent, known, is_running=agent.id in running)
        if moment is not None and moment <= now:
            late[agent.id] = agent
    changed = 0
    for agent_id, tenant_id in opened.items():
        if agent_id not in late:
            changed += raising.clear(connection, tenant_id, agent_id, AlertKind.OVERDUE)
    for agent in late.values():
        if agent.id not in opened and not _was_put_away(connection, agent):
            evidence = _evidence(agent, limits[agent.tenant_id])
            changed += raising.raise_alert(connection, agent.tenant_id, agent.id, AlertKind.OVERDUE, **evidence)
    return changed


def _forgive_outage(connection: sqlite3.Connection, now: datetime) -> None:
    """Let nothing count that fell into a time at which nobody could have been asked for a backup."""
    last = table_overdue.last_tick(connection)
    table_overdue.set_tick(connection, now)
    if last is not None and now - last > OUTAGE:
        for agent in agents.due_ones(connection):
            if agent.due_at is not None:
                table_overdue.set_due(connection, agent.id, agent.due_at + (now - max(last, agent.due_at)))


def _was_put_away(connection: sqlite3.Connection, agent: Agent) -> bool:
    """Return whether a person has seen to this very lateness: they hear of the next one."""
    last = alerts.newest_of_kind(connection, agent.tenant_id, agent.id, AlertKind.OVERDUE)
    if last is None or last.is_open or agent.due_at is None:
        return False
    return last.cleared_by != raising.APPLIANCE and last.opened_at >= agent.due_at


def _evidence(agent: Agent, limits: Limits) -> dict[str, Any]:
    text = {
        "due_at": agent.due_at,
        "last_backup_at": agent.last_backup_at,
        "seen_at": agent.seen_at,
    }
    return {
        "machine_class": agent.lives_as.value,
        "limit_hours": limits.of(agent.lives_as),
        **{name: clock.to_text(moment) if moment else "" for name, moment in text.items()},
    }
