"""Names are content: a tenant says whether the appliance may read those of its files."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from saveos.audit.record import record
from saveos.identity.principals import Permission, Principal
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import table_listings
from saveos.snapshots.rebuilding import ask_for_all

if TYPE_CHECKING:
    import sqlite3

    from saveos.config import Settings
    from saveos.database.connection import Database


class Names(StrEnum):
    """Who reads names."""

    READABLE = "readable"  # the appliance: whoever may see a host browses and searches
    SEALED = "sealed"  # only who holds the host's key; the appliance keeps the listings encrypted


def get(database: Database, principal: Principal) -> Names:
    """Return who reads the names of the tenant's files."""
    principal.require(Permission.READ)
    return Names(table_listings.names_of_tenant(database.read, principal.tenant_id))


def choose(database: Database, settings: Settings, principal: Principal, names: Names) -> None:
    """Change who reads names: what is kept the other way is deleted, and the hosts are asked for all of it anew."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> list[str]:
        if table_listings.names_of_tenant(connection, principal.tenant_id) == names:
            return []
        table_listings.set_names_of_tenant(connection, principal.tenant_id, names.value)
        agents: list[str] = [
            agent_id for agent_id, _hostname, _is_indexed in table_listings.hosts(connection, principal.tenant_id)
        ]
        for agent_id in agents:
            ask_for_all(connection, agent_id)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="names-chosen",
            target=principal.tenant_id,
            names=names.value,
        )
        return agents

    for agent_id in database.write(write):
        files.remove(settings, principal.tenant_id, agent_id)
    if names is Names.SEALED:
        files.remove_readable(settings, principal.tenant_id)
