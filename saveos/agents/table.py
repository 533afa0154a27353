"""All SQL on agents and provisionings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.agents.model import SILENT_AFTER, Agent, AgentState, Limits, Provisioning, Statistics
from saveos.database.connection import many, one

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.agents.model import AgentIdentity
    from saveos.protocol import AgentId, Heartbeat, PolicyId, TenantId

_AGENT = (
    "SELECT a.*, (SELECT max(s.started_at) FROM snapshots s WHERE s.agent_id = a.id) AS last_backup_at,"
    " (SELECT count(*) FROM snapshots s WHERE s.agent_id = a.id) AS snapshots_count,"
    " coalesce((SELECT r.key_mode FROM repositories r WHERE r.agent_id = a.id), 'sealed') AS key_mode FROM agents a"
)
_PROVISIONING = (
    "SELECT id, tenant_id, hostname, platform, policy_id, prefix, created_by, created_at, expires_at, downloaded_at,"
    " spent_at, agent_id, batch_id, withdrawn_at FROM provisionings"
)


def _to_agent(row: sqlite3.Row) -> Agent:
    return msgspec.convert(dict(row), Agent)


def get(connection: sqlite3.Connection, agent_id: str, tenant_id: TenantId | None = None) -> Agent | None:
    """Return an agent, of that tenant if one is given."""
    statement = f"{_AGENT} WHERE a.id = ? AND (? IS NULL OR a.tenant_id = ?)"
    row = one(connection, statement, (agent_id, tenant_id, tenant_id))
    return _to_agent(row) if row else None


def find(
    connection: sqlite3.Connection, tenant_id: TenantId, *, search: str = "", after: str = "", limit: int = 500
) -> list[Agent]:
    """Return a tenant's agents by id (the order of enrolment), those with `search` in their hostname."""
    rows = many(
        connection,
        f"{_AGENT} WHERE a.tenant_id = ? AND a.id > ? AND instr(lower(a.hostname), lower(?)) > 0 ORDER BY a.id LIMIT ?",
        (tenant_id, after, search, limit),
    )
    return [_to_agent(row) for row in rows]


def insert(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Add an enrolled agent."""
    connection.execute(
        "INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, agent_version, address, enrolled_at,"
        " due_at) VALUES (:id, :tenant_id, :hostname, :platform, 'enrolled', :policy_id, :agent_version, :address,"
        " :enrolled_at, :enrolled_at)",
        values,
    )


def set_state(connection: sqlite3.Connection, agent_id: AgentId, state: AgentState) -> None:
    """Move an agent on; a revocation is dated."""
    revoked_at = clock.to_text(clock.now()) if state is AgentState.REVOKED else None
    connection.execute(
        "UPDATE agents SET state = ?, revoked_at = coalesce(?, revoked_at) WHERE id = ?",
        (state.value, revoked_at, agent_id),
    )


def record_heartbeat(
    connection: sqlite3.Connection, agent: AgentIdentity, heartbeat: Heartbeat, address: str, skew_seconds: float
) -> None:
    """Note that an agent lives and what it says of itself; what kind of machine it is, it says once for all.

    Else a host in a stranger's hands would call itself a laptop, and be missed later.
    """
    connection.execute(
        "UPDATE agents SET seen_at = ?, agent_version = ?, system = ?, time_zone = ?, address = ?,"
        " clock_skew_seconds = ?, build = ?, kinds = ?, addresses_serial = ?,"
        " machine = CASE machine WHEN '' THEN ? ELSE machine END WHERE id = ?",
        (
            clock.to_text(clock.now()),
            heartbeat.agent_version,
            heartbeat.system,
            heartbeat.time_zone,
            address,
            skew_seconds,
            heartbeat.build,
            " ".join(heartbeat.kinds),
            heartbeat.addresses_serial,
            heartbeat.machine,
            agent.agent_id,
        ),
    )


def set_machine_class(connection: sqlite3.Connection, agent_id: str, machine_class: str) -> None:
    """Keep what a person says that a host is; "" forgets it."""
    connection.execute("UPDATE agents SET machine_class = ? WHERE id = ?", (machine_class, agent_id))


def limits(connection: sqlite3.Connection, tenant_id: TenantId) -> Limits:
    """Return for how long the machines of a tenant may be away."""
    row = one(connection, "SELECT overdue_json FROM tenants WHERE id = ?", (tenant_id,))
    return msgspec.json.decode(row["overdue_json"] if row else "{}", type=Limits)


def set_limits(connection: sqlite3.Connection, tenant_id: TenantId, limits: Limits) -> None:
    """Keep for how long the machines of a tenant may be away."""
    text = msgspec.json.encode(limits).decode()
    connection.execute("UPDATE tenants SET overdue_json = ? WHERE id = ?", (text, tenant_id))


def touch(connection: sqlite3.Connection, agent_id: AgentId) -> None:
    """Note that an agent lives."""
    connection.execute("UPDATE agents SET seen_at = ? WHERE id = ?", (clock.to_text(clock.now()), agent_id))


def wanting_listings(connection: sqlite3.Connection) -> set[str]:
    """Return the agents of which the catalogue wants listings."""
    return {row["id"] for row in many(connection, "SELECT id FROM agents WHERE listings_wanted > 0")}


def generation(connection: sqlite3.Connection, agent_id: AgentId) -> int:
    """Return which life of an agent's repository this is: it grows with each roll-back."""
    row = one(connection, "SELECT generation FROM repositories WHERE agent_id = ?", (agent_id,))
    return int(row["generation"]) if row else 0


def due(connection: sqlite3.Connection) -> list[Agent]:
    """Return the ready agents whose next backup has come, or is not known yet."""
    rows = many(
        connection,
        f"{_AGENT} WHERE a.state = 'ready' AND (a.next_backup_at IS NULL OR a.next_backup_at <= ?)",
        (clock.to_text(clock.now()),),
    )
    return [_to_agent(row) for row in rows]


def set_next_backup(connection: sqlite3.Connection, agent_id: AgentId, moment: datetime | None) -> None:
    """Keep when the policy is due next for this agent."""
    connection.execute(
        "UPDATE agents SET next_backup_at = ? WHERE id = ?", (clock.to_text(moment) if moment else None, agent_id)
    )


def set_due(connection: sqlite3.Connection, agent_id: AgentId, moment: datetime | None) -> None:
    """Keep since when a backup is due, unless an earlier one is due still; None: it has been made."""
    text = clock.to_text(moment) if moment else None
    connection.execute(
        "UPDATE agents SET due_at = CASE WHEN ?1 IS NULL THEN NULL ELSE coalesce(due_at, ?1) END WHERE id = ?2",
        (text, agent_id),
    )


def due_ones(connection: sqlite3.Connection) -> list[Agent]:
    """Return the agents of all tenants of which a backup is due that has not been made."""
    return [_to_agent(row) for row in many(connection, f"{_AGENT} WHERE a.due_at IS NOT NULL AND a.state <> 'revoked'")]


def set_policy(connection: sqlite3.Connection, agent_id: AgentId, policy_id: str, moment: datetime | None) -> None:
    """Put an agent under a policy that is due next at that moment."""
    connection.execute(
        "UPDATE agents SET policy_id = ?, next_backup_at = ? WHERE id = ?",
        (policy_id, clock.to_text(moment) if moment else None, agent_id),
    )


def counts_by_policy(connection: sqlite3.Connection, tenant_id: TenantId) -> dict[str, int]:
    """Return how many agents that are not revoked each policy has; one with none is not among them."""
    rows = many(
        connection,
        "SELECT policy_id, count(*) AS agents FROM agents WHERE tenant_id = ? AND state <> 'revoked' GROUP BY 1",
        (tenant_id,),
    )
    return {row["policy_id"]: row["agents"] for row in rows}


def under_policy(connection: sqlite3.Connection, policy_id: PolicyId) -> list[tuple[AgentId, str]]:
    """Return (id, time zone) of each agent under a policy."""
    rows = many(connection, "SELECT id, time_zone FROM agents WHERE policy_id = ? AND state <> 'revoked'", (policy_id,))
    return [(row["id"], row["time_zone"]) for row in rows]


def pending_under_policy(connection: sqlite3.Connection, policy_id: PolicyId) -> int:
    """Return how many hosts may still enrol under a policy."""
    row = one(
        connection,
        "SELECT count(*) AS rights FROM provisionings WHERE policy_id = ? AND spent_at IS NULL AND expires_at > ?",
        (policy_id, clock.to_text(clock.now())),
    )
    return int(row["rights"]) if row else 0


def move_under_policy(connection: sqlite3.Connection, policy_id: PolicyId, other_id: str) -> None:
    """Let everything that names a policy name another one."""
    connection.execute("UPDATE agents SET policy_id = ? WHERE policy_id = ?", (other_id, policy_id))
    connection.execute("UPDATE provisionings SET policy_id = ? WHERE policy_id = ?", (other_id, policy_id))


def default_policy_id(connection: sqlite3.Connection, tenant_id: TenantId) -> str:
    """Return the id of the tenant's default policy."""
    row = one(connection, "SELECT id FROM policies WHERE tenant_id = ? AND is_default", (tenant_id,))
    return str(row["id"]) if row else ""


def has_policy(connection: sqlite3.Connection, tenant_id: TenantId, policy_id: str) -> bool:
    """Return whether the tenant has this policy."""
    return one(connection, "SELECT 1 FROM policies WHERE tenant_id = ? AND id = ?", (tenant_id, policy_id)) is not None


def insert_provisioning(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Add a provisioning."""
    connection.execute(
        "INSERT INTO provisionings (id, tenant_id, hostname, platform, policy_id, prefix, secret_hash, created_by,"
        " created_at, expires_at, batch_id) VALUES (:id, :tenant_id, :hostname, :platform, :policy_id, :prefix,"
        " :secret_hash, :created_by, :created_at, :expires_at, :batch_id)",
        values,
    )


def provisioning(
    connection: sqlite3.Connection, provisioning_id: str, tenant_id: TenantId | None = None
) -> Provisioning | None:
    """Return a provisioning, of that tenant if one is given."""
    statement = f"{_PROVISIONING} WHERE id = ? AND (? IS NULL OR tenant_id = ?)"
    row = one(connection, statement, (provisioning_id, tenant_id, tenant_id))
    return msgspec.convert(dict(row), Provisioning) if row else None


def provisionings(connection: sqlite3.Connection, tenant_id: TenantId, limit: int) -> list[Provisioning]:
    """Return a tenant's provisionings, newest first."""
    rows = many(connection, f"{_PROVISIONING} WHERE tenant_id = ? ORDER BY id DESC LIMIT ?", (tenant_id, limit))
    return [msgspec.convert(dict(row), Provisioning) for row in rows]


def open_provisionings(connection: sqlite3.Connection, tenant_id: TenantId, limit: int) -> list[Provisioning]:
    """Return a tenant's provisionings with which a host may still enrol, newest first, then by hostname."""
    statement = (
        f"{_PROVISIONING} WHERE tenant_id = ? AND spent_at IS NULL AND withdrawn_at IS NULL AND expires_at > ?"
        " ORDER BY created_at DESC, hostname COLLATE NOCASE LIMIT ?"
    )
    rows = many(connection, statement, (tenant_id, clock.to_text(clock.now()), limit))
    return [msgspec.convert(dict(row), Provisioning) for row in rows]


def batch(connection: sqlite3.Connection, tenant_id: TenantId, batch_id: str) -> list[Provisioning]:
    """Return the provisionings that were made together, by hostname."""
    rows = many(
        connection,
        f"{_PROVISIONING} WHERE batch_id = ? AND batch_id <> '' AND tenant_id = ? ORDER BY hostname COLLATE NOCASE",
        (batch_id, tenant_id),
    )
    return [msgspec.convert(dict(row), Provisioning) for row in rows]


def online_of_batch(connection: sqlite3.Connection, tenant_id: TenantId, batch_id: str) -> set[str]:
    """Return the ids of the agents of a batch that were heard of lately."""
    rows = many(
        connection,
        "SELECT a.id FROM provisionings p JOIN agents a ON a.id = p.agent_id"
        " WHERE p.batch_id = ? AND p.tenant_id = ? AND a.state <> 'revoked' AND a.seen_at > ?",
        (batch_id, tenant_id, clock.to_text(clock.now() - SILENT_AFTER)),
    )
    return {row["id"] for row in rows}


def withdraw(connection: sqlite3.Connection, provisioning_id: str) -> bool:
    """Take a provisioning back; return False when a host has used it."""
    return (
        connection.execute(
            "UPDATE provisionings SET withdrawn_at = coalesce(withdrawn_at, ?) WHERE id = ? AND spent_at IS NULL",
            (clock.to_text(clock.now()), provisioning_id),
        ).rowcount
        > 0
    )


def provisioning_secret(connection: sqlite3.Connection, prefix: str) -> tuple[str, str] | None:
    """Return (id, secret_hash) of the provisioning with a token prefix."""
    row = one(connection, "SELECT id, secret_hash FROM provisionings WHERE prefix = ?", (prefix,))
    return (row["id"], row["secret_hash"]) if row else None


def set_provisioning_secret(connection: sqlite3.Connection, provisioning_id: str, prefix: str, secret: str) -> None:
    """Replace the token: the former one is dead."""
    connection.execute(
        "UPDATE provisionings SET prefix = ?, secret_hash = ? WHERE id = ?", (prefix, secret, provisioning_id)
    )


def set_downloaded(connection: sqlite3.Connection, provisioning_id: str, *, is_downloaded: bool) -> None:
    """Note that the executable has been handed out, or that it was not after all."""
    moment = clock.to_text(clock.now()) if is_downloaded else None
    connection.execute("UPDATE provisionings SET downloaded_at = ? WHERE id = ?", (moment, provisioning_id))


def spend(connection: sqlite3.Connection, provisioning_id: str, agent_id: AgentId) -> bool:
    """Use a provisioning up; return False when somebody was first."""
    return (
        connection.execute(
            "UPDATE provisionings SET spent_at = ?, agent_id = ? WHERE id = ? AND spent_at IS NULL",
            (clock.to_text(clock.now()), agent_id, provisioning_id),
        ).rowcount
        > 0
    )


def statistics(connection: sqlite3.Connection, tenant_id: TenantId) -> Statistics:
    """Return a tenant's fleet in numbers."""
    now = clock.now()
    values = {
        "tenant": tenant_id,
        "heard_after": clock.to_text(now - SILENT_AFTER),
        "yesterday": clock.to_text(now - timedelta(days=1)),
    }
    agents = "(SELECT count(*) FROM agents WHERE tenant_id = :tenant AND "
    jobs = "(SELECT count(*) FROM jobs WHERE tenant_id = :tenant AND "
    row = one(
        connection,
        f"SELECT {agents} state <> 'revoked') AS agents_count,"
        f" {agents} state <> 'revoked' AND seen_at > :heard_after) AS online_count,"
        f" {agents} state <> 'revoked' AND id IN (SELECT agent_id FROM snapshots)) AS protected_count,"
        f" {agents} state = 'revoked') AS revoked_count,"
        " (SELECT count(*) FROM snapshots WHERE tenant_id = :tenant) AS snapshots_count,"
        " (SELECT coalesce(sum(added_bytes), 0) FROM snapshots WHERE tenant_id = :tenant) AS added_bytes,"
        " (SELECT coalesce(sum(s.original_bytes), 0) FROM agents g JOIN snapshots s ON s.id ="
        " (SELECT n.id FROM snapshots n WHERE n.agent_id = g.id ORDER BY n.started_at DESC, n.id DESC LIMIT 1)"
        " WHERE g.tenant_id = :tenant) AS original_bytes,"
        f" {jobs} state = 'running') AS jobs_running_count,"
        f" {jobs} state = 'queued') AS jobs_queued_count,"
        f" {jobs} state = 'failed' AND ended_at > :yesterday) AS jobs_failed_day_count",
        values,
    )
    return msgspec.convert(dict(row) if row else {}, Statistics)
