"""All SQL on certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.connection import one

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.certificates.issuance import Issued
    from saveos.protocol import AgentId, TenantId


def insert_agent_certificate(
    connection: sqlite3.Connection, issued: Issued, tenant_id: TenantId, agent_id: AgentId, token_hash: str
) -> None:
    """Keep a certificate and the hash of the token bound to it."""
    connection.execute(
        "INSERT INTO certificates (serial, tenant_id, agent_id, kind, subject, thumbprint, token_hash, issued_at,"
        " expires_at) VALUES (?, ?, ?, 'agent', ?, ?, ?, ?, ?)",
        (
            issued.serial,
            tenant_id,
            agent_id,
            issued.subject,
            issued.thumbprint,
            token_hash,
            clock.to_text(clock.now()),
            clock.to_text(issued.expires_at),
        ),
    )


def by_thumbprint(connection: sqlite3.Connection, thumbprint: str) -> sqlite3.Row | None:
    """Return agent_id, tenant_id, token_hash, a certificate's moments, its agent's state, hostname and wants."""
    return one(
        connection,
        "SELECT c.agent_id, c.tenant_id, c.token_hash, c.issued_at, c.expires_at, c.revoked_at, a.state, a.hostname,"
        " a.listings_wanted"
        " FROM certificates c JOIN agents a ON a.id = c.agent_id WHERE c.thumbprint = ?",
        (thumbprint,),
    )


def of_agent(connection: sqlite3.Connection, agent_id: str) -> sqlite3.Row | None:
    """Return serial, issued_at, expires_at and revoked_at of the certificate that an agent got last."""
    return one(
        connection,
        "SELECT serial, issued_at, expires_at, revoked_at FROM certificates WHERE agent_id = ?"
        " ORDER BY issued_at DESC LIMIT 1",
        (agent_id,),
    )


def retire_others(connection: sqlite3.Connection, agent_id: AgentId, kept_serial: str, until: datetime) -> None:
    """Let an agent's other certificates end at `until`, if they do not end sooner."""
    connection.execute(
        "UPDATE certificates SET expires_at = min(expires_at, ?) WHERE agent_id = ? AND serial <> ?",
        (clock.to_text(until), agent_id, kept_serial),
    )


def revoke_all(connection: sqlite3.Connection, agent_id: AgentId) -> None:
    """Take back every certificate of an agent."""
    connection.execute(
        "UPDATE certificates SET revoked_at = ? WHERE agent_id = ? AND revoked_at IS NULL",
        (clock.to_text(clock.now()), agent_id),
    )
