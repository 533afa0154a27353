"""Token + certificate request → agent + certificate + token bound to it (RFC 8705); renewal; revocation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import addresses, provisioning, table
from saveos.agents.model import Agent, AgentCertificate, AgentIdentity, AgentState
from saveos.audit.record import record, record_refusal
from saveos.certificates import issuance
from saveos.certificates import table as certificates
from saveos.database.identifiers import new_id
from saveos.errors import NotFound, SaveOSError
from saveos.identity import tokens
from saveos.identity.principals import Permission, Principal
from saveos.identity.tokens import TokenKind
from saveos.protocol import AgentId, EnrolRequest, Renewal

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from saveos.certificates.authority import Authority
    from saveos.database.connection import Database

    OnEnrolled = Callable[[sqlite3.Connection, Agent], None]

OLD_CERTIFICATE_LIFE = timedelta(hours=1)


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """A new agent and its credentials."""

    agent: Agent
    certificate: str
    agent_token: str

    def __repr__(self) -> str:
        return f"Enrolled(agent={self.agent.id!r})"


def enrol(
    database: Database,
    authority: Authority,
    request: EnrolRequest,
    address: str,
    *,
    life: timedelta,
    on_enrolled: OnEnrolled,
) -> Enrolled:
    """Spend the token and make the agent, in one transaction; refusals go to the audit log.

    The hostname that the person wrote when provisioning wins over what the host says of itself.
    Raises NotAuthenticated, TokenSpent, TokenExpired, InvalidRequest, HasMoved.
    """
    agent_id = AgentId(new_id("agt"))
    bound = tokens.create(TokenKind.AGENT)

    def write(connection: sqlite3.Connection) -> Enrolled:
        right = provisioning.by_token(connection, tokens.parse(TokenKind.ENROL, request.token))
        provisioning.require_live(right)
        addresses.require_here(connection)
        issued = issuance.sign_agent(authority, request.csr, agent_id, life)
        table.insert(
            connection,
            {
                "id": agent_id,
                "tenant_id": right.tenant_id,
                "hostname": right.hostname or request.hostname,
                "platform": request.platform.value,
                "policy_id": right.policy_id,
                "agent_version": request.agent_version,
                "address": address,
                "enrolled_at": clock.to_text(clock.now()),
            },
        )
        table.spend(connection, right.id, agent_id)
        certificates.insert_agent_certificate(connection, issued, right.tenant_id, agent_id, bound.secret_hash)
        agent = _known(table.get(connection, agent_id))
        on_enrolled(connection, agent)
        record(
            connection,
            tenant_id=right.tenant_id,
            actor=f"agent:{agent_id}",
            action="agent-enrolled",
            target=agent_id,
            hostname=agent.hostname,
            address=address,
        )
        return Enrolled(agent=agent, certificate=issued.chain_pem, agent_token=bound.text)

    try:
        return database.write(write)
    except SaveOSError as error:
        note_refusal(database, "enrolment-refused", error.code, address, _prefix_of(request.token))
        raise


def renew(database: Database, authority: Authority, agent: AgentIdentity, csr: str, *, life: timedelta) -> Renewal:
    """Give an agent its next certificate and token; the former ones stay good for an hour."""
    bound = tokens.create(TokenKind.AGENT)

    def write(connection: sqlite3.Connection) -> Renewal:
        issued = issuance.sign_agent(authority, csr, agent.agent_id, life)
        certificates.insert_agent_certificate(connection, issued, agent.tenant_id, agent.agent_id, bound.secret_hash)
        certificates.retire_others(connection, agent.agent_id, issued.serial, clock.now() + OLD_CERTIFICATE_LIFE)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=f"agent:{agent.agent_id}",
            action="certificate-renewed",
            target=agent.agent_id,
            serial=issued.serial,
        )
        return Renewal(certificate=issued.chain_pem, agent_token=bound.text)

    return database.write(write)


def revoke(database: Database, principal: Principal, agent_id: str) -> Agent:
    """Take an agent's identity back, for good. Its snapshots stay. Raises NotFound."""
    principal.require(Permission.REVOKE)

    def write(connection: sqlite3.Connection) -> Agent:
        agent = _known(table.get(connection, agent_id, principal.tenant_id))
        certificates.revoke_all(connection, agent.id)
        table.set_state(connection, agent.id, AgentState.REVOKED)
        record(connection, tenant_id=agent.tenant_id, actor=principal.label, action="agent-revoked", target=agent.id)
        return _known(table.get(connection, agent.id))

    return database.write(write)


def get(database: Database, principal: Principal, agent_id: str) -> Agent:
    """Return an agent of the tenant. Raises NotFound."""
    principal.require(Permission.READ)
    return _known(table.get(database.read, agent_id, principal.tenant_id))


def certificate(database: Database, principal: Principal, agent_id: str) -> AgentCertificate | None:
    """Return the certificate that an agent of the tenant got last. Raises NotFound for an unknown agent."""
    get(database, principal, agent_id)
    row = certificates.of_agent(database.read, agent_id)
    if row is None:
        return None
    issued_at, expires_at = clock.from_text(row["issued_at"]), clock.from_text(row["expires_at"])
    return AgentCertificate(
        serial=row["serial"],
        issued_at=issued_at,
        expires_at=expires_at,
        renews_at=issuance.renew_moment(issued_at, expires_at),
        revoked_at=clock.from_text(row["revoked_at"]) if row["revoked_at"] else None,
    )


def find(
    database: Database, principal: Principal, *, search: str = "", after: str = "", limit: int = 500
) -> list[Agent]:
    """Return the tenant's agents in the order of enrolment."""
    principal.require(Permission.READ)
    return table.find(database.read, principal.tenant_id, search=search, after=after, limit=limit)


def by_name(database: Database, principal: Principal, name: str) -> Agent:
    """Return the one agent with this id or hostname. Raises NotFound when there is none or more than one."""
    principal.require(Permission.READ)
    if agent := table.get(database.read, name, principal.tenant_id):
        return agent
    named = [agent for agent in find(database, principal, search=name) if agent.hostname == name]
    live = [agent for agent in named if agent.state is not AgentState.REVOKED] or named
    if len(live) > 1:
        ids = ", ".join(agent.id for agent in live)
        message = f"{name} is the name of {len(live)} agents. Say the id: {ids}."
        raise NotFound(message)
    return _known(live[0] if live else None)


def note_refusal(database: Database, action: str, code: str, address: str, target: str) -> None:
    """Write to the audit log that somebody was turned away."""
    database.submit(
        lambda connection: record_refusal(connection, action=action, code=code, address=address, target=target)
    )


def _prefix_of(token: str) -> str:
    try:
        return tokens.parse(TokenKind.ENROL, token).prefix
    except SaveOSError:
        return ""


def _known(agent: Agent | None) -> Agent:
    if agent is None:
        message = "There is no such agent."
        raise NotFound(message)
    return agent
