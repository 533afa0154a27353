"""A catalogue is a cache: what is lost, broken or to be kept another way is asked of the host anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.errors import NotFound
from saveos.identity.principals import Permission, Principal
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import indexing, table_catalogue, table_listings
from saveos.snapshots.table_listings import ListingState, Want

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.indexing import Ending
    from saveos.snapshots.table_listings import Listing


def rebuild(database: Database, settings: Settings, principal: Principal, agent_id: str) -> int:
    """Delete a host's catalogue and ask the host for every listing; return how many. Raises NotFound.

    The host reads them from its repository, which takes it about half a minute for a million files.
    """
    principal.require(Permission.BACK_UP)
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    files.remove(settings, agent.tenant_id, agent.id)

    def write(connection: sqlite3.Connection) -> int:
        ask_for_all(connection, agent.id)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="catalogue-rebuild-requested",
            target=agent.id,
        )
        return len(table_listings.lacking(connection, agent.id, Want.ALL))

    return database.write(write)


def record_end(database: Database, listing: Listing, ending: Ending) -> None:
    """Keep how the indexing of a listing ended; what had the wrong base makes the host begin anew."""

    def write(connection: sqlite3.Connection) -> None:
        if not ending.code:
            table_listings.set_ended(
                connection, listing.snapshot_id, ListingState.INDEXED, entries_count=ending.entries_count
            )
        elif ending.code == "wrong-base":
            ask_for_all(connection, listing.agent_id)
        else:
            table_listings.set_ended(connection, listing.snapshot_id, ListingState.FAILED, message=ending.message)

    database.write(write)


def forget(settings: Settings, tenant_id: str, agent_id: str, snapshot_ids: Sequence[str]) -> None:
    """Take snapshots of a host out of its catalogue, once they are gone. Raises OSError, sqlite3.Error."""
    indexing.forget(files.to_read(settings, tenant_id, agent_id), snapshot_ids)


def ask_for_lost(database: Database, settings: Settings) -> int:
    """Ask each host anew whose catalogue should be here and is not, or is of an older form; return how many."""
    lost = [
        (tenant_id, agent_id)
        for tenant_id, agent_id in table_listings.agents_with_any(database.read)
        if table_catalogue.version(files.catalogue(settings, tenant_id, agent_id)) != table_catalogue.VERSION
    ]
    for tenant_id, agent_id in lost:
        files.remove(settings, tenant_id, agent_id)
        database.write(lambda connection, agent_id=agent_id: ask_for_all(connection, agent_id))  # type: ignore[misc]
    return len(lost)


def ask_for_all(connection: sqlite3.Connection, agent_id: str) -> None:
    """Forget what is here of a host's listings, and want all of them."""
    table_listings.forget_all(connection, agent_id)
    table_listings.want(connection, agent_id, Want.ALL)
