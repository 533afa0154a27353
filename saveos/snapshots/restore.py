"""Ask a host to restore a whole snapshot or some of its paths, to the original place or another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle, table_listing
from saveos.jobs.model import Job, NewJob, RunsOn
from saveos.protocol import JobId, Kind, RestoreOrder
from saveos.snapshots import table
from saveos.snapshots.backup import require_clean

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from saveos.database.connection import Database
    from saveos.snapshots.model import Snapshot

RESTORE_PRIORITY = 20  # somebody waits for their files


def get(database: Database, principal: Principal, snapshot_id: str) -> Snapshot:
    """Return a snapshot of the tenant. Raises NotFound."""
    principal.require(Permission.READ)
    return _known(table.get(database.read, snapshot_id, principal.tenant_id))


def request(
    database: Database, principal: Principal, snapshot_id: str, paths: Sequence[str] = (), target: str | None = None
) -> Job:
    """Ask the snapshot's host to restore it. Raises NotFound, Conflict (revoked host), InvalidRequest."""
    principal.require(Permission.RESTORE)

    def write(connection: sqlite3.Connection) -> Job:
        snapshot = _known(table.get(connection, snapshot_id, principal.tenant_id))
        return queue(connection, snapshot, principal.label, paths, target)

    return database.write(write)


def last_proven_at(database: Database, principal: Principal) -> datetime | None:
    """Return when files last came back whole, with nothing left out: the newest proof that restoring works."""
    principal.require(Permission.READ)
    return table_listing.last_restore_at(database.read, principal.tenant_id)


def queue(
    connection: sqlite3.Connection, snapshot: Snapshot, requested_by: str, paths: Sequence[str], target: str | None
) -> Job:
    """Queue a restore inside the caller's transaction. An interrupted one is done again from its beginning."""
    require_clean(paths)
    if target is not None:
        require_clean([target])
        if not (target.startswith("/") or target[1:3] in (":\\", ":/")):
            message = "The target is an absolute path on the host."
            raise InvalidRequest(message, field="target")
    agent = agents.get(connection, snapshot.agent_id)
    if agent is None or agent.state is AgentState.REVOKED:
        message = "The snapshot's host has been revoked: enrol a host again, or use the exported key with Borg."
        raise Conflict(message)
    order = RestoreOrder(
        archive=snapshot.archive,
        paths=tuple(paths),
        target=target,
        expected_files_count=0 if paths else snapshot.files_count,
        expected_bytes=0 if paths else snapshot.original_bytes,
    )
    job = queue_order(connection, agent, order, requested_by)
    record(
        connection,
        tenant_id=snapshot.tenant_id,
        actor=requested_by,
        action="restore-requested",
        target=snapshot.id,
        paths=list(paths)[:100],
        to=target or "original place",
    )
    return job


def queue_order(connection: sqlite3.Connection, agent: Agent, order: RestoreOrder, requested_by: str) -> Job:
    """Queue what has been ordered, or is ordered again, inside the caller's transaction."""
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=agent.tenant_id,
            agent_id=agent.id,
            kind=Kind.RESTORE,
            runs_on=RunsOn.HOST,
            order={"restore": msgspec.to_builtins(order)},
            requested_by=requested_by,
            priority=RESTORE_PRIORITY,
        ),
    )


def _known(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        message = "There is no such snapshot."
        raise NotFound(message)
    return snapshot
