"""Who holds a host's key: it is sealed to the tenant's recovery key, and in managed mode to the appliance's own too.

A host seals for a public key once; a hostile one cannot swap later what is there, unless the appliance asked anew.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag

from saveos.agents import table as agents
from saveos.agents.model import KeyMode
from saveos.audit.record import record
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.protocol import SealWanted
from saveos.repositories import managed, sealing, table, table_keys
from saveos.repositories.model import HostKey, Purpose, RepositoryState
from saveos.tenants import kits, recovery, users

if TYPE_CHECKING:
    import sqlite3

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from saveos.agents.model import Agent, AgentIdentity
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import AgentId, EscrowContents, EscrowRequest, TenantId


def wanted(connection: sqlite3.Connection, settings: Settings, agent: AgentIdentity) -> tuple[SealWanted, ...]:
    """Return what a host's key is to be sealed to and is not yet."""
    there = table_keys.purposes(connection, agent.agent_id)
    targets = _targets(connection, settings, agent.tenant_id, agent.agent_id)
    return tuple(
        SealWanted(public_key=sealing.as_text(public_key), purpose=purpose)
        for purpose, public_key in targets.items()
        if public_key not in there
    )


def keep(connection: sqlite3.Connection, settings: Settings, agent: AgentIdentity, request: EscrowRequest) -> bool:
    """Keep the sealed key of an agent's repository; return whether it is the first one.

    Raises Conflict when it is here already or nobody asked for it, InvalidRequest.
    """
    if not sealing.is_plausible(request.sealed):
        message = "The sealed key cannot be read."
        raise InvalidRequest(message, field="sealed")
    repository = table.of_agent(connection, agent.agent_id)
    if repository is None:
        message = "This agent has no repository."
        raise NotFound(message)
    purpose = Purpose(request.purpose)
    public_key = _asked_for(connection, settings, agent, request)
    is_first = repository.state is RepositoryState.NEW
    if is_first and purpose is not Purpose.RECOVERY:
        message = "The key is sealed to the recovery key first."
        raise Conflict(message)
    if not is_first and repository.engine_id != request.repository_id:
        message = "This is another repository's key."
        raise Conflict(message)
    table_keys.put(connection, agent.agent_id, public_key, purpose, request.sealed)
    if is_first:
        table.set_ready(connection, agent.agent_id, request.repository_id)
    record(
        connection,
        tenant_id=agent.tenant_id,
        actor=f"agent:{agent.agent_id}",
        action="key-sealed",
        target=agent.agent_id,
        repository=request.repository_id,
        purpose=purpose.value,
    )
    return is_first


def set_mode(database: Database, principal: Principal, agent_id: str, mode: KeyMode) -> None:
    """Decide who holds a host's key. Back to sealed, the appliance's copy is deleted at once. Raises NotFound."""
    principal.require(Permission.KEYS)

    def write(connection: sqlite3.Connection) -> None:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            raise _no_agent()
        if table_keys.mode(connection, agent.id, principal.tenant_id) is not mode:
            table_keys.set_mode(connection, agent.id, mode)
            if mode is KeyMode.SEALED:
                table_keys.forget(connection, agent.id, Purpose.MANAGED)
            record(
                connection,
                tenant_id=agent.tenant_id,
                actor=principal.label,
                action="key-mode-changed",
                target=agent.id,
                mode=mode.value,
            )

    database.write(write)


def held(database: Database, principal: Principal, agent_id: str) -> HostKey:
    """Return who holds a host's key. Raises NotFound."""
    principal.require(Permission.READ)
    connection = database.read
    agent = agents.get(connection, agent_id, principal.tenant_id)
    if agent is None:
        raise _no_agent()
    return HostKey(
        mode=agent.key_mode,
        is_held=Purpose.MANAGED in table_keys.purposes(connection, agent_id).values(),
        was_managed=table_keys.was_managed(connection, agent_id),
    )


def export(
    database: Database, settings: Settings, principal: Principal, agent: Agent, recovery_code: str = ""
) -> EscrowContents:
    """Open an agent's sealed key with the recovery code; without one the appliance's own, if it is managed.

    Audited. Raises NotFound, InvalidRequest (also without a code for a sealed host).
    """
    principal.require(Permission.KEYS)
    private = recovery.private_key(recovery_code) if recovery_code.strip() else _own_key(database, settings, agent)
    found = table_keys.hosts(database.read, settings, agent.tenant_id, [agent.id])
    if not found:
        message = "The appliance holds no key of this host yet: its enrolment has not finished."
        raise NotFound(message)
    public = sealing.as_text(private.public_key().public_bytes_raw())
    sealed = next((seal.sealed for seal in found[0].seals if seal.public_key == public), "")
    try:
        contents = sealing.open_with(private, sealed, agent.id)
    except (InvalidTag, ValueError, msgspec.DecodeError) as error:
        message = "The recovery code does not open this key: it belongs to another appliance or tenant."
        raise InvalidRequest(message, field="recovery_code") from error
    database.write(
        lambda connection: record(
            connection, tenant_id=agent.tenant_id, actor=principal.label, action="key-exported", target=agent.id
        )
    )
    return contents


def note_proof(connection: sqlite3.Connection, principal: Principal, proven: bytes) -> bool:
    """Note that somebody has the code of this recovery key; return whether it is the present one.

    What hosts sealed to former keys is kept until then: had the new code been lost at once, nothing would open them.
    """
    is_present = kits.note_proof(connection, principal, proven)
    if is_present:
        table_keys.forget_former(connection, principal.tenant_id)
    return is_present


def _own_key(database: Database, settings: Settings, agent: Agent) -> X25519PrivateKey:
    if Purpose.MANAGED not in table_keys.purposes(database.read, agent.id).values():
        message = "This host's key is sealed: only the recovery code opens it."
        raise InvalidRequest(message, field="recovery_code")
    return managed.private_key(settings)


def _targets(
    connection: sqlite3.Connection, settings: Settings, tenant_id: TenantId, agent_id: AgentId
) -> dict[Purpose, bytes]:
    """Return what a host's key is to be sealed to."""
    targets = {Purpose.RECOVERY: users.recovery_public_key(connection, tenant_id)[1]}
    if table_keys.mode(connection, agent_id, tenant_id) is KeyMode.MANAGED:
        targets[Purpose.MANAGED] = managed.public_key(settings)
    return targets


def _asked_for(
    connection: sqlite3.Connection, settings: Settings, agent: AgentIdentity, request: EscrowRequest
) -> bytes:
    """Return the public key that a host sealed to. Raises Conflict unless that is wanted and not here."""
    targets = _targets(connection, settings, agent.tenant_id, agent.agent_id)
    public_key = targets.get(Purpose(request.purpose))
    try:
        named = base64.b64decode(request.public_key, validate=True)
    except ValueError:
        named = b"?"
    if not named and public_key is not None:  # it does not say: then it has one key only, that of its enrolment
        host = agents.get(connection, agent.agent_id, agent.tenant_id)
        is_of_enrolment = host is not None and kits.made_at(connection, agent.tenant_id) <= host.enrolled_at
        named = public_key if is_of_enrolment else b"?"
    if public_key is None or named != public_key:
        message = "Nobody asked for the key to be sealed to this."
        raise Conflict(message)
    if public_key in table_keys.purposes(connection, agent.agent_id):
        message = "The sealed key of this repository is here already."
        raise Conflict(message)
    return public_key


def _no_agent() -> NotFound:
    return NotFound("There is no such agent.")
