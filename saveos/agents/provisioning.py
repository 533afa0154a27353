"""The one-time right to enrol: made by a person, handed out inside one executable, spent by one host.

The token's secret is never stored. A download by a signed-in person mints a new one, so that the file handed out
holds the only copy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import table
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotAuthenticated, NotFound, TokenExpired, TokenSpent
from saveos.identity import tokens
from saveos.identity.principals import Permission, Principal
from saveos.identity.tokens import Token, TokenKind

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Provisioning
    from saveos.database.connection import Database
    from saveos.protocol import Platform


def create(
    database: Database, principal: Principal, hostname: str, platform: Platform, *, hours: float
) -> tuple[Provisioning, Token]:
    """Make the right to enrol one host; the token is shown once."""
    principal.require(Permission.PROVISION)
    token = tokens.create(TokenKind.ENROL)
    provisioning_id = new_id("prv")
    now = clock.now()

    def write(connection: sqlite3.Connection) -> Provisioning:
        table.insert_provisioning(
            connection,
            {
                "id": provisioning_id,
                "tenant_id": principal.tenant_id,
                "hostname": hostname,
                "platform": platform.value,
                "policy_id": table.default_policy_id(connection, principal.tenant_id),
                "prefix": token.prefix,
                "secret_hash": token.secret_hash,
                "created_by": principal.label,
                "created_at": clock.to_text(now),
                "expires_at": clock.to_text(now + timedelta(hours=hours)),
            },
        )
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="agent-provisioned",
            target=provisioning_id,
            hostname=hostname,
        )
        return _known(table.provisioning(connection, provisioning_id))

    return database.write(write), token


def get(database: Database, principal: Principal, provisioning_id: str) -> Provisioning:
    """Return a provisioning of the tenant. Raises NotFound."""
    principal.require(Permission.PROVISION)
    return _known(table.provisioning(database.read, provisioning_id, principal.tenant_id))


def find(database: Database, principal: Principal, limit: int = 100) -> list[Provisioning]:
    """Return the tenant's provisionings, newest first."""
    principal.require(Permission.PROVISION)
    return table.provisionings(database.read, principal.tenant_id, limit)


def take_by_person(database: Database, principal: Principal, provisioning_id: str) -> tuple[Provisioning, Token]:
    """Hand the executable out to somebody signed in: once, with a fresh token.

    Raises NotFound, TokenSpent (downloaded or enrolled already), TokenExpired.
    """
    principal.require(Permission.PROVISION)
    token = tokens.create(TokenKind.ENROL)

    def write(connection: sqlite3.Connection) -> Provisioning:
        found = _known(table.provisioning(connection, provisioning_id, principal.tenant_id))
        _require_takable(found)
        table.set_provisioning_secret(connection, found.id, token.prefix, token.secret_hash)
        _take(connection, found, principal.label)
        return found

    return database.write(write), token


def take_by_token(database: Database, text: str, platform: Platform) -> tuple[Provisioning, Token]:
    """Hand the executable out to the host that presents the one-time token itself.

    Raises NotAuthenticated, TokenSpent, TokenExpired, Conflict (another platform).
    """
    token = tokens.parse(TokenKind.ENROL, text)

    def write(connection: sqlite3.Connection) -> Provisioning:
        found = by_token(connection, token)
        _require_takable(found)
        if found.platform is not platform:
            message = f"This token is for {found.platform.value}."
            raise Conflict(message)
        _take(connection, found, f"provisioning:{found.id}")
        return found

    return database.write(write), token


def undo_download(connection: sqlite3.Connection, provisioning_id: str) -> None:
    """Forget a download that did not reach its end, so that it can be tried again."""
    table.set_downloaded(connection, provisioning_id, is_downloaded=False)


def by_token(connection: sqlite3.Connection, token: Token) -> Provisioning:
    """Return the provisioning of a presented token. Raises NotAuthenticated."""
    found = table.provisioning_secret(connection, token.prefix)
    if found is None or not tokens.is_same(token.secret_hash, found[1]):
        message = "This enrolment token is not known here."
        raise NotAuthenticated(message)
    return _known(table.provisioning(connection, found[0]))


def require_live(provisioning: Provisioning) -> None:
    """Raise TokenSpent or TokenExpired unless a host may still enrol with it."""
    if provisioning.spent_at is not None:
        message = "This enrolment token has been used. Provision the host again."
        raise TokenSpent(message)
    if provisioning.expires_at <= clock.now():
        message = "This enrolment token has expired. Provision the host again."
        raise TokenExpired(message)


def _require_takable(provisioning: Provisioning) -> None:
    require_live(provisioning)
    if provisioning.downloaded_at is not None:
        message = "This executable has been downloaded already. Provision the host again."
        raise TokenSpent(message)


def _take(connection: sqlite3.Connection, provisioning: Provisioning, actor: str) -> None:
    table.set_downloaded(connection, provisioning.id, is_downloaded=True)
    record(
        connection,
        tenant_id=provisioning.tenant_id,
        actor=actor,
        action="agent-downloaded",
        target=provisioning.id,
    )


def _known(provisioning: Provisioning | None) -> Provisioning:
    if provisioning is None:
        message = "There is no such provisioning."
        raise NotFound(message)
    return provisioning
