"""The last 24 hours of every host: what the worst job that ended in an hour came to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from saveos.identity.principals import Permission, Principal
from saveos.jobs.model import State
from saveos.protocol import AgentId
from saveos.snapshots import table

if TYPE_CHECKING:
    from saveos.database.connection import Database

HOURS = 24
_WORSE = (State.DONE, State.CANCELLED, State.WARNED, State.FAILED)

Cell = tuple[AgentId, int, State]  # whose, in which hour (23 is the one under way), how the worst job ended


def first_hour(now: datetime) -> datetime:
    """Return when the first of the 24 hours begins; the last one is the hour under way."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)


def last_day(database: Database, principal: Principal, now: datetime) -> list[Cell]:
    """Return a cell for each host and hour in which a job of the tenant's host ended."""
    principal.require(Permission.READ)
    start = first_hour(now)
    worst: dict[tuple[AgentId, int], State] = {}
    for row in table.outcomes_by_hour(database.read, principal.tenant_id, start):
        hour = datetime.fromisoformat(f"{row['hour']}:00+00:00")
        place = (AgentId(row["agent_id"]), int((hour - start) / timedelta(hours=1)))
        state = State(row["state"])
        if place[1] < HOURS and (place not in worst or _WORSE.index(state) > _WORSE.index(worst[place])):
            worst[place] = state
    return [(agent_id, hour, state) for (agent_id, hour), state in sorted(worst.items())]
