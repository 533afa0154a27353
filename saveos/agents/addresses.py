"""Where hosts find the appliance: the ordered list that they are told, and who serves when there are two.

A list has a serial that only grows. It is made anew when an administrator changes it, and when the appliance stands on
another machine or answers to other addresses than before. A host follows the greatest serial that it has heard of; an
appliance that hears a greater one than its own gives that host no work: it is a former one, or an older state of one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.audit.record import record
from saveos.errors import HasMoved
from saveos.protocol import ADDRESSES_LIMIT, Heartbeat, is_address
from saveos.tenants import facts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.database.connection import Database

OWN_LIMIT = 8
AHEAD = timedelta(days=366)  # a serial is a moment: what lies further ahead, no appliance has said
MACHINE_ID = Path("/etc/machine-id")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What hosts are told. `own`: where the serving process is reached; `further`: what administrators added.

    `moved_to`: somewhere else; then no work is given out here. `machine`: which one this list was made on.
    """

    serial: int = 0
    own: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    moved_to: str = ""
    moved_at: datetime | None = None
    machine: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The list, the best first."""
        named = (self.moved_to, *self.own, *self.further)
        return tuple(dict.fromkeys(address for address in named if address))


def told(connection: sqlite3.Connection) -> Told:
    """Return what hosts are told at this moment."""
    text = facts.addresses_json(connection)
    return msgspec.json.decode(text, type=Told) if text else Told()


def is_ahead(connection: sqlite3.Connection, serial: int) -> bool:
    """Return whether a host that holds this list belongs to a later appliance than this one."""
    return told(connection).serial < sane(serial)


def sane(serial: int) -> int:
    """Return a serial that a host says; 0 for one that no appliance can have said."""
    return serial if serial <= int((clock.now() + AHEAD).timestamp()) else 0


def require_here(connection: sqlite3.Connection, serial: int = 0) -> None:
    """Raise HasMoved when another appliance serves: as an administrator said, or a host that holds this list."""
    if moved_to := facts.moved_to(connection):
        raise HasMoved(f"This appliance has moved to {moved_to}.")
    if is_ahead(connection, serial):
        raise HasMoved("This host works for a later appliance than this one.")


def answer_to(connection: sqlite3.Connection, heartbeat: Heartbeat) -> tuple[Told, tuple[str, ...]]:
    """Return how things stand, and the list for this host: empty when it holds it already."""
    now = told(connection)
    knows = heartbeat.addresses_serial == now.serial and not now.moved_to
    return now, () if knows else now.addresses[:ADDRESSES_LIMIT]


def for_stamp(connection: sqlite3.Connection, own: Sequence[str]) -> tuple[str, ...]:
    """Return where a host that is to enrol tries its luck: at all of our own addresses, then at the further ones."""
    return tuple(dict.fromkeys((*own, *told(connection).further)))


def keep_own(database: Database, own: Sequence[str]) -> None:
    """Keep where the serving process is reached, the best first. Another machine or another place is a new list.

    Where it was said to have moved to, it has arrived now.
    """

    def write(connection: sqlite3.Connection) -> None:
        was, machine = told(connection), _machine()
        mine = tuple(address for address in own if is_address(address))[:OWN_LIMIT]
        has_arrived = bool(was.moved_to) and (was.moved_to in mine or was.machine != machine)
        if (mine, machine) == (was.own, was.machine) and not has_arrived:
            return
        now = msgspec.structs.replace(was, own=mine, machine=machine)
        if not was.moved_to or has_arrived:
            now = msgspec.structs.replace(now, serial=next_serial(was.serial), moved_to="", moved_at=None)
        keep(connection, now)
        if has_arrived:
            record(
                connection, tenant_id=None, actor="system:appliance", action="appliance-arrived", target=was.moved_to
            )

    facts.keep_addresses(database, own)
    database.write(write)


def keep(connection: sqlite3.Connection, now: Told) -> None:
    """Tell hosts this from now on."""
    facts.set_addresses_json(connection, msgspec.json.encode(now).decode())
    facts.set_moved_to(connection, now.moved_to)


def next_serial(serial: int) -> int:
    """Return the serial of a list that is made now: later than any that an older state of the appliance has told."""
    return max(serial + 1, int(clock.now().timestamp()))


def _machine() -> str:
    """Return what tells this machine from others, without telling its id; empty where it has none."""
    try:
        return hashlib.sha256(b"saveos addresses " + MACHINE_ID.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
