"""Who lets a snapshot go. A legal hold ends by itself, or by two administrators: one asks, another one agrees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import Conflict, LoneAdministrator, NotAllowed, NotFound, SecondPersonNeeded
from saveos.identity.principals import Actor, Permission, Principal
from saveos.snapshots import table_holds
from saveos.snapshots.holds import known, note, of_kind
from saveos.snapshots.model import Hold, HoldKind
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.database.connection import Database


def asked_of(database: Database, principal: Principal) -> list[Hold]:
    """Return the legal holds that wait for this administrator to agree, the first asked first."""
    principal.require(Permission.HOLDS)
    found = table_holds.asked(database.read, principal.tenant_id, clock.now())
    return [hold for hold in found if hold.release_asked_id != principal.id]


def release(database: Database, principal: Principal, snapshot_id: str, hold_id: str) -> Hold:
    """End a pin or an anomaly's hold; of a legal hold, ask that another administrator end it.

    Raises NotFound, Conflict (it is over, or somebody else has asked), NotAllowed, LoneAdministrator.
    """
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> Hold:
        hold = _current(connection, principal, snapshot_id, hold_id)
        if hold.kind is HoldKind.LEGAL:
            principal.require(Permission.HOLDS)
            _ask(connection, principal, hold)
        else:
            table_holds.release(connection, hold.id, principal.label)
            note(connection, hold, principal.label, "snapshot-unpinned" if _is_pin(hold) else "hold-released")
        return _after(connection, hold)

    return database.write(write)


def unpin(database: Database, principal: Principal, snapshot_id: str) -> Hold:
    """End a snapshot's pin. Raises NotFound, Conflict when there is none."""
    principal.require(Permission.BACK_UP)
    hold = of_kind(database.read, known(database.read, principal, snapshot_id), HoldKind.PIN)
    if hold is None:
        message = "This snapshot is not pinned."
        raise Conflict(message)
    return release(database, principal, snapshot_id, hold.id)


def confirm(database: Database, principal: Principal, snapshot_id: str, hold_id: str) -> Hold:
    """End the legal hold that another administrator has asked to end.

    Raises NotFound, Conflict (nobody asks, or it is over), NotAllowed, SecondPersonNeeded.
    """
    principal.require(Permission.HOLDS)
    _require_person(principal)

    def write(connection: sqlite3.Connection) -> Hold:
        hold = _current(connection, principal, snapshot_id, hold_id)
        _require_second(connection, principal, hold)
        table_holds.release(connection, hold.id, principal.label)
        note(connection, hold, principal.label, "hold-released", asked_by=hold.release_asked_by)
        return _after(connection, hold)

    return database.write(write)


def withdraw(database: Database, principal: Principal, snapshot_id: str, hold_id: str) -> Hold:
    """Take back that a legal hold should end: who asked, or any other administrator. Raises NotFound, Conflict."""
    principal.require(Permission.HOLDS)

    def write(connection: sqlite3.Connection) -> Hold:
        hold = _current(connection, principal, snapshot_id, hold_id)
        if hold.release_asked_at is None:
            message = "Nobody has asked for the end of this hold."
            raise Conflict(message)
        table_holds.ask_release(connection, hold.id, None)
        note(connection, hold, principal.label, "hold-release-withdrawn", asked_by=hold.release_asked_by)
        return _after(connection, hold)

    return database.write(write)


def _current(connection: sqlite3.Connection, principal: Principal, snapshot_id: str, hold_id: str) -> Hold:
    """Return a hold of the tenant that is in force. Raises NotFound, Conflict."""
    hold = table_holds.get(connection, hold_id, snapshot_id, principal.tenant_id)
    if hold is None:
        message = "There is no such hold."
        raise NotFound(message)
    if not hold.is_in_force_at(clock.now()):
        message = "This hold is over already."
        raise Conflict(message)
    return hold


def _after(connection: sqlite3.Connection, hold: Hold) -> Hold:
    return table_holds.get(connection, hold.id, hold.snapshot_id, hold.tenant_id) or hold


def _is_pin(hold: Hold) -> bool:
    return hold.kind is HoldKind.PIN


def _ask(connection: sqlite3.Connection, principal: Principal, hold: Hold) -> None:
    _require_person(principal)
    others = _administrators(connection, hold) - {principal.id}
    if not others:
        message = (
            "You are the only administrator: nobody could agree, and nobody alone ends a legal hold. It ends at its"
            " end, or once there is a second administrator."
        )
        raise LoneAdministrator(message)
    if hold.release_asked_id == principal.id:
        return
    if hold.release_asked_id in others:
        message = f"{hold.release_asked_by} has asked already: agree, or have it withdrawn."
        raise Conflict(message)
    table_holds.ask_release(connection, hold.id, principal)  # perhaps in place of one who has left
    note(connection, hold, principal.label, "hold-release-asked")


def _require_second(connection: sqlite3.Connection, principal: Principal, hold: Hold) -> None:
    """Raise unless two administrators agree, of whom the second was one among them when the first one asked."""
    if hold.release_asked_at is None:
        message = "Nobody has asked for the end of this hold."
        raise Conflict(message)
    if hold.release_asked_id == principal.id:
        message = "You have asked yourself: another administrator has to agree."
        raise SecondPersonNeeded(message)
    if hold.release_asked_id not in _administrators(connection, hold):
        message = f"{hold.release_asked_by} is no administrator any more. Ask anew."
        raise SecondPersonNeeded(message)
    if principal.id not in _administrators(connection, hold, hold.release_asked_at):
        message = "Your account is younger than the request: withdraw it, and have it asked anew."
        raise SecondPersonNeeded(message)


def _administrators(connection: sqlite3.Connection, hold: Hold, since: datetime | None = None) -> set[str]:
    """Return who may decide on a hold; with `since`, only whose account is as old as that."""
    rows = tenants.administrators(connection, hold.tenant_id)
    return {row["id"] for row in rows if since is None or row["created_at"] <= clock.to_text(since)}


def _require_person(principal: Principal) -> None:
    if principal.actor is not Actor.USER:
        message = "A legal hold is ended by two persons, each under their own name."
        raise NotAllowed(message)
