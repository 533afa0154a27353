"""The one-time right to enrol: made by a person, handed out inside one executable, spent by one host.

The token's secret is never stored. How the executable is handed out stands in `handout.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import hostnames as hostname_lists
from saveos.agents import table
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, TokenExpired, TokenSpent
from saveos.identity import tokens
from saveos.identity.principals import Permission, Principal
from saveos.identity.tokens import Token, TokenKind
from saveos.protocol import Platform

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from saveos.agents.model import Provisioning
    from saveos.database.connection import Database


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a right to enrol. `policy_id` empty: the tenant's default policy."""

    platform: Platform
    hours: float
    policy_id: str = ""


def create(
    database: Database, principal: Principal, hostname: str, platform: Platform, *, hours: float, policy_id: str = ""
) -> tuple[Provisioning, Token]:
    """Make the right to enrol one host; the token is shown once. Raises InvalidRequest, NotFound (the policy)."""
    principal.require(Permission.PROVISION)
    terms = Terms(platform=platform, hours=hours, policy_id=policy_id)
    return database.write(lambda connection: _create(connection, principal, hostname, terms, clock.now()))


def create_many(
    database: Database, principal: Principal, hostnames: Sequence[str], terms: Terms
) -> list[tuple[Provisioning, Token]]:
    """Make the rights to enrol these hosts, all or none; they share a batch. In the order given.

    Raises InvalidRequest (none, more than 500, a wrong name, one twice), NotFound (the policy).
    """
    principal.require(Permission.PROVISION)
    _require_list(hostnames)
    batch_id, now = new_id("bat"), clock.now()
    return database.write(
        lambda connection: [_create(connection, principal, name, terms, now, batch_id) for name in hostnames]
    )


def get(database: Database, principal: Principal, provisioning_id: str) -> Provisioning:
    """Return a provisioning of the tenant. Raises NotFound."""
    principal.require(Permission.PROVISION)
    return known(table.provisioning(database.read, provisioning_id, principal.tenant_id))


def find(database: Database, principal: Principal, limit: int = 100) -> list[Provisioning]:
    """Return the tenant's provisionings, newest first."""
    principal.require(Permission.PROVISION)
    return table.provisionings(database.read, principal.tenant_id, limit)


def find_open(database: Database, principal: Principal, limit: int = 1000) -> list[Provisioning]:
    """Return the tenant's provisionings with which a host may still enrol, newest first."""
    principal.require(Permission.PROVISION)
    return table.open_provisionings(database.read, principal.tenant_id, limit)


def withdraw(database: Database, principal: Principal, provisioning_id: str) -> Provisioning:
    """Take an unused right back: its executable enrols nobody any more. Raises NotFound, Conflict (used)."""
    principal.require(Permission.PROVISION)

    def write(connection: sqlite3.Connection) -> Provisioning:
        found = known(table.provisioning(connection, provisioning_id, principal.tenant_id))
        if not table.withdraw(connection, found.id):
            message = f"{found.hostname} has enrolled already. Revoke the host instead."
            raise Conflict(message)
        if found.withdrawn_at is None:
            note(connection, found, principal.label, "provisioning-withdrawn")
        return known(table.provisioning(connection, found.id))

    return database.write(write)


def by_token(connection: sqlite3.Connection, token: Token) -> Provisioning:
    """Return the provisioning of a presented token. Raises NotAuthenticated."""
    found = table.provisioning_secret(connection, token.prefix)
    if found is None or not tokens.is_same(token.secret_hash, found[1]):
        message = "This enrolment token is not known here."
        raise NotAuthenticated(message)
    return known(table.provisioning(connection, found[0]))


def require_live(provisioning: Provisioning) -> None:
    """Raise TokenSpent or TokenExpired unless a host may still enrol with it."""
    if provisioning.spent_at is not None:
        message = "This enrolment token has been used. Provision the host again."
        raise TokenSpent(message)
    if provisioning.withdrawn_at is not None:
        message = "This enrolment token has been withdrawn. Provision the host again."
        raise TokenExpired(message)
    if provisioning.expires_at <= clock.now():
        message = "This enrolment token has expired. Provision the host again."
        raise TokenExpired(message)


def known(provisioning: Provisioning | None) -> Provisioning:
    """Return it. Raises NotFound when there is none."""
    if provisioning is None:
        message = "There is no such provisioning."
        raise NotFound(message)
    return provisioning


def note(connection: sqlite3.Connection, provisioning: Provisioning, actor: str, action: str) -> None:
    """Write to the audit log what became of a right."""
    record(
        connection,
        tenant_id=provisioning.tenant_id,
        actor=actor,
        action=action,
        target=provisioning.id,
        hostname=provisioning.hostname,
    )


def _require_list(hostnames: Sequence[str]) -> None:
    if not 0 < len(hostnames) <= hostname_lists.LIMIT:
        message = f"Name 1 to {hostname_lists.LIMIT} hosts."
        raise InvalidRequest(message, field="hostnames")
    if wrong := next((name for name in hostnames if not hostname_lists.is_hostname(name)), None):
        message = f"{wrong!r} is not a host name."
        raise InvalidRequest(message, field="hostnames")
    if twice := hostname_lists.repeated(hostnames):
        message = f"{twice} is named twice."
        raise InvalidRequest(message, field="hostnames")


def _create(
    connection: sqlite3.Connection,
    principal: Principal,
    hostname: str,
    terms: Terms,
    now: datetime,
    batch_id: str = "",
) -> tuple[Provisioning, Token]:
    policy_id = terms.policy_id or table.default_policy_id(connection, principal.tenant_id)
    if not table.has_policy(connection, principal.tenant_id, policy_id):
        message = "There is no such policy."
        raise NotFound(message)
    token = tokens.create(TokenKind.ENROL)
    values = {
        "id": new_id("prv"),
        "tenant_id": principal.tenant_id,
        "hostname": hostname,
        "platform": terms.platform.value,
        "policy_id": policy_id,
        "prefix": token.prefix,
        "secret_hash": token.secret_hash,
        "created_by": principal.label,
        "created_at": clock.to_text(now),
        "expires_at": clock.to_text(now + timedelta(hours=terms.hours)),
        "batch_id": batch_id,
    }
    table.insert_provisioning(connection, values)
    made = known(table.provisioning(connection, values["id"]))
    note(connection, made, principal.label, "agent-provisioned")
    return made, token
