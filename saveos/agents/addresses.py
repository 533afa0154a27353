"""Where hosts find the appliance: the ordered list that they keep, who holds it, and who serves when there are two.

A list has a serial that only grows. It is made anew when an administrator changes it, and when the appliance stands on
another machine or answers to other addresses than before. A host follows the greatest serial that it has heard of; an
appliance that hears a greater one than its own gives that host no work: it is a former one, or an older state of one.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table_addresses
from saveos.agents.hostnames import name_or_address
from saveos.agents.table_addresses import Holder
from saveos.audit.record import record
from saveos.errors import Conflict, HasMoved, InvalidRequest
from saveos.identity.principals import Permission
from saveos.protocol import ADDRESSES_LIMIT, Heartbeat, is_address
from saveos.tenants import facts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

FURTHER_LIMIT = 8
SHOWN_LIMIT = 100  # of the hosts that do not hold the list
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


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """How the list stands. `further` can be changed; `holders_count` of `hosts_count` hosts hold the list as it is.

    `ahead_count`: hosts that hold a later list, and get no work here. `waiting`: the first that do not hold this one.
    """

    addresses: tuple[str, ...]
    own: tuple[str, ...]
    further: tuple[str, ...]
    serial: int
    moved_to: str
    moved_at: datetime | None
    hosts_count: int
    holders_count: int
    ahead_count: int
    waiting: tuple[Holder, ...]


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
        mine = tuple(address for address in own if is_address(address))[:FURTHER_LIMIT]
        has_arrived = bool(was.moved_to) and (was.moved_to in mine or was.machine != machine)
        if (mine, machine) == (was.own, was.machine) and not has_arrived:
            return
        now = msgspec.structs.replace(was, own=mine, machine=machine)
        if not was.moved_to or has_arrived:
            now = msgspec.structs.replace(now, serial=_next(was.serial), moved_to="", moved_at=None)
        _keep(connection, now)
        if has_arrived:
            record(
                connection, tenant_id=None, actor="system:appliance", action="appliance-arrived", target=was.moved_to
            )

    facts.keep_addresses(database, own)
    database.write(write)


def show(database: Database, principal: Principal) -> Addresses:
    """Return the list, and which hosts of the tenant hold it."""
    principal.require(Permission.READ)
    return _shown(database.read, principal)


def change(database: Database, principal: Principal, further: Sequence[str]) -> Addresses:
    """Let hosts know these further addresses, in this order. Raises InvalidRequest, Conflict once it has moved."""
    principal.require(Permission.SETTINGS)
    clean = tuple(dict.fromkeys(map(_clean, further)))
    if len(clean) > FURTHER_LIMIT:
        raise InvalidRequest(f"At most {FURTHER_LIMIT} further addresses.", field="further")

    def write(connection: sqlite3.Connection) -> Addresses:
        was = told(connection)
        if was.moved_to:
            raise Conflict(f"This appliance has moved to {was.moved_to}: change the addresses there.")
        if clean != was.further:
            _keep(connection, msgspec.structs.replace(was, further=clean, serial=_next(was.serial)))
            _note(connection, principal, "addresses-changed", clean)
        return _shown(connection, principal)

    return database.write(write)


def mark_moved(database: Database, principal: Principal, address: str) -> Addresses:
    """Send hosts to another place and give out no work any more, until `serve_here`.

    The serial stays: the other appliance, perhaps there already, is the later one. Raises InvalidRequest.
    """
    principal.require(Permission.SETTINGS)
    moved_to = _clean(address)

    def write(connection: sqlite3.Connection) -> Addresses:
        was = told(connection)
        if moved_to in was.own:
            raise InvalidRequest(f"{moved_to} is this appliance.", field="address")
        _keep(connection, msgspec.structs.replace(was, moved_to=moved_to, moved_at=clock.now()))
        _note(connection, principal, "appliance-moved", [moved_to])
        return _shown(connection, principal)

    return database.write(write)


def serve_here(database: Database, principal: Principal) -> Addresses:
    """Say that this is the appliance: hosts of any later list follow it again, once they come here."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> Addresses:
        was = told(connection)
        latest = max(was.serial, table_addresses.greatest(connection))
        _keep(connection, msgspec.structs.replace(was, serial=_next(latest), moved_to="", moved_at=None))
        _note(connection, principal, "appliance-serves-here")
        return _shown(connection, principal)

    return database.write(write)


def _shown(connection: sqlite3.Connection, principal: Principal) -> Addresses:
    now = told(connection)
    hosts, holders, ahead = table_addresses.counts(connection, principal.tenant_id, now.serial)
    return Addresses(
        addresses=now.addresses,
        own=now.own,
        further=now.further,
        serial=now.serial,
        moved_to=now.moved_to,
        moved_at=now.moved_at,
        hosts_count=hosts,
        holders_count=holders,
        ahead_count=ahead,
        waiting=table_addresses.without(connection, principal.tenant_id, now.serial, SHOWN_LIMIT),
    )


def _keep(connection: sqlite3.Connection, now: Told) -> None:
    facts.set_addresses_json(connection, msgspec.json.encode(now).decode())
    facts.set_moved_to(connection, now.moved_to)


def _note(connection: sqlite3.Connection, principal: Principal, action: str, addresses: Sequence[str] = ()) -> None:
    record(
        connection,
        tenant_id=principal.tenant_id,
        actor=principal.label,
        action=action,
        addresses=list(addresses),
    )


def _next(serial: int) -> int:
    """Return the serial of a list that is made now: later than any that an older state of the appliance has told."""
    return max(serial + 1, int(clock.now().timestamp()))


def _machine() -> str:
    """Return what tells this machine from others, without telling its id; empty where it has none."""
    try:
        return hashlib.sha256(b"saveos addresses " + MACHINE_ID.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _clean(text: str) -> str:
    """Return "host:port" as hosts dial it. Raises InvalidRequest."""
    name, _colon, port = text.strip().rpartition(":")
    host = name_or_address(name) if port.isascii() and port.isdigit() else ""
    address = f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}" if host else ""
    if not is_address(address) or _is_nowhere(host) or (":" in host and not name.strip().startswith("[")):
        message = f"{text.strip()[:255]!r} is no address: write host:port, an IPv6 address in brackets."
        raise InvalidRequest(message, field="further")
    return address


def _is_nowhere(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_unspecified or address.is_multicast
