"""Moving house: further addresses that hosts hold beforehand, which of them do, and who serves from now on."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table_addresses
from saveos.agents.addresses import keep, next_serial, told
from saveos.agents.hostnames import name_or_address
from saveos.agents.table_addresses import Holder
from saveos.audit.record import record
from saveos.errors import Conflict, InvalidRequest
from saveos.identity.principals import Permission
from saveos.protocol import is_address

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

FURTHER_LIMIT = 8
SHOWN_LIMIT = 100  # of the hosts that do not hold the list


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
            keep(connection, msgspec.structs.replace(was, further=clean, serial=next_serial(was.serial)))
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
        keep(connection, msgspec.structs.replace(was, moved_to=moved_to, moved_at=clock.now()))
        _note(connection, principal, "appliance-moved", [moved_to])
        return _shown(connection, principal)

    return database.write(write)


def serve_here(database: Database, principal: Principal) -> Addresses:
    """Say that this is the appliance: hosts of any later list follow it again, once they come here."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> Addresses:
        be_latest(connection)
        _note(connection, principal, "appliance-serves-here")
        return _shown(connection, principal)

    return database.write(write)


def be_latest(connection: sqlite3.Connection) -> None:
    """Let this be the appliance that serves: its list is later than any that a host is known to hold."""
    was = told(connection)
    latest = max(was.serial, table_addresses.greatest(connection))
    keep(connection, msgspec.structs.replace(was, serial=next_serial(latest), moved_to="", moved_at=None))


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


def _note(connection: sqlite3.Connection, principal: Principal, action: str, addresses: Sequence[str] = ()) -> None:
    record(
        connection,
        tenant_id=principal.tenant_id,
        actor=principal.label,
        action=action,
        addresses=list(addresses),
    )


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
