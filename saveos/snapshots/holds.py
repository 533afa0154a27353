"""What keeps a snapshot: pins, legal holds, and the appliance's own after an anomaly. `hold_release` lets go."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from saveos import clock
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import BeingRemoved, Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import table as jobs
from saveos.protocol import Kind
from saveos.snapshots import table, table_holds
from saveos.snapshots.model import Hold, HoldKind

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.protocol import AgentId, SnapshotId
    from saveos.snapshots.model import Snapshot

REASON_LENGTH = 1000
HOLDS_LIMIT = 100  # in force on one snapshot
APPLIANCE = "system:appliance"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ACTIONS = {HoldKind.PIN: "snapshot-pinned", HoldKind.LEGAL: "hold-placed", HoldKind.ANOMALY: "anomaly-hold-placed"}


def held_ids(connection: sqlite3.Connection, agent_id: AgentId, now: datetime) -> set[SnapshotId]:
    """Return an agent's snapshots that nothing may remove. Ask it in the transaction that decides."""
    return table_holds.held_ids(connection, agent_id, now)


def of_snapshot(database: Database, principal: Principal, snapshot_id: str) -> list[Hold]:
    """Return a snapshot's holds, newest first; those that are over too. Raises NotFound."""
    principal.require(Permission.READ)
    return table_holds.of_snapshot(database.read, known(database.read, principal, snapshot_id).id)


def in_force(
    database: Database, principal: Principal, *, agent_id: str = "", before: str = "", limit: int = 100
) -> list[Hold]:
    """Return the tenant's holds in force, newest first. `agent_id` empty: of all hosts."""
    principal.require(Permission.READ)
    return table_holds.in_force(
        database.read, principal.tenant_id, clock.now(), agent_id=agent_id, before=before, limit=limit
    )


def pin(database: Database, principal: Principal, snapshot_id: str, reason: str = "") -> Hold:
    """Keep a snapshot until somebody unpins it; one that is pinned stays as it is. Raises NotFound, BeingRemoved."""
    principal.require(Permission.BACK_UP)
    said = _checked(reason)

    def write(connection: sqlite3.Connection) -> Hold:
        snapshot = known(connection, principal, snapshot_id)
        return of_kind(connection, snapshot, HoldKind.PIN) or _place(
            connection, snapshot, HoldKind.PIN, said, principal.label
        )

    return database.write(write)


def place(
    database: Database, principal: Principal, snapshot_id: str, reason: str, until: datetime | None = None
) -> Hold:
    """Place a legal hold, up to `until` (aware) or for good. Raises NotFound, InvalidRequest, BeingRemoved."""
    principal.require(Permission.HOLDS)
    said = _checked(reason)
    if not said:
        message = "A legal hold needs a reason."
        raise InvalidRequest(message, field="reason")
    end = _future(until) if until is not None else None

    def write(connection: sqlite3.Connection) -> Hold:
        snapshot = known(connection, principal, snapshot_id)
        return _place(connection, snapshot, HoldKind.LEGAL, said, principal.label, end)

    return database.write(write)


def hold_clean(connection: sqlite3.Connection, snapshot: Snapshot, reason: str) -> bool:
    """Keep the last clean snapshot after an anomaly, in the caller's transaction; return whether it was not yet.

    Raises BeingRemoved.
    """
    if of_kind(connection, snapshot, HoldKind.ANOMALY) is not None:
        return False
    _place(connection, snapshot, HoldKind.ANOMALY, reason[:REASON_LENGTH], APPLIANCE)
    return True


def _place(
    connection: sqlite3.Connection,
    snapshot: Snapshot,
    kind: HoldKind,
    reason: str,
    by: str,
    until: datetime | None = None,
) -> Hold:
    if jobs.is_ordered(connection, snapshot.agent_id, Kind.PRUNE, snapshot.archive_id):
        message = "Its host has been told to delete this snapshot: it cannot be kept any more."
        raise BeingRemoved(message)
    now = clock.now()
    if sum(hold.is_in_force_at(now) for hold in table_holds.of_snapshot(connection, snapshot.id)) >= HOLDS_LIMIT:
        message = f"{HOLDS_LIMIT} holds keep this snapshot already."
        raise Conflict(message)
    hold = Hold(
        id=new_id("hld"),
        tenant_id=snapshot.tenant_id,
        agent_id=snapshot.agent_id,
        snapshot_id=snapshot.id,
        kind=kind,
        reason=reason,
        until=until,
        placed_at=now,
        placed_by=by,
        release_asked_at=None,
        release_asked_by="",
        release_asked_id="",
        released_at=None,
        released_by="",
    )
    table_holds.insert(connection, hold)
    end = {"until": clock.to_text(until)} if until else {}
    note(connection, hold, by, _ACTIONS[kind], reason=reason, **end)
    return hold


def of_kind(connection: sqlite3.Connection, snapshot: Snapshot, kind: HoldKind) -> Hold | None:
    """Return a snapshot's hold of this kind, if one is in force."""
    now = clock.now()
    found = table_holds.of_snapshot(connection, snapshot.id)
    return next((hold for hold in found if hold.kind is kind and hold.is_in_force_at(now)), None)


def _future(moment: datetime) -> datetime:
    """Return the moment in UTC. Raises InvalidRequest for one that is past, of no zone, or beyond the calendar."""
    try:
        if moment.tzinfo is not None and moment.astimezone(UTC) > clock.now():
            return moment.astimezone(UTC)
    except OverflowError:
        pass
    message = "A legal hold ends in the future."
    raise InvalidRequest(message, field="until")


def _checked(reason: str) -> str:
    """Return the reason trimmed. Raises InvalidRequest."""
    said = reason.strip()
    if len(said) > REASON_LENGTH or _CONTROL.search(said):
        message = f"A reason is one line of {REASON_LENGTH} characters at most."
        raise InvalidRequest(message, field="reason")
    return said


def known(connection: sqlite3.Connection, principal: Principal, snapshot_id: str) -> Snapshot:
    """Return a snapshot of the tenant. Raises NotFound."""
    snapshot = table.get(connection, snapshot_id, principal.tenant_id)
    if snapshot is None:
        message = "There is no such snapshot."
        raise NotFound(message)
    return snapshot


def note(connection: sqlite3.Connection, hold: Hold, actor: str, action: str, **detail: object) -> None:
    """Write into the audit log what is done with a hold."""
    record(
        connection,
        tenant_id=hold.tenant_id,
        actor=actor,
        action=action,
        target=hold.snapshot_id,
        hold=hold.id,
        kind=hold.kind.value,
        **detail,
    )
