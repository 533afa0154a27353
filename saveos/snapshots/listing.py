"""Snapshots of all hosts, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import NotFound
from saveos.identity.principals import Permission
from saveos.snapshots import table, table_holds
from saveos.snapshots.model import SnapshotPage

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.model import ListedSnapshot, SnapshotChoice


def look(
    database: Database, principal: Principal, choice: SnapshotChoice, offset: int = 0, limit: int = 50
) -> SnapshotPage:
    """Return a part of the tenant's snapshots, newest first."""
    principal.require(Permission.READ)
    connection, tenant_id = database.read, principal.tenant_id
    return SnapshotPage(
        snapshots=_with_holds(connection, table.page(connection, tenant_id, choice, offset, limit)),
        total=table.count(connection, tenant_id, choice),
    )


def get(database: Database, principal: Principal, snapshot_id: str) -> ListedSnapshot:
    """Return a snapshot of the tenant with the names of its host and policy. Raises NotFound."""
    principal.require(Permission.READ)
    found = table.listed(database.read, snapshot_id, principal.tenant_id)
    if found is None:
        message = "There is no such snapshot."
        raise NotFound(message)
    return _with_holds(database.read, [found])[0]


def _with_holds(connection: sqlite3.Connection, snapshots: list[ListedSnapshot]) -> list[ListedSnapshot]:
    held = table_holds.kinds(connection, [snapshot.id for snapshot in snapshots], clock.now())
    return [
        msgspec.structs.replace(snapshot, holds=held[snapshot.id]) if snapshot.id in held else snapshot
        for snapshot in snapshots
    ]
