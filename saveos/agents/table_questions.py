"""All SQL on questions to hosts. Rows live for minutes: see `questions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.agents.model import AskedRow
from saveos.database.connection import many, one

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.protocol import AgentId, Answer, TenantId

_WAITING = "taken_at IS NULL AND withdrawn_at IS NULL AND asked_at > ?"


def insert(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
    """Add a question that waits for its host."""
    connection.execute(
        "INSERT INTO questions (id, tenant_id, agent_id, question_json, asked_by, asked_at)"
        " VALUES (:id, :tenant_id, :agent_id, :question_json, :asked_by, :asked_at)",
        values,
    )


def get(connection: sqlite3.Connection, question_id: str, tenant_id: TenantId) -> AskedRow | None:
    """Return a question of a tenant."""
    row = one(connection, "SELECT * FROM questions WHERE id = ? AND tenant_id = ?", (question_id, tenant_id))
    return msgspec.convert(dict(row), AskedRow) if row else None


def of_agent(connection: sqlite3.Connection, agent_id: AgentId) -> list[AskedRow]:
    """Return what an agent has been asked lately, newest first."""
    rows = many(connection, "SELECT * FROM questions WHERE agent_id = ? ORDER BY id DESC", (agent_id,))
    return [msgspec.convert(dict(row), AskedRow) for row in rows]


def agents_asked(connection: sqlite3.Connection, asked_after: datetime) -> set[str]:
    """Return the agents for which a question waits."""
    rows = many(connection, f"SELECT DISTINCT agent_id FROM questions WHERE {_WAITING}", (clock.to_text(asked_after),))
    return {row["agent_id"] for row in rows}


def take(connection: sqlite3.Connection, agent_id: AgentId, asked_after: datetime) -> list[tuple[str, str]]:
    """Hand (id, question_json) of what waits for an agent out, oldest first, once."""
    values = (agent_id, clock.to_text(asked_after))
    if one(connection, f"SELECT id FROM questions WHERE agent_id = ? AND {_WAITING} LIMIT 1", values) is None:
        return []
    now = clock.to_text(clock.now())
    rows = many(
        connection,
        f"UPDATE questions SET taken_at = ?, heard_at = ? WHERE agent_id = ? AND {_WAITING}"
        " RETURNING id, question_json",
        (now, now, *values),
    )
    return sorted((row["id"], row["question_json"]) for row in rows)


def set_answer(connection: sqlite3.Connection, question_id: str, answer: Answer, *, is_final: bool) -> None:
    """Replace what the host has said so far."""
    now = clock.to_text(clock.now())
    connection.execute(
        "UPDATE questions SET answer_json = ?, heard_at = ?, answered_at = ? WHERE id = ?",
        (msgspec.json.encode(answer).decode(), now, now if is_final else None, question_id),
    )


def withdraw(connection: sqlite3.Connection, question_id: str) -> None:
    """Note that nobody waits any more."""
    connection.execute(
        "UPDATE questions SET withdrawn_at = coalesce(withdrawn_at, ?) WHERE id = ?",
        (clock.to_text(clock.now()), question_id),
    )


def delete(connection: sqlite3.Connection, question_id: str) -> None:
    """Forget a question and its answer."""
    connection.execute("DELETE FROM questions WHERE id = ?", (question_id,))


def keep_newest(connection: sqlite3.Connection, agent_id: AgentId, count: int) -> None:
    """Delete all but an agent's newest questions."""
    connection.execute(
        "DELETE FROM questions WHERE agent_id = ?1 AND id NOT IN"
        " (SELECT id FROM questions WHERE agent_id = ?1 ORDER BY id DESC LIMIT ?2)",
        (agent_id, count),
    )


def is_any_before(connection: sqlite3.Connection, moment: datetime) -> bool:
    """Return whether something was asked before a moment."""
    statement = "SELECT id FROM questions WHERE asked_at < ? LIMIT 1"
    return one(connection, statement, (clock.to_text(moment),)) is not None


def delete_before(connection: sqlite3.Connection, moment: datetime) -> int:
    """Delete what was asked before a moment, and return how many."""
    return connection.execute("DELETE FROM questions WHERE asked_at < ?", (clock.to_text(moment),)).rowcount
