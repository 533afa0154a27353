"""A person's own account: the password, and where they are signed in."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.audit.record import record
from saveos.errors import InvalidRequest, NotAllowed, NotFound
from saveos.identity import passwords, patience, table
from saveos.identity.principals import Actor

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

ID_LENGTH = 16  # of the session's hash: enough to name it, not enough to be it


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """A browser that is signed in as somebody. `is_own`: the one that asks."""

    id: str
    address: str
    browser: str
    created_at: datetime
    expires_at: datetime
    is_own: bool


def change_password(database: Database, principal: Principal, current: str, new: str) -> int:
    """Change one's own password and end every other session; return how many ended. API tokens stay.

    Raises InvalidRequest (wrong, too short, too long), TooMany after repeated failures.
    """
    _require_person(principal)
    name = f"password:{principal.id}"
    patience.require(database, name)
    stored = table.password_hash(database.read, principal.id)
    if not passwords.is_right(current, stored):
        database.write(lambda connection: _note_refusal(connection, principal, name))
        message = "The current password is wrong."
        raise InvalidRequest(message, field="current_password")
    fresh = passwords.hash_password(new)

    def write(connection: sqlite3.Connection) -> int:
        table.clear_throttle(connection, name)
        table.set_password_hash(connection, principal.id, fresh)
        _note(connection, principal, "password-changed")
        return table.delete_other_sessions(connection, principal.id, principal.session_hash)

    return database.write(write)


def open_sessions(database: Database, principal: Principal) -> list[OpenSession]:
    """Return the browsers that are signed in as the principal, the own one first, then newest first."""
    rows = table.sessions_of(database.read, principal.id)
    found = [
        OpenSession(
            id=row["secret_hash"][:ID_LENGTH],
            address=row["address"],
            browser=row["browser"],
            created_at=clock.from_text(row["created_at"]),
            expires_at=clock.from_text(row["expires_at"]),
            is_own=row["secret_hash"] == principal.session_hash,
        )
        for row in rows
    ]
    return sorted(found, key=lambda session: not session.is_own)


def end_session(database: Database, principal: Principal, session_id: str) -> None:
    """Sign one browser out. Raises NotFound."""

    def write(connection: sqlite3.Connection) -> bool:
        is_gone = len(session_id) == ID_LENGTH and table.delete_session_of(connection, principal.id, session_id)
        if is_gone:
            _note(connection, principal, "session-ended")
        return is_gone

    if not database.write(write):
        message = "There is no such session."
        raise NotFound(message)


def end_other_sessions(database: Database, principal: Principal) -> int:
    """Sign every other browser out; return how many."""

    def write(connection: sqlite3.Connection) -> int:
        count = table.delete_other_sessions(connection, principal.id, principal.session_hash)
        if count:
            _note(connection, principal, "sessions-ended")
        return count

    return database.write(write)


def _require_person(principal: Principal) -> None:
    if principal.actor is not Actor.USER:
        message = "Only people have a password."
        raise NotAllowed(message)


def _note_refusal(connection: sqlite3.Connection, principal: Principal, name: str) -> None:
    patience.note_failure(connection, name)
    _note(connection, principal, "password-change-refused")


def _note(connection: sqlite3.Connection, principal: Principal, action: str) -> None:
    record(connection, tenant_id=principal.tenant_id, actor=principal.label, action=action, target=principal.id)
