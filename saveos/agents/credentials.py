"""Who is at the other end: a certificate of ours and the token bound to it (RFC 8705 § 3), never one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents.model import AgentIdentity, AgentState
from saveos.certificates import table as certificates
from saveos.certificates.issuance import renew_moment
from saveos.errors import NotAuthenticated
from saveos.identity import tokens
from saveos.identity.principals import Actor, Principal
from saveos.identity.tokens import TokenKind
from saveos.protocol import AgentId, TenantId

if TYPE_CHECKING:
    from saveos.database.connection import Database


class CertificateRevoked(NotAuthenticated):
    """The certificate was taken back."""

    code = "certificate-revoked"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """What the TLS channel proved: hex, lower case."""

    serial: str
    thumbprint: str  # SHA-256 of the DER


def authenticate(database: Database, peer: Peer | None, token_text: str) -> AgentIdentity:
    """Return the agent behind a connection.

    Raises NotAuthenticated (no certificate, unknown one, token missing or bound to another certificate) and
    CertificateRevoked. Read anew for each request, so that a revocation holds from the next one on.
    """
    if peer is None:
        message = "An agent's token works only over a connection opened with its certificate."
        raise NotAuthenticated(message)
    row = certificates.by_thumbprint(database.read, peer.thumbprint)
    if row is None:
        message = "This certificate belongs to no agent here."
        raise NotAuthenticated(message)
    if row["revoked_at"] is not None or row["state"] == AgentState.REVOKED:
        message = "This host's certificate has been revoked. Provision the host again."
        raise CertificateRevoked(message)
    expires_at = clock.from_text(row["expires_at"])
    if expires_at <= clock.now():
        message = "This certificate has been replaced or has expired."
        raise NotAuthenticated(message)
    presented = tokens.parse(TokenKind.AGENT, token_text)
    if not tokens.is_same(presented.secret_hash, row["token_hash"]):
        message = "This token is not bound to the certificate of the connection."
        raise NotAuthenticated(message)
    return AgentIdentity(
        agent_id=AgentId(row["agent_id"]),
        tenant_id=TenantId(row["tenant_id"]),
        hostname=row["hostname"],
        serial=peer.serial,
        is_renewal_due=clock.now() >= renew_moment(clock.from_text(row["issued_at"]), expires_at),
        state=AgentState(row["state"]),
        is_listing_wanted=bool(row["listings_wanted"]),
    )


def as_principal(agent: AgentIdentity) -> Principal:
    """Return the agent as a principal; it holds no person's permission."""
    return Principal(actor=Actor.AGENT, id=agent.agent_id, tenant_id=agent.tenant_id, name=agent.hostname)
