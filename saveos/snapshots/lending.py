"""One host's repository, read by another host of the tenant for one restore.

The key goes from host to host, sealed to the certificate of the one that restores: we carry it and forget it. It is
asked for when the restore begins, so that nothing waits here, and no key is part of an order.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cryptography import x509

from saveos import clock
from saveos.agents import questions, table_questions
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState, QuestionState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, HostOffline, InvalidRequest, NotFound
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import JobId, Lender, LentKeyRequest, Question, QuestionId, SealedKey, SealKey
from saveos.repositories.access import lender_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from saveos.agents.model import AgentIdentity
    from saveos.database.connection import Database
    from saveos.protocol import AgentId
    from saveos.snapshots.model import Snapshot

    # Of a host whose key a person has unlocked: seal it to a certificate (leaf first) for a job; else None.
    SealFor = Callable[[AgentId, str, JobId], str | None]

LOOK_SECONDS = 0.2
INSTEAD = "Unlock its snapshots with the recovery code instead."


def nobody_unlocked(_owner: AgentId, _certificate: str, _job_id: JobId) -> str | None:
    """Return that nobody has unlocked the key."""
    return None


def lend(connection: sqlite3.Connection, snapshot: Snapshot, onto_agent_id: str) -> tuple[Agent, Lender]:
    """Return the host that restores and the one that lends. Raises NotFound, Conflict, HostOffline."""
    borrower = agents.get(connection, onto_agent_id, snapshot.tenant_id)
    if borrower is None:
        message = "There is no such host to restore onto."
        raise NotFound(message)
    if borrower.state is AgentState.REVOKED:
        message = f"{borrower.hostname} has been revoked: nothing can be restored there."
        raise Conflict(message)
    owner = agents.get(connection, snapshot.agent_id, snapshot.tenant_id)
    if owner is None:
        message = "The snapshot's host is not known any more."
        raise NotFound(message)
    if owner.state is AgentState.REVOKED or not owner.is_online_at(clock.now()):
        message = f"{owner.hostname} is not online: it alone can lend its key. {INSTEAD}"
        raise HostOffline(message)
    return borrower, Lender(agent_id=owner.id, hostname=owner.hostname)


async def key_for(
    database: Database,
    borrower: AgentIdentity,
    job_id: JobId,
    request: LentKeyRequest,
    seal_for: SealFor = nobody_unlocked,
) -> SealedKey:
    """Return the lender's passphrase, sealed to the borrower's certificate, for a restore that runs there.

    Waits for the lender to answer. Raises NotFound, Conflict, HostOffline, InvalidRequest, TooMany.
    """
    _require_own(request.certificate, borrower)
    owner = _lender(database.read, borrower, job_id)
    if (sealed := seal_for(owner, request.certificate, job_id)) is not None:
        return SealedKey(sealed=sealed)
    question = Question(
        question_id=QuestionId(new_id("qst")), seal_key=SealKey(job_id=job_id, certificate=request.certificate)
    )

    def write(connection: sqlite3.Connection) -> None:
        lender = questions.reachable(agents.get(connection, owner, borrower.tenant_id))
        questions.put(connection, lender, question, f"agent:{borrower.agent_id}")
        record(
            connection,
            tenant_id=borrower.tenant_id,
            actor=f"agent:{borrower.agent_id}",
            action="key-lent",
            target=owner,
            job=job_id,
        )

    await database.write_async(write)
    try:
        return await _answer(database, borrower, question.question_id)
    finally:
        await database.write_async(lambda connection: table_questions.delete(connection, question.question_id))


async def _answer(database: Database, borrower: AgentIdentity, question_id: QuestionId) -> SealedKey:
    while True:
        row = table_questions.get(database.read, question_id, borrower.tenant_id)
        state = questions.state_at(row, clock.now()) if row else QuestionState.EXPIRED
        if row is not None and row.answer is not None and row.answer.sealed_key is not None:
            return row.answer.sealed_key
        if state not in (QuestionState.WAITING, QuestionState.ANSWERING):
            message = f"The host that lends its key did not answer. {INSTEAD}"
            raise HostOffline(message)
        await asyncio.sleep(LOOK_SECONDS)


def _lender(connection: sqlite3.Connection, borrower: AgentIdentity, job_id: JobId) -> AgentId:
    job = jobs.get(connection, job_id, borrower.tenant_id)
    owner = lender_of(job, borrower.agent_id)
    if job is None or owner is None or job.state is not State.RUNNING:
        message = "No restore that runs on this host needs another host's key."
        raise NotFound(message)
    return owner


def _require_own(chain: str, borrower: AgentIdentity) -> None:
    """Raise InvalidRequest unless this is the certificate of the connection."""
    try:
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    except (ValueError, IndexError) as error:
        message = "The certificate cannot be read."
        raise InvalidRequest(message, field="certificate") from error
    if format(leaf.serial_number, "x") != borrower.serial:
        message = "That is not the certificate of this connection."
        raise InvalidRequest(message, field="certificate")
