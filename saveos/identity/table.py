"""All SQL on sessions, API tokens and throttles, and on users as far as they identify somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import many, one

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

_USER = "u.id AS id, u.tenant_id, u.email, u.role, u.language, u.theme, u.time_zone, u.password_hash, u.is_disabled"


def user_by_email(connection: sqlite3.Connection, email: str) -> sqlite3.Row | None:
    """Return id, tenant_id, email, role, language, theme, time_zone, password_hash, is_disabled."""
    return one(connection, f"SELECT {_USER} FROM users u WHERE u.email = ?", (email,))


def insert_session(
    connection: sqlite3.Connection, secret_hash: str, user_id: str, expires_at: datetime, address: str, browser: str
) -> None:
    """Add a browser session and note the sign-in."""
    now = clock.to_text(clock.now())
    connection.execute("DELETE FROM sessions WHERE expires_at < ?", (now,))
    connection.execute(
        "INSERT INTO sessions (secret_hash, user_id, created_at, expires_at, address, browser)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (secret_hash, user_id, now, clock.to_text(expires_at), address, browser),
    )
    connection.execute("UPDATE users SET signed_in_at = ? WHERE id = ?", (now, user_id))


def user_by_session(connection: sqlite3.Connection, secret_hash: str) -> sqlite3.Row | None:
    """Return the user of a session that has not expired."""
    return one(
        connection,
        f"SELECT {_USER} FROM sessions s JOIN users u ON u.id = s.user_id"
        " WHERE s.secret_hash = ? AND s.expires_at > ? AND NOT u.is_disabled",
        (secret_hash, clock.to_text(clock.now())),
    )


def delete_session(connection: sqlite3.Connection, secret_hash: str) -> None:
    """End a browser session."""
    connection.execute("DELETE FROM sessions WHERE secret_hash = ?", (secret_hash,))


def sessions_of(connection: sqlite3.Connection, user_id: str) -> list[sqlite3.Row]:
    """Return a person's live sessions, newest first: secret_hash, created_at, expires_at, address, browser."""
    return many(
        connection,
        "SELECT secret_hash, created_at, expires_at, address, browser FROM sessions"
        " WHERE user_id = ? AND expires_at > ? ORDER BY created_at DESC",
        (user_id, clock.to_text(clock.now())),
    )


def delete_session_of(connection: sqlite3.Connection, user_id: str, start: str) -> bool:
    """End the session of a person whose hash starts so; return whether there was one."""
    statement = "DELETE FROM sessions WHERE user_id = ?1 AND substr(secret_hash, 1, length(?2)) = ?2"
    return connection.execute(statement, (user_id, start)).rowcount > 0


def delete_other_sessions(connection: sqlite3.Connection, user_id: str, own_hash: str) -> int:
    """End every session of a person but this one; return how many live ones there were."""
    now = clock.to_text(clock.now())
    gone = many(
        connection,
        "DELETE FROM sessions WHERE user_id = ? AND secret_hash <> ? RETURNING expires_at",
        (user_id, own_hash),
    )
    return sum(row["expires_at"] > now for row in gone)


def password_hash(connection: sqlite3.Connection, user_id: str) -> str:
    """Return the PHC string of a person's password."""
    row = one(connection, "SELECT password_hash FROM users WHERE id = ?", (user_id,))
    return str(row["password_hash"]) if row else ""


def set_password_hash(connection: sqlite3.Connection, user_id: str, stored: str) -> None:
    """Replace a person's password."""
    connection.execute("UPDATE users SET password_hash = ? WHERE id = ?", (stored, user_id))


def update_preferences(
    connection: sqlite3.Connection, user_id: str, language: str, theme: str, time_zone: str | None
) -> None:
    """Keep how a person likes the dashboard; `time_zone` None: as it was."""
    connection.execute(
        "UPDATE users SET language = ?, theme = ?, time_zone = coalesce(?, time_zone) WHERE id = ?",
        (language, theme, time_zone, user_id),
    )


def insert_api_token(connection: sqlite3.Connection, values: dict[str, str | None]) -> None:
    """Add a row of api_tokens."""
    connection.execute(
        "INSERT INTO api_tokens (id, tenant_id, user_id, name, prefix, secret_hash, created_at, expires_at)"
        " VALUES (:id, :tenant_id, :user_id, :name, :prefix, :secret_hash, :created_at, :expires_at)",
        values,
    )


def user_by_api_token(connection: sqlite3.Connection, prefix: str) -> sqlite3.Row | None:
    """Return the user of a live API token and its `secret_hash` and `used_at`."""
    return one(
        connection,
        f"SELECT {_USER}, t.secret_hash, t.used_at, t.prefix FROM api_tokens t JOIN users u ON u.id = t.user_id"
        " WHERE t.prefix = ? AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > ?)"
        " AND NOT u.is_disabled",
        (prefix, clock.to_text(clock.now())),
    )


def touch_api_token(connection: sqlite3.Connection, prefix: str) -> None:
    """Note that the token was used."""
    connection.execute("UPDATE api_tokens SET used_at = ? WHERE prefix = ?", (clock.to_text(clock.now()), prefix))


def api_tokens_of(connection: sqlite3.Connection, user_id: str) -> list[sqlite3.Row]:
    """Return a person's live tokens, newest first."""
    return many(
        connection,
        "SELECT id, name, prefix, created_at, expires_at, used_at FROM api_tokens"
        " WHERE user_id = ? AND revoked_at IS NULL ORDER BY created_at DESC, id DESC",
        (user_id,),
    )


def revoke_api_token(connection: sqlite3.Connection, user_id: str, token_id: str) -> bool:
    """Revoke a person's own token; return whether there was one."""
    return (
        connection.execute(
            "UPDATE api_tokens SET revoked_at = ? WHERE id = ? AND user_id = ? AND revoked_at IS NULL",
            (clock.to_text(clock.now()), token_id, user_id),
        ).rowcount
        > 0
    )


def throttle(connection: sqlite3.Connection, name: str) -> sqlite3.Row | None:
    """Return failures and blocked_until of a name."""
    return one(connection, "SELECT failures, blocked_until FROM throttles WHERE name = ?", (name,))


def set_throttle(connection: sqlite3.Connection, name: str, failures: int, blocked_until: datetime) -> None:
    """Keep the count of failures and the moment until which the name must wait."""
    connection.execute(
        "INSERT INTO throttles (name, failures, blocked_until) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, blocked_until = excluded.blocked_until",
        (name, failures, clock.to_text(blocked_until)),
    )


def clear_throttle(connection: sqlite3.Connection, name: str) -> None:
    """Forget the failures of a name."""
    connection.execute("DELETE FROM throttles WHERE name = ?", (name,))
