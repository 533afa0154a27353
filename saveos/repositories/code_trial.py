"""One try of a recovery code by a keyholder, and what follows: it is noted as a proof, or as a guess."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

from saveos.audit.record import record
from saveos.errors import InvalidRequest, SaveOSError, WrongCode
from saveos.identity import patience
from saveos.identity import table as identity
from saveos.repositories import keys

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.repositories.holder import Holder
    from saveos.repositories.keyholding import Open, Opened


async def require_patience(database: Database, principal: Principal) -> None:
    """Raise TooMany while somebody guesses."""
    await asyncio.to_thread(patience.require, database, _throttle(principal))


async def tried(database: Database, principal: Principal, holder: Holder, order: Open) -> Opened:
    """Let the keyholder try a code. Raises WrongCode, InvalidRequest, TooMany (guessing), Unavailable."""
    await require_patience(database, principal)
    opened = await holder.open(order)

    def write(connection: sqlite3.Connection) -> SaveOSError | None:
        proven = b"" if opened.error else base64.b64decode(opened.public_key)
        may_be_right = bool(opened.agent_ids) or not order.hosts
        is_present = may_be_right and keys.note_proof(connection, principal, proven)
        if not (opened.agent_ids or is_present):
            patience.note_failure(connection, _throttle(principal))
            return _refusal(opened)
        identity.clear_throttle(connection, _throttle(principal))
        if order.hosts:
            record(
                connection,
                tenant_id=principal.tenant_id,
                actor=principal.label,
                action="keys-unlocked",
                agents=list(opened.agent_ids),
                minutes=round(order.seconds / 60, 2),
            )
        return None

    refusal = await database.write_async(write)
    if refusal is not None:
        raise refusal
    return opened


def _refusal(opened: Opened) -> SaveOSError:
    if opened.error == "mistyped":
        return WrongCode("The recovery code is mistyped: its check characters do not fit.", field="sealed_code")
    if opened.error:
        return InvalidRequest("What was sent is not a recovery code sealed to this offer.", field="sealed_code")
    message = "This recovery code opens none of these hosts: it belongs to another appliance or tenant."
    return WrongCode(message, field="sealed_code")


def _throttle(principal: Principal) -> str:
    return f"recovery code:{principal.tenant_id}:{principal.id}"
