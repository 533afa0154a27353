"""For how long a tenant keeps checkpoints: what retention removes can be brought back as long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.audit.record import record
from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission, Principal
from saveos.repositories import table_checkpoints

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database

DAYS_LIMIT = 365


def days(database: Database, principal: Principal) -> int:
    """Return for how many days the tenant keeps checkpoints; 0: none is kept."""
    principal.require(Permission.READ)
    return table_checkpoints.quarantine_days(database.read, principal.tenant_id)


def held_bytes(database: Database, principal: Principal) -> int:
    """Return what all the tenant's checkpoints hold on disk that no repository does, as last measured."""
    principal.require(Permission.READ)
    return table_checkpoints.quarantine_bytes(database.read, principal.tenant_id)


def choose_days(database: Database, principal: Principal, count: int) -> None:
    """Keep checkpoints that are made from now on for so many days. Raises InvalidRequest."""
    principal.require(Permission.SETTINGS)
    if not 0 <= count <= DAYS_LIMIT:
        raise InvalidRequest(f"Checkpoints are kept for 0 to {DAYS_LIMIT} days.", field="quarantine_days")

    def write(connection: sqlite3.Connection) -> None:
        was = table_checkpoints.quarantine_days(connection, principal.tenant_id)
        if was == count:
            return
        table_checkpoints.set_quarantine_days(connection, principal.tenant_id, count)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="quarantine-days-chosen",
            target=principal.tenant_id,
            days=count,
            was=was,
        )

    database.write(write)
