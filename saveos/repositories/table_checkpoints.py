"""All SQL on checkpoints of repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.repositories.model import Checkpoint

if TYPE_CHECKING:
    import sqlite3


def _to_checkpoint(row: sqlite3.Row) -> Checkpoint:
    return msgspec.convert(dict(row), Checkpoint)


def insert(connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Add a checkpoint; once."""
    values = msgspec.to_builtins(checkpoint)
    values |= {name: clock.to_text(getattr(checkpoint, name)) for name in ("made_at", "expires_at")}
    names = ", ".join(values)
    connection.execute(
        f"INSERT INTO checkpoints ({names}) VALUES ({', '.join(':' + name for name in values)}) ON CONFLICT DO NOTHING",
        values,
    )


def get(connection: sqlite3.Connection, checkpoint_id: str) -> Checkpoint | None:
    """Return a checkpoint."""
    row = one(connection, "SELECT * FROM checkpoints WHERE id = ?", (checkpoint_id,))
    return _to_checkpoint(row) if row else None


def of_agent(connection: sqlite3.Connection, agent_id: str) -> list[Checkpoint]:
    """Return the checkpoints of an agent's repository, newest first."""
    rows = many(connection, "SELECT * FROM checkpoints WHERE agent_id = ? ORDER BY made_at DESC, id DESC", (agent_id,))
    return [_to_checkpoint(row) for row in rows]


def at_moment(connection: sqlite3.Connection, agent_id: str, moment: int, since: str) -> Checkpoint | None:
    """Return a checkpoint of a commit that was made since (text): a roll-back counts commits anew."""
    row = one(
        connection,
        "SELECT * FROM checkpoints WHERE agent_id = ? AND moment = ? AND made_at >= ? AND state = 'made'",
        (agent_id, moment, since),
    )
    return _to_checkpoint(row) if row else None


def set_made(connection: sqlite3.Connection, checkpoint_id: str) -> None:
    """Note that it is there."""
    connection.execute("UPDATE checkpoints SET state = 'made' WHERE id = ?", (checkpoint_id,))


def set_own_bytes(connection: sqlite3.Connection, checkpoint_id: str, size: int) -> None:
    """Keep what it holds alone."""
    connection.execute("UPDATE checkpoints SET own_bytes = ? WHERE id = ?", (size, checkpoint_id))


def delete(connection: sqlite3.Connection, checkpoint_id: str) -> bool:
    """Forget a checkpoint, unless its repository is worked on or is to go back to it; return whether it is."""
    cursor = connection.execute(
        "DELETE FROM checkpoints WHERE id = ?1"
        " AND agent_id NOT IN (SELECT agent_id FROM repositories WHERE upkeep_job <> '' OR frozen_at IS NOT NULL)"
        " AND NOT EXISTS (SELECT 1 FROM jobs WHERE agent_id = checkpoints.agent_id AND kind = 'roll-back'"
        " AND state IN ('queued', 'running') AND json_extract(order_json, '$.checkpoint') = ?1)",
        (checkpoint_id,),
    )
    return cursor.rowcount == 1


def drop(connection: sqlite3.Connection, checkpoint_id: str) -> None:
    """Forget a checkpoint that nothing was kept for."""
    connection.execute("DELETE FROM checkpoints WHERE id = ?", (checkpoint_id,))


def expired(connection: sqlite3.Connection) -> list[Checkpoint]:
    """Return the checkpoints whose time is over, unfinished ones too, of repositories that are not frozen."""
    rows = many(
        connection,
        "SELECT c.* FROM checkpoints c JOIN repositories r ON r.agent_id = c.agent_id"
        " WHERE c.expires_at <= ? AND r.frozen_at IS NULL AND r.upkeep_job = ''",
        (clock.to_text(clock.now()),),
    )
    return [_to_checkpoint(row) for row in rows]


def quarantine_days(connection: sqlite3.Connection, tenant_id: str) -> int:
    """Return for how many days a tenant keeps checkpoints."""
    row = one(connection, "SELECT quarantine_days FROM tenants WHERE id = ?", (tenant_id,))
    return int(row["quarantine_days"]) if row else 0


def set_quarantine_days(connection: sqlite3.Connection, tenant_id: str, days: int) -> None:
    """Keep for how many days a tenant keeps the checkpoints that are made from now on."""
    connection.execute("UPDATE tenants SET quarantine_days = ? WHERE id = ?", (days, tenant_id))


def quarantine_bytes(connection: sqlite3.Connection, tenant_id: str) -> int:
    """Return what a tenant's checkpoints hold that its repositories do not, as last measured."""
    row = one(
        connection,
        "SELECT coalesce(sum(quarantine_bytes), 0) AS held FROM repositories WHERE tenant_id = ?",
        (tenant_id,),
    )
    return int(row["held"]) if row else 0
