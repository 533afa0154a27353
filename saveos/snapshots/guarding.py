"""Watch over how a host's files change: judge each backup as it is recorded; hear a person who says it was meant."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.errors import BeingRemoved, Conflict, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.snapshots import anomaly, holds, table, table_anomalies, table_holds
from saveos.snapshots.anomaly import Run
from saveos.snapshots.model import HoldKind
from saveos.snapshots.table_anomalies import GuardRun, RunState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from saveos.agents.model import Agent
    from saveos.alerts.model import Alert
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.protocol import AgentId, GuardFacts, TenantId
    from saveos.snapshots.anomaly import Finding
    from saveos.snapshots.model import Snapshot

    OnTrusted = Callable[[sqlite3.Connection, TenantId, AgentId], None]

CANDIDATES, HOLDS_LIMIT = 10, 100_000
HELD_BECAUSE = "The last snapshot before files changed as they never do."


def judge(connection: sqlite3.Connection, job: Job, snapshot: Snapshot, facts: GuardFacts | None) -> None:
    """Keep a finished backup in numbers. Is it out of the ordinary, it is suspect, and the last clean one is held.

    Whatever follows while that alert is open is suspect too, also what says nothing: it stands on the same files.
    """
    known = alerts.open_of_kind(connection, snapshot.tenant_id, snapshot.agent_id, AlertKind.UNUSUAL)
    if facts is None:
        if known is not None:
            _join(connection, snapshot, known)
        return
    run = Run(
        facts=facts,
        files_count=snapshot.files_count,
        original_bytes=snapshot.original_bytes,
        added_bytes=snapshot.added_bytes,
    )
    is_apart = bool(job.order.get("is_chosen"))
    history = [] if is_apart else table_anomalies.history(connection, snapshot.agent_id, anomaly.HISTORY)
    found = [] if is_apart else anomaly.findings(run, history)
    is_suspect = bool(found or known)
    state = RunState.APART if is_apart else RunState.SUSPECT if is_suspect else RunState.CLEAN
    table_anomalies.insert(connection, snapshot, state, run, found)
    if is_suspect and known is not None:
        _join(connection, snapshot, known)
    elif is_suspect:
        table_anomalies.set_suspect(connection, snapshot.id)
        _sound_the_alarm(connection, snapshot, run, found)


def _join(connection: sqlite3.Connection, snapshot: Snapshot, known: Alert) -> None:
    table_anomalies.set_suspect(connection, snapshot.id)
    more = {**known.evidence, "snapshots": int(known.evidence.get("snapshots", 1)) + 1}
    alerts.set_evidence(connection, known.id, more)


def _sound_the_alarm(connection: sqlite3.Connection, snapshot: Snapshot, run: Run, found: list[Finding]) -> None:
    raising.raise_alert(
        connection,
        snapshot.tenant_id,
        snapshot.agent_id,
        AlertKind.UNUSUAL,
        snapshot=snapshot.id,
        snapshots=1,
        held=_hold_clean(connection, snapshot),
        files=run.files_count,
        entropy=max(run.facts.changed.entropy, run.facts.new.entropy),
        findings=msgspec.to_builtins(found),
    )


def _hold_clean(connection: sqlite3.Connection, snapshot: Snapshot) -> str:
    """Hold the newest clean snapshot that its host has not been told to delete; return its id, "" for none."""
    for snapshot_id in table_anomalies.clean_ones(connection, snapshot, CANDIDATES):
        clean = table.get(connection, snapshot_id, snapshot.tenant_id)
        if clean is not None:
            with contextlib.suppress(BeingRemoved, Conflict):
                holds.hold_clean(connection, clean, HELD_BECAUSE)
                return clean.id
    return ""


def _let_go(connection: sqlite3.Connection, agent: Agent, principal: Principal) -> None:
    """End the holds that the guard has placed on a host's snapshots."""
    found = table_holds.in_force(
        connection, agent.tenant_id, clock.now(), agent_id=agent.id, before="", limit=HOLDS_LIMIT
    )
    for hold in found:
        if hold.kind is HoldKind.ANOMALY:
            table_holds.release(connection, hold.id, principal.label)
            holds.note(connection, hold, principal.label, "hold-released")


def say_meant(database: Database, principal: Principal, agent_id: str, on_trusted: OnTrusted) -> int:
    """Say that the changes were meant: the snapshots are good, nothing is held for them, the alert is over.

    `on_trusted` is called in the same transaction: something else may be known against them. Return how many snapshots
    were suspect. Raises NotFound, Conflict (nothing is suspect).
    """
    principal.require(Permission.ROLL_BACK)

    def write(connection: sqlite3.Connection) -> int:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            raise NotFound("There is no such agent.")
        count = table_anomalies.set_meant(connection, agent.id)
        on_trusted(connection, agent.tenant_id, agent.id)
        is_cleared = raising.clear(connection, agent.tenant_id, agent.id, AlertKind.UNUSUAL, principal.label)
        if not count and not is_cleared:
            raise Conflict("No snapshot of this host is suspect.")
        _let_go(connection, agent, principal)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="changes-meant",
            target=agent.id,
            snapshots=count,
        )
        return count

    return database.write(write)


def of_snapshot(database: Database, principal: Principal, snapshot_id: str) -> GuardRun | None:
    """Return what the guard knows of a snapshot; None: its host's agent said nothing."""
    principal.require(Permission.READ)
    return table_anomalies.of_snapshot(database.read, snapshot_id, principal.tenant_id)


def of_agent(database: Database, principal: Principal, agent_id: str, limit: int = 30) -> list[GuardRun]:
    """Return a host's backups in numbers, newest first. Raises NotFound."""
    principal.require(Permission.READ)
    if agents.get(database.read, agent_id, principal.tenant_id) is None:
        raise NotFound("There is no such agent.")
    return table_anomalies.of_agent(database.read, agent_id, min(max(limit, 1), table_anomalies.KEPT))
