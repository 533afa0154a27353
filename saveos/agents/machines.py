"""What kind of machine a host is: as it seems to itself, or as a person says; and how long each kind may be away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import table
from saveos.audit.record import record
from saveos.errors import NotFound
from saveos.identity.principals import Permission, Principal

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent, Limits
    from saveos.database.connection import Database
    from saveos.protocol import MachineClass


def limits(database: Database, principal: Principal) -> Limits:
    """Return the tenant's limits."""
    principal.require(Permission.READ)
    return table.limits(database.read, principal.tenant_id)


def set_limits(database: Database, principal: Principal, wanted: Limits) -> None:
    """Let the machines of the tenant be away for so long."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> None:
        table.set_limits(connection, principal.tenant_id, wanted)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="overdue-limits-set",
            target=principal.tenant_id,
            **msgspec.to_builtins(wanted),
        )

    database.write(write)


def set_class(database: Database, principal: Principal, agent_id: str, machine_class: MachineClass | None) -> Agent:
    """Say what kind of machine a host is; None: as it seems to itself. Raises NotFound."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> Agent:
        if table.get(connection, agent_id, principal.tenant_id) is None:
            raise NotFound("There is no such agent.")
        chosen = machine_class.value if machine_class else ""
        table.set_machine_class(connection, agent_id, chosen)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="machine-class-set",
            target=agent_id,
            machine_class=chosen,
        )
        changed = table.get(connection, agent_id, principal.tenant_id)
        assert changed is not None  # noqa: S101 - it was there a moment ago, in this transaction
        return changed

    return database.write(write)
