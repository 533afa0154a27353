"""Open alerts and clear them, inside the transaction that finds out; show them, and let a person put one away."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from saveos.alerts import table
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.errors import Conflict, NotFound
from saveos.identity.principals import Permission, Principal

if TYPE_CHECKING:
    import sqlite3

    from saveos.alerts.model import Alert, AlertChoice, AlertPage
    from saveos.database.connection import Database
    from saveos.protocol import AgentId, TenantId

log = logging.getLogger("saveos.alerts")
APPLIANCE = "system:appliance"


def raise_alert(
    connection: sqlite3.Connection,
    tenant_id: TenantId,
    agent_id: AgentId | None,
    kind: AlertKind,
    **evidence: Any,
) -> bool:
    """Open an alert unless one of this kind is open; return whether it is new."""
    if not table.insert(connection, tenant_id, agent_id, kind, evidence):
        return False
    log.warning("Alert: %s of %s: %s", kind, agent_id or "the appliance", evidence)
    record(
        connection,
        tenant_id=tenant_id,
        actor=APPLIANCE,
        action="alert-opened",
        target=agent_id or "",
        kind=kind.value,
    )
    return True


def clear(
    connection: sqlite3.Connection,
    tenant_id: TenantId,
    agent_id: AgentId | None,
    kind: AlertKind,
    by: str = APPLIANCE,
) -> bool:
    """End the open alert of this kind; return whether there was one."""
    if not table.clear(connection, tenant_id, agent_id, kind, by):
        return False
    record(connection, tenant_id=tenant_id, actor=by, action="alert-cleared", target=agent_id or "", kind=kind.value)
    return True


def find(
    database: Database,
    principal: Principal,
    *,
    agent_id: str = "",
    is_open: bool = False,
    before: str = "",
    limit: int = 100,
) -> list[Alert]:
    """Return the tenant's alerts, newest first. `is_open`: only those that go on."""
    principal.require(Permission.READ)
    limit = min(max(limit, 1), 1000)
    return table.find(
        database.read, principal.tenant_id, agent_id=agent_id, is_open=is_open, before=before, limit=limit
    )


def look(database: Database, principal: Principal, choice: AlertChoice, offset: int = 0, limit: int = 50) -> AlertPage:
    """Return a part of the tenant's alerts: those that go on first, the worst first, then the newest."""
    principal.require(Permission.READ)
    return table.page(database.read, principal.tenant_id, choice, offset, limit)


def of_appliance(database: Database, principal: Principal, kind: AlertKind) -> Alert | None:
    """Return the alert of a kind that goes on about the tenant as a whole."""
    principal.require(Permission.READ)
    return table.open_of_kind(database.read, principal.tenant_id, None, kind)


def put_away(database: Database, principal: Principal, alert_id: str) -> None:
    """End an alert by hand: somebody has seen to it.

    Raises NotFound, Conflict (it is over, or its repository is frozen: then it ends with that).
    """
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> None:
        alert = table.get(connection, alert_id, principal.tenant_id)
        if alert is None:
            raise NotFound("There is no such alert.")
        if alert.kind is AlertKind.HOSTILE and alert.cleared_at is None:
            raise Conflict("The repository is frozen: roll it back, or say that what the host did was meant.")
        if not clear(connection, alert.tenant_id, alert.agent_id, alert.kind, principal.label):
            raise Conflict("This alert is over already.")

    database.write(write)
