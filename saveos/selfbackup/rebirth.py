"""What a database is told that comes back on another machine, or at a later time: it takes a former appliance's place.

What was under way is over; who was signed in signs in again; what was promised to be handed out once is not handed out
twice. Nothing is believed of repositories that is not on this disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import moving
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.jobs.model import State
from saveos.offsite import table as table_offsite
from saveos.repositories import table as repositories
from saveos.selfbackup import table
from saveos.snapshots import rebuilding
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from saveos.protocol import TenantId

WHY = "The appliance came back from a backup of itself: what became of this is not known."


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `hosts_count`: without revoked ones; `away`: hosts whose repository is not here."""

    tenants: tuple[str, ...]
    users_count: int
    hosts_count: int
    policies_count: int
    snapshots_count: int
    repositories_count: int
    here_count: int
    away: tuple[str, ...]


def settle(connection: sqlite3.Connection, made_at: datetime, here: AbstractSet[str]) -> Inventory:
    """Make a recovered database one that may serve. `here`: the agents whose repository is on this machine."""
    now = clock.to_text(clock.now())
    table_offsite.set_appliance_id(connection, new_id("apl"))
    table_offsite.set_inherited(connection, [store.id for store in table_offsite.every_store(connection)])
    moving.be_latest(connection)
    table.end_jobs(connection, State.FAILED.value, WHY, now)
    table.forget_guests(connection, now)
    table.renew_lives(connection)
    table.forget_listings(connection)
    for repository in repositories.everything(connection):
        if repository.engine_id and repository.agent_id not in here:
            repositories.set_away(connection, repository.agent_id)
        elif repository.engine_id:
            repositories.set_here(connection, repository.agent_id)
            rebuilding.ask_for_all(connection, repository.agent_id)  # of the others, once they are back
    for tenant_id in tenants.tenant_ids(connection):
        _tell(connection, tenant_id, made_at)
    return inventory(connection, here)


def inventory(connection: sqlite3.Connection, here: AbstractSet[str]) -> Inventory:
    """Count what there is."""
    return Inventory(
        tenants=tuple(table.tenant_names(connection)),
        here_count=len(here),
        away=tuple(table.away(connection)),
        **table.counts(connection),
    )


def _tell(connection: sqlite3.Connection, tenant_id: TenantId, made_at: datetime) -> None:
    """Tell a tenant's people that what changed after a moment is not in it."""
    moment = clock.to_text(made_at)
    raising.clear(connection, tenant_id, None, AlertKind.RECOVERED)  # of an earlier one
    raising.raise_alert(connection, tenant_id, None, AlertKind.RECOVERED, made_at=moment)
    record(
        connection,
        tenant_id=tenant_id,
        actor=raising.APPLIANCE,
        action="appliance-recovered",
        target="",
        made_at=moment,
    )
