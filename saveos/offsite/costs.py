"""What does a copy cost? Reckoned from what lies in the store and what a store asks for; no bill is read."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.identity.principals import Permission
from saveos.offsite import table
from saveos.offsite.model import Prices
from saveos.offsite.upload import PART_BYTES
from saveos.protocol import AgentId

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

SPAN = timedelta(days=30)
GIGABYTE = 10**9
# List prices in US dollars without tax, smallest tier, as their providers published them in 2025: begin with these.
KNOWN = {
    "Amazon S3 Standard (us-east-1)": Prices(gigabyte_month=0.023, thousand_writes=0.005, gigabyte_fetched=0.09),
    "Amazon S3 Standard-IA (us-east-1)": Prices(gigabyte_month=0.0125, thousand_writes=0.01, gigabyte_fetched=0.10),
    "Amazon S3 Glacier Instant Retrieval (us-east-1)": Prices(
        gigabyte_month=0.004, thousand_writes=0.02, gigabyte_fetched=0.12
    ),
    "Backblaze B2": Prices(gigabyte_month=0.006, gigabyte_fetched=0.01),
    "Cloudflare R2 Standard": Prices(gigabyte_month=0.015, thousand_writes=0.0045),
    "Wasabi": Prices(gigabyte_month=0.00699),
}


class HostCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's copy takes: bytes that lie there, and what was sent of it within the last 30 days."""

    agent_id: AgentId
    hostname: str
    bytes: int
    sent_bytes: int
    writes_count: int
    month: float | None  # to keep and to write; None: no prices are known


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What all copies of a tenant cost in a month, as they stand, and what it would cost to fetch all of it once."""

    prices: Prices | None
    bytes: int
    sent_bytes: int
    month: float | None
    fetch: float | None
    hosts: tuple[HostCost, ...]


def of_tenant(database: Database, principal: Principal) -> Costs:
    """Return what the copies of the tenant's hosts cost."""
    principal.require(Permission.READ)
    store = table.store_of(database.read, principal.tenant_id)
    prices = store.place.prices if store else None
    hosts = []
    for row in table.held(database.read, principal.tenant_id, clock.now() - SPAN):
        writes = row["sent_count"] * 2 + row["sent_bytes"] // PART_BYTES  # an upload in parts begins and ends
        hosts.append(
            HostCost(
                agent_id=AgentId(row["agent_id"]),
                hostname=row["hostname"],
                bytes=row["bytes"],
                sent_bytes=row["sent_bytes"],
                writes_count=writes,
                month=month(prices, row["bytes"], writes) if prices else None,
            )
        )
    held = sum(host.bytes for host in hosts)
    return Costs(
        prices=prices,
        bytes=held,
        sent_bytes=sum(host.sent_bytes for host in hosts),
        month=sum(host.month or 0 for host in hosts) if prices else None,
        fetch=held / GIGABYTE * prices.gigabyte_fetched if prices else None,
        hosts=tuple(hosts),
    )


def month(prices: Prices, held_bytes: int, writes: int) -> float:
    """Return what a month costs: what lies there is kept, and as much is written as in the last one."""
    return held_bytes / GIGABYTE * prices.gigabyte_month + writes / 1000 * prices.thousand_writes
