"""How sound is a host's repository, and what proves it? For pages, the API and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import table as agents
from saveos.errors import NotFound
from saveos.identity.principals import Permission
from saveos.proofs import table, table_drills
from saveos.proofs.damages import evidence
from saveos.proofs.model import Check, Health

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

DRILLS = 12


def health(database: Database, principal: Principal, agent_id: str) -> Health:
    """Return what is known of one host of the tenant. Raises NotFound."""
    principal.require(Permission.READ)
    connection = database.read
    agent = agents.get(connection, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    good, every, _newest = table.sound_counts(connection, agent.id)
    found = table.open_damages(connection, agent.id)
    return Health(
        check=table.check_of(connection, agent.id, agent.tenant_id),
        damages=found,
        drills=table_drills.find(connection, agent.tenant_id, agent_id=agent.id, limit=DRILLS),
        sound_count=good,
        snapshots_count=every,
        evidence=evidence(connection, agent.id, found) if found else {},
    )


def checks(database: Database, principal: Principal) -> dict[str, Check]:
    """Return how far the tenant's repositories are checked, by agent id; those that nobody began are not among them."""
    principal.require(Permission.READ)
    return table.checks_of(database.read, principal.tenant_id)


def damages(database: Database, principal: Principal) -> dict[str, int]:
    """Return how much is damaged now, by agent id; hosts without damage are not among them."""
    principal.require(Permission.READ)
    return table.open_counts(database.read, principal.tenant_id)
