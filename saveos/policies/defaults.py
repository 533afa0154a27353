"""The policy that protects a host from its first minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.database.identifiers import new_id
from saveos.identity.principals import Permission
from saveos.policies import table
from saveos.policies.model import Policy
from saveos.protocol import PolicyId

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.protocol import TenantId


def give_default(connection: sqlite3.Connection, tenant_id: TenantId) -> None:
    """Give a new tenant its default policy: the host's own default set, nightly at two, kept for a year."""
    table.insert(connection, Policy(id=PolicyId(new_id("pol")), tenant_id=tenant_id, name="Default", is_default=True))


def find(database: Database, principal: Principal) -> list[Policy]:
    """Return the tenant's policies by name."""
    principal.require(Permission.READ)
    return table.find(database.read, principal.tenant_id)
