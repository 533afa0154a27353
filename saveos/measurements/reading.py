"""Read what was measured, and what jobs and snapshots sum up to, over a range of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import NotAllowed
from saveos.identity.principals import Permission, Principal
from saveos.measurements import activity, table
from saveos.measurements.model import GRAINS, OPEN, SAMPLE_SECONDS, Name, Series, floor, from_seconds
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime, tzinfo

    from saveos.database.connection import Database
    from saveos.measurements.model import Bar, HostStorage, Range

HOUR_WIDTH, MINUTE_WIDTH = len("2026-01-01T00"), len("2026-01-01T00:00")


def may_see(database: Database, principal: Principal) -> frozenset[Name]:
    """Return the series that somebody may read.

    What all tenants do together tells one about another: it is for the default tenant's administrators, and for
    everybody while there is no other tenant. The disk is everybody's concern.
    """
    principal.require(Permission.READ)
    return _allowed(database.read, principal)


def series(database: Database, principal: Principal, names: Iterable[Name], span: Range) -> dict[Name, Series]:
    """Return measured series over a range that ends now. Raises NotAllowed for one that is not for the principal."""
    principal.require(Permission.READ)
    asked = list(dict.fromkeys(names))
    if hidden := set(asked) - _allowed(database.read, principal):
        message = "Your role or your tenant does not permit this: it tells of all tenants together."
        raise NotAllowed(message, names=sorted(hidden))
    grain = GRAINS[span]
    now = clock.now()
    since = floor(now - grain.span, grain.step_seconds) + grain.step_seconds
    return _read(database.read, asked, since, now, grain.step_seconds)


def news(database: Database, principal: Principal, names: Iterable[Name], since: datetime) -> dict[Name, Series]:
    """Return what was measured from `since` on, as it was sampled. For a page that is open; see `series`."""
    principal.require(Permission.READ)
    asked = [name for name in dict.fromkeys(names) if name in _allowed(database.read, principal)]
    return _read(database.read, asked, floor(since, SAMPLE_SECONDS), clock.now(), SAMPLE_SECONDS)


def bars(database: Database, principal: Principal, span: Range, zone: tzinfo) -> list[Bar]:
    """Return what the tenant's backups did over a range, in bars of minutes, hours, days or weeks of that zone."""
    principal.require(Permission.READ)
    starts = activity.starts(clock.now(), GRAINS[span], zone)
    width = HOUR_WIDTH if GRAINS[span].bar.total_seconds() >= 3600 else MINUTE_WIDTH  # noqa: PLR2004 - an hour
    connection = database.read
    ended = table.ended_backups(connection, principal.tenant_id, starts[0], width)
    added = table.added(connection, principal.tenant_id, starts[0], width)
    return activity.gather(starts, ended, added)


def hosts(database: Database, principal: Principal, span: Range) -> list[HostStorage]:
    """Return what each of the tenant's hosts keeps here, and what it added over a range."""
    principal.require(Permission.READ)
    return table.hosts(database.read, principal.tenant_id, clock.now() - GRAINS[span].span)


def _allowed(connection: sqlite3.Connection, principal: Principal) -> frozenset[Name]:
    first = tenants.first_tenant(connection)
    is_first = first is not None and first["id"] == principal.tenant_id
    if is_first and (principal.may(Permission.SETTINGS) or table.tenants_count(connection) == 1):
        return frozenset(Name)
    return OPEN


def _read(
    connection: sqlite3.Connection, names: list[Name], since: int, now: datetime, step_seconds: int
) -> dict[Name, Series]:
    """Fill the steps. Those that nothing was measured in stay empty: a gap is told, not bridged."""
    until = floor(now, step_seconds) + step_seconds
    rows = table.means(connection, names, since, until, step_seconds) if names else []
    by_slot = {row["slot"]: row for row in rows}
    slots = range(since // step_seconds * step_seconds, until, step_seconds)
    return {
        name: Series(
            name=name,
            start=from_seconds(slots.start),
            step_seconds=step_seconds,
            values=tuple(by_slot[slot][name] if slot in by_slot else None for slot in slots),
        )
        for name in names
    }
