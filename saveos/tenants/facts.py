"""What the serving process tells others, the command line beside it too: where it is reached, and a full disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.tenants import table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from saveos.database.connection import Database

ADDRESSES = "addresses"
ADDRESSES_TOLD = "addresses-told"  # to hosts: see agents.addresses
MOVED = "moved"  # jobs ask for it too: an appliance that has moved gives none out
DISK_FULL = "disk-full"  # jobs ask for it too: what would fill the disk is not handed out


def keep_addresses(database: Database, addresses: Sequence[str]) -> None:
    """Keep "host:port" for every name that agents may dial, the best first."""
    text = msgspec.json.encode(list(addresses)).decode()
    database.write(lambda connection: table.set_fact(connection, ADDRESSES, text))


def addresses(database: Database) -> tuple[str, ...]:
    """Return the addresses of the process that served last; empty when none ever did."""
    text = table.fact(database.read, ADDRESSES)
    return msgspec.json.decode(text, type=tuple[str, ...]) if text else ()


def addresses_json(connection: sqlite3.Connection) -> str | None:
    """Return what hosts are told of where the appliance is."""
    return table.fact(connection, ADDRESSES_TOLD)


def set_addresses_json(connection: sqlite3.Connection, text: str) -> None:
    """Keep what hosts are told of where the appliance is."""
    table.set_fact(connection, ADDRESSES_TOLD, text)


def moved_to(connection: sqlite3.Connection) -> str:
    """Return where the appliance has moved to; empty: it serves here."""
    return table.fact(connection, MOVED) or ""


def set_moved_to(connection: sqlite3.Connection, address: str) -> None:
    """Note where the appliance has moved to; empty: it serves here."""
    table.set_fact(connection, MOVED, address or None)


def set_disk_full(connection: sqlite3.Connection, since: datetime | None) -> None:
    """Note since when the disk is full; None: it is not."""
    table.set_fact(connection, DISK_FULL, clock.to_text(since) if since else None)


def disk_full_at(database: Database) -> datetime | None:
    """Return since when the disk is full; None when there is room."""
    text = table.fact(database.read, DISK_FULL)
    return clock.from_text(text) if text else None
