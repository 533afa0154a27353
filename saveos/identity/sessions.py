"""How a person becomes a principal: e-mail and password for a browser session, or an API token."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import available_timezones

import msgspec

from saveos import clock
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from saveos.identity import passwords, patience, table, tokens
from saveos.identity.principals import Actor, Principal, Role
from saveos.identity.tokens import Token, TokenKind

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database

COOKIE = "__Host-saveos"  # the browser takes it over TLS only, for this host only
TOUCH_EVERY = timedelta(minutes=1)


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A personal API token without its secret."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a sign-in comes from, as the connection tells."""

    address: str = ""
    browser: str = ""


def sign_in(
    database: Database, email: str, password: str, visitor: Visitor, *, hours: float
) -> tuple[Principal, Token]:
    """Check the password and open a session; the token is the cookie's value.

    Raises NotAuthenticated for a wrong pair (never saying which half), TooMany after repeated failures of
    one e-mail or one address.
    """
    names = (f"email:{email.casefold()}", f"address:{visitor.address}")
    for name in names:
        patience.require(database, name)
    row = table.user_by_email(database.read, email)
    is_right = passwords.is_right(password, row["password_hash"] if row else passwords.NOBODY)
    if row is None or not is_right or row["is_disabled"]:
        tenant_id = row["tenant_id"] if row else None
        database.write(lambda connection: _note_failure(connection, names, tenant_id, visitor))
        message = "The e-mail or the password is wrong."
        raise NotAuthenticated(message)
    token = tokens.create(TokenKind.SESSION)
    expires_at = clock.now() + timedelta(hours=hours)

    def write(connection: sqlite3.Connection) -> None:
        for name in names:
            table.clear_throttle(connection, name)
        table.insert_session(
            connection, token.secret_hash, row["id"], expires_at, visitor.address, visitor.browser[:255]
        )
        record(
            connection,
            tenant_id=row["tenant_id"],
            actor=f"user:{row['email']}",
            action="sign-in",
            address=visitor.address,
        )

    database.write(write)
    return _principal(row, token.secret_hash), token


def by_session(database: Database, text: str) -> Principal:
    """Return who holds the cookie. Raises NotAuthenticated."""
    token = tokens.parse(TokenKind.SESSION, text)
    row = table.user_by_session(database.read, token.secret_hash)
    if row is None:
        message = "You are signed out. Sign in again."
        raise NotAuthenticated(message)
    return _principal(row, token.secret_hash)


def by_api_token(database: Database, text: str) -> Principal:
    """Return who holds the API token. Raises NotAuthenticated."""
    token = tokens.parse(TokenKind.API, text)
    row = table.user_by_api_token(database.read, token.prefix)
    if row is None or not tokens.is_same(token.secret_hash, row["secret_hash"]):
        message = "This API token is not valid. Make a new one."
        raise NotAuthenticated(message)
    if not row["used_at"] or clock.now() - clock.from_text(row["used_at"]) > TOUCH_EVERY:
        database.submit(lambda connection: table.touch_api_token(connection, token.prefix))
    return _principal(row, "")


def sign_out(database: Database, principal: Principal) -> None:
    """End the session the principal came with."""
    database.write(lambda connection: table.delete_session(connection, principal.session_hash))


def set_preferences(
    database: Database, principal: Principal, *, language: str, theme: str, time_zone: str | None = None
) -> None:
    """Keep how a person likes the dashboard. `time_zone`: an IANA name, empty for the browser's, None for as it was.

    Raises InvalidRequest for a zone that does not exist.
    """
    if time_zone and time_zone not in available_timezones():
        message = f"There is no time zone {time_zone!r}."
        raise InvalidRequest(message, field="time_zone")
    database.write(lambda connection: table.update_preferences(connection, principal.id, language, theme, time_zone))


def create_api_token(
    database: Database, principal: Principal, name: str, *, expires_at: datetime | None = None
) -> tuple[ApiToken, Token]:
    """Make a personal token with the rights of its owner; its text is shown once."""
    if principal.actor is not Actor.USER:
        message = "Only people have API tokens."
        raise NotAllowed(message)
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= clock.now()):
        message = "An API token expires in the future (with a time zone)."
        raise InvalidRequest(message, field="expires_at")
    token = tokens.create(TokenKind.API)
    made = ApiToken(id=new_id("tok"), name=name, prefix=token.prefix, created_at=clock.now(), expires_at=expires_at)

    def write(connection: sqlite3.Connection) -> None:
        table.insert_api_token(
            connection,
            {
                "id": made.id,
                "tenant_id": principal.tenant_id,
                "user_id": principal.id,
                "name": name,
                "prefix": token.prefix,
                "secret_hash": token.secret_hash,
                "created_at": clock.to_text(made.created_at),
                "expires_at": clock.to_text(expires_at) if expires_at else None,
            },
        )
        record(
            connection, tenant_id=principal.tenant_id, actor=principal.label, action="api-token-created", target=made.id
        )

    database.write(write)
    return made, token


def api_tokens(database: Database, principal: Principal) -> list[ApiToken]:
    """Return the principal's own live tokens, newest first."""
    return [msgspec.convert(dict(row), ApiToken) for row in table.api_tokens_of(database.read, principal.id)]


def revoke_api_token(database: Database, principal: Principal, token_id: str) -> None:
    """Revoke one's own token. Raises NotFound."""

    def write(connection: sqlite3.Connection) -> bool:
        is_gone = table.revoke_api_token(connection, principal.id, token_id)
        if is_gone:
            record(
                connection,
                tenant_id=principal.tenant_id,
                actor=principal.label,
                action="api-token-revoked",
                target=token_id,
            )
        return is_gone

    if not database.write(write):
        message = "You have no such API token."
        raise NotFound(message)


def _principal(row: sqlite3.Row, session_hash: str) -> Principal:
    return Principal(
        actor=Actor.USER,
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["email"],
        role=Role(row["role"]),
        session_hash=session_hash,
        language=row["language"],
        theme=row["theme"],
        time_zone=row["time_zone"],
    )


def _note_failure(
    connection: sqlite3.Connection, names: tuple[str, ...], tenant_id: str | None, visitor: Visitor
) -> None:
    for name in names:
        patience.note_failure(connection, name)
    record(connection, tenant_id=tenant_id, actor=names[0], action="sign-in-refused", address=visitor.address)
