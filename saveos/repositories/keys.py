"""A host's passphrase and key export, sealed to the tenant's recovery key: HPKE (RFC 9180), X25519, ChaCha20-Poly1305.

The appliance cannot open them; whoever types the recovery code can, for the time of one call.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke

from saveos.audit.record import record
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.protocol import ESCROW_INFO, EscrowContents, EscrowRequest
from saveos.repositories import table
from saveos.repositories.model import RepositoryState
from saveos.tenants import recovery

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent, AgentIdentity
    from saveos.database.connection import Database

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_OVERHEAD = 32 + 16  # encapsulated key and tag


def as_text(public_key: bytes) -> str:
    """Return a public key as it travels."""
    return base64.b64encode(public_key).decode()


def keep(connection: sqlite3.Connection, agent: AgentIdentity, request: EscrowRequest) -> None:
    """Keep the sealed key of an agent's repository, once: a hostile host cannot swap it later.

    Raises Conflict, InvalidRequest.
    """
    try:
        size = len(base64.b64decode(request.sealed, validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size <= _OVERHEAD:
        message = "The sealed key cannot be read."
        raise InvalidRequest(message, field="sealed")
    repository = table.of_agent(connection, agent.agent_id)
    if repository is None:
        message = "This agent has no repository."
        raise NotFound(message)
    if repository.state is RepositoryState.READY:
        message = "The sealed key of this repository is here already."
        raise Conflict(message)
    table.set_sealed(connection, agent.agent_id, request.sealed, request.repository_id)
    record(
        connection,
        tenant_id=agent.tenant_id,
        actor=f"agent:{agent.agent_id}",
        action="key-sealed",
        target=agent.agent_id,
        repository=request.repository_id,
    )


def export(database: Database, principal: Principal, agent: Agent, recovery_code: str) -> EscrowContents:
    """Open an agent's sealed key with the recovery code. Audited. Raises NotFound, InvalidRequest."""
    principal.require(Permission.KEYS)
    private_key = recovery.private_key(recovery_code)
    sealed = table.sealed_key(database.read, agent.id)
    if not sealed:
        message = "The appliance holds no key of this host yet: its enrolment has not finished."
        raise NotFound(message)
    try:
        opened = SUITE.decrypt(base64.b64decode(sealed), private_key, ESCROW_INFO + agent.id.encode())
        contents = msgspec.json.decode(opened, type=EscrowContents)
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        message = "The recovery code does not open this key: it belongs to another appliance or tenant."
        raise InvalidRequest(message, field="recovery_code") from error
    database.write(
        lambda connection: record(
            connection, tenant_id=agent.tenant_id, actor=principal.label, action="key-exported", target=agent.id
        )
    )
    return contents
