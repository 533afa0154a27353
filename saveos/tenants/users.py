"""The first administrator, and accounts made by whoever holds the appliance's shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, TokenSpent
from saveos.identity import passwords, tokens
from saveos.identity.principals import Actor, Permission, Principal, Role
from saveos.identity.tokens import Token, TokenKind
from saveos.protocol import TenantId, UserId
from saveos.tenants import kits, recovery, table
from saveos.tenants.model import Check, MadeBy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from saveos.database.connection import Database

    AfterTenant = Callable[[sqlite3.Connection, TenantId], None]

SETUP_FACT = "setup_secret_hash"
DEFAULT_TENANT = "Default"
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}")


class NewAdministrator(msgspec.Struct, frozen=True, kw_only=True):
    """An administrator just made; the recovery code only with the tenant's first one, and never again."""

    user_id: UserId
    tenant_id: TenantId
    email: str
    recovery_code: str | None = None

    def __repr__(self) -> str:
        return f"NewAdministrator(email={self.email!r})"


class NewKit(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery key made elsewhere: 32 bytes, and by what two groups of its code are recognised."""

    public_key: bytes
    check: Check | None = None


def is_set_up(database: Database) -> bool:
    """Return whether the first administrator exists."""
    return table.users_count(database.read) > 0


def offer_setup(database: Database) -> Token | None:
    """Return a fresh one-time set-up token (the former one dies), or None once there is an administrator."""
    token = tokens.create(TokenKind.SETUP)

    def write(connection: sqlite3.Connection) -> bool:
        if table.users_count(connection):
            return False
        table.set_fact(connection, SETUP_FACT, token.secret_hash)
        return True

    return token if database.write(write) else None


def set_up(
    database: Database,
    setup_token: str,
    email: str,
    password: str,
    language: str,
    after_tenant: AfterTenant,
    kit: NewKit | None = None,
) -> NewAdministrator:
    """Spend the set-up token: make the default tenant, its recovery key and its first administrator.

    `kit`: made where the code stays; None: the code is made here, and returned this once. `after_tenant` runs in
    the same transaction and gives the tenant what other features want it to have.
    Raises NotAuthenticated (wrong token), TokenSpent (somebody was first), InvalidRequest.
    """
    presented = tokens.parse(TokenKind.SETUP, setup_token)
    _require_email(email)
    password_hash = passwords.hash_password(password)

    def write(connection: sqlite3.Connection) -> NewAdministrator:
        if table.users_count(connection):
            message = "This appliance has its administrator already. Sign in instead."
            raise TokenSpent(message)
        stored = table.fact(connection, SETUP_FACT)
        if stored is None or not tokens.is_same(presented.secret_hash, stored):
            message = "The set-up link is not the one last printed. Use the newest."
            raise NotAuthenticated(message)
        return _insert_administrator(connection, email, password_hash, language, after_tenant, kit)

    return database.write(write)


def create_administrator(
    database: Database, email: str, password: str, language: str, after_tenant: AfterTenant
) -> NewAdministrator:
    """Make an administrator of the default tenant, for whoever has a shell on the appliance. Raises Conflict."""
    _require_email(email)
    password_hash = passwords.hash_password(password)

    def write(connection: sqlite3.Connection) -> NewAdministrator:
        if table.user_by_email(connection, email):
            message = f"{email} exists already."
            raise Conflict(message)
        return _insert_administrator(connection, email, password_hash, language, after_tenant)

    return database.write(write)


def user_principal(database: Database, email: str) -> Principal:
    """Return the principal of a user by e-mail. Raises NotFound."""
    row = table.user_by_email(database.read, email)
    if row is None:
        message = f"Nobody here has the e-mail {email}."
        raise NotFound(message)
    return Principal(
        actor=Actor.USER, id=row["id"], tenant_id=row["tenant_id"], name=row["email"], role=Role(row["role"])
    )


def default_tenant(database: Database) -> TenantId:
    """Return the default tenant. Raises NotFound before set-up."""
    row = table.first_tenant(database.read)
    if row is None:
        message = "The appliance is not set up: create the first administrator (saveos admin create EMAIL)."
        raise NotFound(message)
    return TenantId(row["id"])


def tenant_name(database: Database, principal: Principal) -> str:
    """Return what the principal's tenant is called."""
    principal.require(Permission.READ)
    row = table.tenant(database.read, principal.tenant_id)
    return str(row["name"]) if row else ""


def recovery_public_key(connection: sqlite3.Connection, tenant_id: TenantId) -> tuple[str, bytes]:
    """Return a tenant's name and recovery public key (32 bytes)."""
    row = table.tenant(connection, tenant_id)
    if row is None or row["recovery_public_key"] is None:
        message = "This tenant has no recovery key."
        raise NotFound(message)
    return row["name"], row["recovery_public_key"]


def _made_kit() -> tuple[str, NewKit]:
    code, public_key = recovery.create()
    return code, NewKit(public_key=public_key, check=recovery.check_of(code))


def _require_email(email: str) -> None:
    if not _EMAIL.fullmatch(email):
        message = "This is not an e-mail address."
        raise InvalidRequest(message, field="email")


def _insert_administrator(
    connection: sqlite3.Connection,
    email: str,
    password_hash: str,
    language: str,
    after_tenant: AfterTenant,
    kit: NewKit | None = None,
) -> NewAdministrator:
    existing = table.first_tenant(connection)
    code = None
    if existing is None:
        tenant_id = TenantId(new_id("ten"))
        code, kit = (None, kit) if kit else _made_kit()
        table.insert_tenant(connection, tenant_id, DEFAULT_TENANT, kit.public_key)
        kits.keep(connection, tenant_id, kit.public_key, kit.check, MadeBy.APPLIANCE if code else MadeBy.BROWSER)
        after_tenant(connection, tenant_id)
    else:
        tenant_id = TenantId(existing["id"])
    user_id = UserId(new_id("usr"))
    table.insert_user(
        connection,
        {
            "id": user_id,
            "tenant_id": tenant_id,
            "email": email,
            "password_hash": password_hash,
            "role": Role.ADMINISTRATOR.value,
            "language": language,
            "created_at": clock.to_text(clock.now()),
        },
    )
    table.set_fact(connection, SETUP_FACT, None)
    record(connection, tenant_id=tenant_id, actor=f"user:{email}", action="administrator-created", target=user_id)
    return NewAdministrator(user_id=user_id, tenant_id=tenant_id, email=email, recovery_code=code)
