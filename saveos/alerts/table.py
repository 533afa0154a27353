"""All SQL on alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.alerts.model import Alert, AlertKind, AlertPage
from saveos.database.connection import many, one
from saveos.database.identifiers import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from saveos.alerts.model import AlertChoice
    from saveos.protocol import AgentId, TenantId

_RANKS = " ".join(f"WHEN '{kind}' THEN {rank}" for rank, kind in enumerate(AlertKind))
_GRAVITY = f"CASE WHEN l.cleared_at IS NULL THEN CASE l.kind {_RANKS} END END"
_ALERT = "SELECT l.*, a.hostname FROM alerts l LEFT JOIN agents a ON a.id = l.agent_id"


def _to_alert(row: sqlite3.Row) -> Alert:
    values = dict(row)
    values["evidence"] = msgspec.json.decode(values.pop("evidence_json"))
    return msgspec.convert(values, Alert)


def insert(
    connection: sqlite3.Connection,
    tenant_id: TenantId,
    agent_id: AgentId | None,
    kind: AlertKind,
    evidence: Mapping[str, Any],
) -> bool:
    """Open an alert; return False when one of this kind is open already: it stays as it began."""
    cursor = connection.execute(
        "INSERT INTO alerts (id, tenant_id, agent_id, kind, opened_at, evidence_json) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (new_id("alt"), tenant_id, agent_id, kind.value, clock.to_text(clock.now()), _encoded(evidence)),
    )
    return cursor.rowcount == 1


def set_evidence(connection: sqlite3.Connection, alert_id: str, evidence: Mapping[str, Any]) -> None:
    """Say more of an open alert."""
    connection.execute("UPDATE alerts SET evidence_json = ? WHERE id = ?", (_encoded(evidence), alert_id))


def clear(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId | None, kind: AlertKind, by: str
) -> bool:
    """End the open alert of this kind; return whether there was one."""
    cursor = connection.execute(
        "UPDATE alerts SET cleared_at = ?, cleared_by = ? WHERE tenant_id = ? AND agent_id IS ? AND kind = ?"
        " AND cleared_at IS NULL",
        (clock.to_text(clock.now()), by, tenant_id, agent_id, kind.value),
    )
    return cursor.rowcount > 0


def get(connection: sqlite3.Connection, alert_id: str, tenant_id: TenantId) -> Alert | None:
    """Return a tenant's alert."""
    row = one(connection, f"{_ALERT} WHERE l.id = ? AND l.tenant_id = ?", (alert_id, tenant_id))
    return _to_alert(row) if row else None


def open_of_kind(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId | None, kind: AlertKind
) -> Alert | None:
    """Return the open alert of a kind."""
    row = one(
        connection,
        f"{_ALERT} WHERE l.tenant_id = ? AND l.agent_id IS ? AND l.kind = ? AND l.cleared_at IS NULL",
        (tenant_id, agent_id, kind.value),
    )
    return _to_alert(row) if row else None


def newest_of_kind(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId | None, kind: AlertKind
) -> Alert | None:
    """Return the alert of a kind that was opened last, whether it goes on or not."""
    row = one(
        connection,
        f"{_ALERT} WHERE l.tenant_id = ? AND l.agent_id IS ? AND l.kind = ? "
        " ORDER BY l.opened_at DESC, l.id DESC LIMIT 1",
        (tenant_id, agent_id, kind.value),
    )
    return _to_alert(row) if row else None


def open_kinds(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, frozenset[AlertKind]]:
    """Return the kinds of the alerts of a tenant that go on, by agent; those of the appliance under ""."""
    rows = many(
        connection,
        "SELECT coalesce(agent_id, '') AS whose, kind FROM alerts WHERE tenant_id = ? AND cleared_at IS NULL",
        (tenant_id,),
    )
    found: dict[str, frozenset[AlertKind]] = {}
    for row in rows:
        found[row["whose"]] = found.get(row["whose"], frozenset()) | {AlertKind(row["kind"])}
    return found


def find(
    connection: sqlite3.Connection, tenant_id: TenantId, *, agent_id: str, is_open: bool, before: str, limit: int
) -> list[Alert]:
    """Return a tenant's alerts, newest first. Empty `agent_id`: of all hosts; `before`: only those older than this."""
    rows = many(
        connection,
        f"{_ALERT} WHERE l.tenant_id = :tenant AND (:agent = '' OR l.agent_id = :agent)"
        " AND (NOT :is_open OR l.cleared_at IS NULL) AND (:before = '' OR l.id < :before)"
        " ORDER BY l.id DESC LIMIT :limit",
        {"tenant": tenant_id, "agent": agent_id, "is_open": is_open, "before": before, "limit": limit},
    )
    return [_to_alert(row) for row in rows]


def page(
    connection: sqlite3.Connection, tenant_id: TenantId, choice: AlertChoice, offset: int, limit: int
) -> AlertPage:
    """Return a part of a tenant's alerts: those that go on first, the worst first, then the newest."""
    values = {"tenant": tenant_id, **msgspec.structs.asdict(choice), "offset": offset, "limit": limit}
    chosen = (
        "WHERE l.tenant_id = :tenant AND (:agent_id = '' OR l.agent_id = :agent_id)"
        " AND (NOT :is_open OR l.cleared_at IS NULL) AND (NOT :is_of_host OR l.agent_id IS NOT NULL)"
    )
    row = one(connection, f"SELECT count(*) AS count FROM alerts l {chosen}", values)
    rows = many(
        connection,
        f"{_ALERT} {chosen} ORDER BY l.cleared_at IS NOT NULL, {_GRAVITY}, l.id DESC LIMIT :limit OFFSET :offset",
        values,
    )
    return AlertPage(alerts=[_to_alert(row) for row in rows], total=int(row["count"]) if row else 0)


def _encoded(evidence: Mapping[str, Any]) -> str:
    return msgspec.json.encode(evidence).decode()
