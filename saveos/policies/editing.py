"""Make, change and take away policies. A change holds from the next backup of every host under the policy."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import table as jobs
from saveos.policies import due, table
from saveos.policies.model import Policy, Terms, Use
from saveos.policies.terms import SHORT, Why, checked
from saveos.protocol import PolicyId

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.database.connection import Database


def find(database: Database, principal: Principal) -> list[Use]:
    """Return the tenant's policies by name, and how many hosts each has."""
    principal.require(Permission.READ)
    counts = agents.counts_by_policy(database.read, principal.tenant_id)
    found = table.find(database.read, principal.tenant_id)
    return [Use(policy=policy, agents_count=counts.get(policy.id, 0)) for policy in found]


def get(database: Database, principal: Principal, policy_id: str) -> Use:
    """Return a policy. Raises NotFound."""
    principal.require(Permission.READ)
    policy = _known(table.get(database.read, policy_id, principal.tenant_id))
    counts = agents.counts_by_policy(database.read, principal.tenant_id)
    return Use(policy=policy, agents_count=counts.get(policy.id, 0))


def create(database: Database, principal: Principal, terms: Terms) -> Policy:
    """Make a policy. Raises InvalidRequest as `terms.checked`, Conflict for a name that another one has."""
    principal.require(Permission.POLICIES)
    wanted = checked(terms)

    def write(connection: sqlite3.Connection) -> Policy:
        return _insert(connection, principal, wanted, "policy-created")

    return database.write(write)


def update(database: Database, principal: Principal, policy_id: str, terms: Terms) -> Policy:
    """Change a policy and when its hosts are due. Raises NotFound, InvalidRequest, Conflict as `create`."""
    principal.require(Permission.POLICIES)
    wanted = checked(terms)

    def write(connection: sqlite3.Connection) -> Policy:
        policy = _known(table.get(connection, policy_id, principal.tenant_id))
        _require_free_name(connection, policy.tenant_id, wanted.name, policy.id)
        changed = msgspec.structs.replace(policy, **msgspec.structs.asdict(wanted))
        table.update(connection, changed)
        if (changed.schedule, changed.time_zone) != (policy.schedule, policy.time_zone):
            _set_due(connection, changed)
        _record(connection, principal, "policy-changed", changed, fields=_differences(policy, changed))
        return changed

    return database.write(write)


def duplicate(database: Database, principal: Principal, policy_id: str) -> Policy:
    """Make another policy with the same terms, under a name of its own. Raises NotFound."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> Policy:
        policy = _known(table.get(connection, policy_id, principal.tenant_id))
        taken = {other.name for other in table.find(connection, policy.tenant_id)}
        name = next(name for number in count(2) if (name := _numbered(policy.name, number)) not in taken)
        terms = {field: getattr(policy, field) for field in Terms.__struct_fields__}
        return _insert(connection, principal, Terms(**{**terms, "name": name}), "policy-duplicated", of=policy.id)

    return database.write(write)


def delete(database: Database, principal: Principal, policy_id: str) -> None:
    """Take a policy away. Raises NotFound, Conflict (the default, or of hosts that are protected or on their way)."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> None:
        policy = _known(table.get(connection, policy_id, principal.tenant_id))
        if policy.is_default:
            message = f"{policy.name} is the policy of new hosts. Choose another default first."
            raise Conflict(message)
        hosts = agents.counts_by_policy(connection, policy.tenant_id).get(policy.id, 0)
        pending = agents.pending_under_policy(connection, policy.id)
        if hosts or pending:
            message = (
                f"{policy.name} protects {hosts} hosts and {pending} on their way. Give them another policy first."
            )
            raise Conflict(message, hosts=hosts, pending=pending)
        default = agents.default_policy_id(connection, policy.tenant_id)
        agents.move_under_policy(connection, policy.id, default)  # the revoked and the spent, which still name it
        jobs.forget_policy(connection, policy.id)
        table.delete(connection, policy.id)
        _record(connection, principal, "policy-deleted", policy)

    database.write(write)


def make_default(database: Database, principal: Principal, policy_id: str) -> Policy:
    """Let new hosts begin under this policy. Raises NotFound."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> Policy:
        policy = _known(table.get(connection, policy_id, principal.tenant_id))
        if not policy.is_default:
            table.set_default(connection, policy.tenant_id, policy.id)
            _record(connection, principal, "policy-made-default", policy)
        return msgspec.structs.replace(policy, is_default=True)

    return database.write(write)


def _insert(
    connection: sqlite3.Connection, principal: Principal, terms: Terms, action: str, **detail: object
) -> Policy:
    _require_free_name(connection, principal.tenant_id, terms.name, "")
    policy = Policy(id=PolicyId(new_id("pol")), tenant_id=principal.tenant_id, **msgspec.structs.asdict(terms))
    table.insert(connection, policy)
    _record(connection, principal, action, policy, **detail)
    return policy


def _set_due(connection: sqlite3.Connection, policy: Policy) -> None:
    now = clock.now()
    moments: dict[str, datetime | None] = {}  # of each zone: a fleet has a handful
    for agent_id, host_zone in agents.under_policy(connection, policy.id):
        zone = policy.time_zone or host_zone
        if zone not in moments:
            moments[zone] = due.next_due(policy.schedule, zone, now)
        agents.set_next_backup(connection, agent_id, moments[zone])


def _require_free_name(connection: sqlite3.Connection, tenant_id: str, name: str, own_id: str) -> None:
    named = table.id_of_name(connection, tenant_id, name)
    if named not in ("", own_id):
        message = f"There is a policy {name!r} already."
        raise Conflict(message, field="name", why=Why.TAKEN)


def _numbered(name: str, number: int) -> str:
    ending = f" ({number})"
    return name[: SHORT - len(ending)] + ending


def _differences(before: Policy, after: Policy) -> list[str]:
    return [name for name in Terms.__struct_fields__ if getattr(before, name) != getattr(after, name)]


def _record(
    connection: sqlite3.Connection, principal: Principal, action: str, policy: Policy, **detail: object
) -> None:
    record(
        connection,
        tenant_id=policy.tenant_id,
        actor=principal.label,
        action=action,
        target=policy.id,
        name=policy.name,
        **detail,
    )


def _known(policy: Policy | None) -> Policy:
    if policy is None:
        message = "There is no such policy."
        raise NotFound(message)
    return policy
