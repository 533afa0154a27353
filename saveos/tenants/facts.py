"""What the serving process tells the command line beside it: where it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.tenants import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.database.connection import Database

ADDRESSES = "addresses"


def keep_addresses(database: Database, addresses: Sequence[str]) -> None:
    """Keep "host:port" for every name that agents may dial, the best first."""
    text = msgspec.json.encode(list(addresses)).decode()
    database.write(lambda connection: table.set_fact(connection, ADDRESSES, text))


def addresses(database: Database) -> tuple[str, ...]:
    """Return the addresses of the process that served last; empty when none ever did."""
    text = table.fact(database.read, ADDRESSES)
    return msgspec.json.decode(text, type=tuple[str, ...]) if text else ()
