"""Handing an executable out: each one once. The stream that tears gives it back.

A download by a signed-in person mints a new token, so that the file handed out holds the only copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import provisioning, table
from saveos.errors import Conflict, NotFound, TokenSpent
from saveos.identity import tokens
from saveos.identity.principals import Permission, Principal
from saveos.identity.tokens import Token, TokenKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.agents.model import Provisioning
    from saveos.database.connection import Database
    from saveos.protocol import Platform


def take_by_person(database: Database, principal: Principal, provisioning_id: str) -> tuple[Provisioning, Token]:
    """Hand the executable out to somebody signed in: once, with a fresh token.

    Raises NotFound, TokenSpent (downloaded or enrolled already), TokenExpired.
    """
    principal.require(Permission.PROVISION)

    def write(connection: sqlite3.Connection) -> tuple[Provisioning, Token]:
        found = provisioning.known(table.provisioning(connection, provisioning_id, principal.tenant_id))
        _require_takable(found)
        return found, _take_anew(connection, found, principal.label)

    return database.write(write)


def take_batch(database: Database, principal: Principal, batch_id: str) -> list[tuple[Provisioning, Token]]:
    """Hand out every executable of a batch that can still be had, each with a fresh token; by hostname.

    Raises NotFound, TokenSpent when none is left.
    """
    principal.require(Permission.PROVISION)

    def write(connection: sqlite3.Connection) -> list[tuple[Provisioning, Token]]:
        left = [right for right in known_batch(connection, principal, batch_id) if is_takable(right)]
        if not left:
            message = "Every executable of this batch has been downloaded already, or can no longer be used."
            raise TokenSpent(message)
        return [(right, _take_anew(connection, right, principal.label)) for right in left]

    return database.write(write)


def take_by_token(database: Database, text: str, platform: Platform) -> tuple[Provisioning, Token]:
    """Hand the executable out to the host that presents the one-time token itself.

    Raises NotAuthenticated, TokenSpent, TokenExpired, Conflict (another platform).
    """
    token = tokens.parse(TokenKind.ENROL, text)

    def write(connection: sqlite3.Connection) -> Provisioning:
        found = provisioning.by_token(connection, token)
        _require_takable(found)
        if found.platform is not platform:
            message = f"This token is for {found.platform.value}."
            raise Conflict(message)
        _take(connection, found, f"provisioning:{found.id}")
        return found

    return database.write(write), token


def undo(connection: sqlite3.Connection, provisioning_ids: Sequence[str]) -> None:
    """Forget downloads that did not reach their end, so that they can be tried again."""
    for provisioning_id in provisioning_ids:
        table.set_downloaded(connection, provisioning_id, is_downloaded=False)


def batch(database: Database, principal: Principal, batch_id: str) -> list[Provisioning]:
    """Return the rights that were made together, by hostname. Raises NotFound."""
    principal.require(Permission.PROVISION)
    return known_batch(database.read, principal, batch_id)


def online_of_batch(database: Database, principal: Principal, batch_id: str) -> set[str]:
    """Return the ids of the agents of a batch that are online."""
    principal.require(Permission.READ)
    return table.online_of_batch(database.read, principal.tenant_id, batch_id)


def known_batch(connection: sqlite3.Connection, principal: Principal, batch_id: str) -> list[Provisioning]:
    """Return the rights of a batch of the principal's tenant. Raises NotFound."""
    if not (found := table.batch(connection, principal.tenant_id, batch_id)):
        message = "There is no such batch."
        raise NotFound(message)
    return found


def is_takable(right: Provisioning) -> bool:
    """Return whether its executable can still be handed out."""
    return right.is_open_at(clock.now()) and right.downloaded_at is None


def _require_takable(right: Provisioning) -> None:
    provisioning.require_live(right)
    if right.downloaded_at is not None:
        message = "This executable has been downloaded already. Provision the host again."
        raise TokenSpent(message)


def _take_anew(connection: sqlite3.Connection, right: Provisioning, actor: str) -> Token:
    token = tokens.create(TokenKind.ENROL)
    table.set_provisioning_secret(connection, right.id, token.prefix, token.secret_hash)
    _take(connection, right, actor)
    return token


def _take(connection: sqlite3.Connection, right: Provisioning, actor: str) -> None:
    table.set_downloaded(connection, right.id, is_downloaded=True)
    provisioning.note(connection, right, actor, "agent-downloaded")
