"""Do the copies keep up? One alert for a host whose copy is late, failed or damaged, cleared when it is none of these.

A copy that nobody makes any more fails silently: what is looked at is which snapshots are in it, not what jobs say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.offsite import table_states
from saveos.offsite.model import NEEDY, Health, OffsiteState

if TYPE_CHECKING:
    import sqlite3

    from saveos.protocol import TenantId


def tick(connection: sqlite3.Connection) -> int:
    """Open and clear alerts as of now; return how many changed. Called every minute."""
    opened = table_states.open_alerts(connection)
    now = clock.now()
    changed = 0
    needy = set()
    for tenant_id, state in table_states.all_states(connection):
        health = state.health(now)
        if health not in NEEDY:
            continue
        needy.add(state.agent_id)
        found = _evidence(state, health)
        if state.agent_id in opened:
            _say_more(connection, tenant_id, state, found)
        elif not _was_put_away(connection, tenant_id, state, found):
            changed += raising.raise_alert(connection, tenant_id, state.agent_id, AlertKind.OFFSITE, **found)
    for agent_id, tenant_id in opened.items():
        if agent_id not in needy:
            changed += raising.clear(connection, tenant_id, agent_id, AlertKind.OFFSITE)
    return changed


def _say_more(connection: sqlite3.Connection, tenant_id: TenantId, state: OffsiteState, found: dict[str, Any]) -> None:
    """Let an alert that goes on tell of what it is about now."""
    alert = alerts.open_of_kind(connection, tenant_id, state.agent_id, AlertKind.OFFSITE)
    if alert is not None and alert.evidence != found:
        alerts.set_evidence(connection, alert.id, found)


def _was_put_away(
    connection: sqlite3.Connection, tenant_id: TenantId, state: OffsiteState, found: dict[str, Any]
) -> bool:
    """Return whether a person has seen to this very thing: they hear of the next one."""
    last = alerts.newest_of_kind(connection, tenant_id, state.agent_id, AlertKind.OFFSITE)
    if last is None or last.is_open or last.cleared_by == raising.APPLIANCE:
        return False
    return last.evidence == found


def _evidence(state: OffsiteState, health: Health) -> dict[str, Any]:
    moments = {"behind_since": state.behind_since, "snapshot_at": state.snapshot_at}
    return {
        "health": health.value,
        "error_code": state.error_code if health is Health.FAILED else "",
        "error_message": state.error_message if health is Health.FAILED else "",
        "damaged": len(state.damages) if health is Health.DAMAGED else 0,
        **{name: clock.to_text(moment) if moment else "" for name, moment in moments.items()},
    }
