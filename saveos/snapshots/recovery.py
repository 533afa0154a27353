"""A host that burnt comes back on another machine: whoever holds the recovery code takes its place.

There is no account on a rescue system. The proof is a secret that we seal to the recovery key: only the code opens it.
The same agent gets a new certificate, every older one is taken back, and its sealed key is handed out, which the code
opens too. The code itself never comes here. One that was replaced works until the new kit is confirmed, and then for
the hosts that have not sealed their keys to the new code yet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos import clock
from saveos.agents import addresses
from saveos.agents import table as agents
from saveos.agents.enrolment import note_refusal
from saveos.agents.model import Agent, AgentState
from saveos.audit.record import record
from saveos.certificates import issuance
from saveos.certificates import table as certificates
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, SaveOSError, TooMany
from saveos.identity import patience, tokens
from saveos.identity.tokens import TokenKind
from saveos.protocol import RECOVERY_INFO, Challenge, RecoverableHost
from saveos.repositories import table_keys
from saveos.repositories.sealing import SUITE
from saveos.snapshots import table_recovery as table

if TYPE_CHECKING:
    import sqlite3

    from saveos.certificates.authority import Authority
    from saveos.database.connection import Database
    from saveos.protocol import RecoveryProof, RecoveryRequest

LIFE = timedelta(minutes=10)
LIVE_LIMIT = 500
SECRET_BYTES = 32


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The host that came back, its new credentials and its sealed key."""

    agent: Agent
    certificate: str
    agent_token: str
    sealed_key: str

    def __repr__(self) -> str:
        return f"Recovered(agent={self.agent.id!r})"


def challenge(database: Database, recovery_public_key: str, address: str) -> Challenge:
    """Return a secret that only the holder of this key can read.

    A key that no tenant has gets one too, which opens nothing: nobody learns here which keys there are.
    Raises InvalidRequest, TooMany.
    """
    patience.require(database, _name(address))
    raw = _key_bytes(recovery_public_key)
    public = X25519PublicKey.from_public_bytes(raw)
    challenge_id, secret = new_id("rch"), secrets.token_bytes(SECRET_BYTES)
    try:
        sealed = SUITE.encrypt(secret, public, RECOVERY_INFO + challenge_id.encode())
    except ValueError as error:  # a point that no key has
        raise _no_key() from error

    def write(connection: sqlite3.Connection) -> None:
        patience.note_failure(connection, _name(address))  # taken back by the proof
        if not table.is_known(connection, raw):
            return  # no proof would help: it takes no room from those who can give one
        if table.live_count(connection) >= LIVE_LIMIT:
            message = "Too many recoveries are under way. Try again in some minutes."
            raise TooMany(message, retry_seconds=int(LIFE.total_seconds()))
        table.insert(connection, challenge_id, raw, _hash(secret), address, clock.now() + LIFE)

    database.write(write)
    return Challenge(challenge_id=challenge_id, sealed=base64.b64encode(sealed).decode())


def hosts(database: Database, proof: RecoveryProof) -> tuple[RecoverableHost, ...]:
    """Return the hosts that the holder of the code may bring back. Raises NotAuthenticated."""
    return table.hosts(database.read, _proven(database.read, proof))


def take(
    database: Database, authority: Authority, request: RecoveryRequest, address: str, *, life: timedelta
) -> Recovered:
    """Give a host's identity to the machine that asks. The machine that had it is shut out.

    Raises NotAuthenticated, NotFound, Conflict (revoked, or it has no sealed key; moved), InvalidRequest.
    """
    bound = tokens.create(TokenKind.AGENT)

    def write(connection: sqlite3.Connection) -> Recovered:
        addresses.require_here(connection)
        sealed = table_keys.sealed_to(connection, request.agent_id, _proven(connection, request))
        agent = agents.get(connection, request.agent_id) if sealed else None
        if agent is None:
            message = "There is no such host."
            raise NotFound(message)
        if agent.state is AgentState.REVOKED:
            message = f"{agent.hostname} has been revoked: it cannot come back."
            raise Conflict(message)
        issued = issuance.sign_agent(authority, request.csr, agent.id, life)
        certificates.revoke_all(connection, agent.id)
        certificates.insert_agent_certificate(connection, issued, agent.tenant_id, agent.id, bound.secret_hash)
        table.spend(connection, request.challenge_id)
        patience.forget(connection, _name(address))
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor="recovery-code",
            action="host-recovered",
            target=agent.id,
            hostname=agent.hostname,
            address=address,
            serial=issued.serial,
        )
        return Recovered(agent=agent, certificate=issued.chain_pem, agent_token=bound.text, sealed_key=sealed)

    try:
        return database.write(write)
    except SaveOSError as error:
        note_refusal(database, "recovery-refused", error.code, address, request.agent_id)
        raise


def _proven(connection: sqlite3.Connection, proof: RecoveryProof) -> bytes:
    """Return the public key of the recovery code that is held. Raises NotAuthenticated."""
    row = table.get(connection, proof.challenge_id)
    try:
        secret = base64.b64decode(proof.secret, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    is_answered = row is not None and hmac.compare_digest(_hash(secret), row["secret_hash"])
    if row is None or not is_answered or not table.is_known(connection, row["public_key"]):
        message = "The recovery code belongs to no tenant here, or the proof came too late. Begin again."
        raise NotAuthenticated(message)
    return bytes(row["public_key"])


def _key_bytes(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SECRET_BYTES:
        raise _no_key()
    return raw


def _no_key() -> InvalidRequest:
    message = "That is no public key of a recovery code."
    return InvalidRequest(message, field="recovery_public_key")


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _name(address: str) -> str:
    return f"recovery:{address}"
