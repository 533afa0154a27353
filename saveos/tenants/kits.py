"""The recovery kit: which recovery key is the tenant's, who made it, and whether somebody still has the code.

That is proved without telling the code: by two groups of it, stretched in the browser (`Check`), or by an unlock.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from saveos import clock
from saveos.audit.record import record
from saveos.errors import Conflict, InvalidRequest, NotFound, WrongCode
from saveos.identity import patience
from saveos.identity import table as identity
from saveos.identity.principals import Permission, Principal
from saveos.tenants import recovery, table
from saveos.tenants.model import Check, Kit, MadeBy

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from saveos.database.connection import Database
    from saveos.protocol import TenantId

    OnProof = Callable[[sqlite3.Connection, Principal, bytes], bool]

SIZES = (16, 32)  # bytes of a salt, at least, and of a proof's hash


def state(database: Database, principal: Principal) -> Kit:
    """Return how the kit stands."""
    principal.require(Permission.READ)
    row = table.tenant(database.read, principal.tenant_id)
    if row is None or row["recovery_public_key"] is None:
        raise _no_key()
    check = _check(row)
    return Kit(
        public_key=base64.b64encode(row["recovery_public_key"]).decode(),
        made_at=_made_at(row),
        made_by=MadeBy(row["recovery_made_by"] or MadeBy.APPLIANCE),
        confirmed_at=clock.from_text(row["recovery_confirmed_at"]) if row["recovery_confirmed_at"] else None,
        groups=check.groups if check else (),
        salt=check.salt if check else "",
    )


def made_at(connection: sqlite3.Connection, tenant_id: TenantId) -> datetime:
    """Return since when a tenant has its present recovery key. Raises NotFound."""
    row = table.tenant(connection, tenant_id)
    if row is None or row["recovery_public_key"] is None:
        raise _no_key()
    return _made_at(row)


def rotate(
    database: Database, principal: Principal, new_key: str, check: Check, made_by: MadeBy = MadeBy.BROWSER
) -> Kit:
    """Make another recovery key the tenant's: hosts seal their keys to it at their next heartbeats. Unconfirmed again.

    Raises InvalidRequest, Conflict (it is the present one).
    """
    principal.require(Permission.KEYS)
    raw = parse_key(new_key)
    require_check(check)

    def write(connection: sqlite3.Connection) -> None:
        row = table.tenant(connection, principal.tenant_id)
        if row is None or row["recovery_public_key"] == raw:
            message = "This is the recovery key already."
            raise Conflict(message)
        keep(connection, principal.tenant_id, raw, check, made_by)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="recovery-key-rotated",
            public_key=new_key,
        )

    database.write(write)
    return state(database, principal)


def confirm(database: Database, principal: Principal, proof: str, on_proof: OnProof) -> Kit:
    """Confirm that the kit is at hand. `proof`: the stretched groups, base64. Raises InvalidRequest, TooMany.

    `on_proof` is `note_proof`, or what calls it and does, in the same transaction, what other features owe it.
    """
    principal.require(Permission.KEYS)
    name = f"recovery proof:{principal.tenant_id}"
    patience.require(database, name)
    try:
        digest = hashlib.sha256(base64.b64decode(proof, validate=True)).digest()
    except ValueError:  # no base64, or not even ASCII
        digest = b""

    def write(connection: sqlite3.Connection) -> bool:
        row = table.tenant(connection, principal.tenant_id)
        check = _check(row) if row else None
        if row is None or check is None or not hmac.compare_digest(base64.b64decode(check.proof_hash), digest):
            patience.note_failure(connection, name)
            return False
        identity.clear_throttle(connection, name)
        return on_proof(connection, principal, row["recovery_public_key"])

    if not database.write(write):
        message = "These are not those groups of the recovery code."
        raise InvalidRequest(message, field="proof")
    return state(database, principal)


def confirm_by_code(database: Database, principal: Principal, code: str, on_proof: OnProof) -> Kit:
    """Confirm by the whole code, for whoever types it into this process. Raises InvalidRequest, WrongCode.

    `on_proof`: as of `confirm`.
    """
    principal.require(Permission.KEYS)
    typed = recovery.private_key(code).public_key().public_bytes_raw()
    if not database.write(lambda connection: on_proof(connection, principal, typed)):
        message = "This is another kit's code."
        raise WrongCode(message, field="recovery_code")
    return state(database, principal)


def note_proof(connection: sqlite3.Connection, principal: Principal, proven: bytes) -> bool:
    """Note that somebody has just shown to have the code of this recovery key; return whether it is the present one.

    It is compared here, where nothing comes in between: another key may have taken its place since it was proved.
    """
    row = table.tenant(connection, principal.tenant_id)
    if row is None or not proven or row["recovery_public_key"] != proven:
        return False
    if row["recovery_confirmed_at"] is None:
        table.set_recovery_confirmed(connection, principal.tenant_id)
        record(
            connection, tenant_id=principal.tenant_id, actor=principal.label, action="recovery-kit-confirmed", target=""
        )
    return True


def keep(connection: sqlite3.Connection, tenant_id: TenantId, raw: bytes, check: Check | None, made_by: MadeBy) -> None:
    """Keep a recovery key as the tenant's."""
    text = msgspec.json.encode(check).decode() if check else ""
    table.set_recovery(connection, tenant_id, raw, made_by.value, text)


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a public key in base64. Raises InvalidRequest, also for one that nothing can be sealed to.

    RFC 7748 § 6.1: with a point of low order every exchange gives zero, which every host would refuse.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(raw))
    except ValueError as error:
        message = "This is no X25519 public key: 32 bytes in base64 are."
        raise InvalidRequest(message, field="recovery_public_key") from error
    return raw


def require_check(check: Check) -> None:
    """Raise InvalidRequest unless the check can be asked for and compared."""
    try:
        sizes = [len(base64.b64decode(text, validate=True)) for text in (check.salt, check.proof_hash)]
    except ValueError:
        sizes = []
    if len(sizes) != len(SIZES) or sizes[0] < SIZES[0] or sizes[1] != SIZES[1] or len(set(check.groups)) == 1:
        message = "The check of the recovery code cannot be used."
        raise InvalidRequest(message, field="check")


def _check(row: sqlite3.Row) -> Check | None:
    text = row["recovery_check_json"]
    return msgspec.json.decode(text, type=Check) if text else None


def _made_at(row: sqlite3.Row) -> datetime:
    return clock.from_text(row["recovery_made_at"] or row["created_at"])


def _no_key() -> NotFound:
    return NotFound("This tenant has no recovery key.")
