"""What would the retention of a host's policy remove now? Only told: nothing is changed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.errors import NotFound
from saveos.identity.principals import Permission, Principal
from saveos.policies import due
from saveos.policies import table as policies
from saveos.policies.model import Retention
from saveos.protocol import AgentId, PolicyId
from saveos.snapshots import retention, table, table_holds
from saveos.snapshots.model import HoldKind
from saveos.snapshots.retention import Decided

if TYPE_CHECKING:
    from saveos.database.connection import Database


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided of each snapshot, newest first. `time_zone`: by whose days; `holds`: by snapshot id."""

    agent_id: AgentId
    hostname: str
    policy_id: PolicyId
    policy_name: str
    retention: Retention
    time_zone: str
    decided_at: datetime
    items: list[Decided]
    holds: dict[str, tuple[HoldKind, ...]]

    @property
    def going_count(self) -> int:
        """How many would go."""
        return sum(decided.is_going for decided in self.items)


def look(database: Database, principal: Principal, agent_id: str) -> DryRun:
    """Decide on a host's snapshots as its retention would at this moment. Raises NotFound."""
    principal.require(Permission.READ)
    connection, now = database.read, clock.now()
    agent = agents.get(connection, agent_id, principal.tenant_id)
    policy = policies.get(connection, agent.policy_id, principal.tenant_id) if agent else None
    if agent is None or policy is None:
        message = "There is no such agent."
        raise NotFound(message)
    zone = due.zone_of(policy.time_zone or agent.time_zone)
    snapshots = table.all_of_agent(connection, agent.id)
    held = table_holds.held_ids(connection, agent.id, now)
    return DryRun(
        agent_id=agent.id,
        hostname=agent.hostname,
        policy_id=policy.id,
        policy_name=policy.name,
        retention=policy.retention,
        time_zone=zone.key,
        decided_at=now,
        items=retention.decide(snapshots, held, policy.retention, zone, now),
        holds=table_holds.kinds(connection, held, now),
    )
