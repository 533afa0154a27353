"""One host's repository, read by another host of the tenant for one restore.

The key goes from host to host, sealed to the certificate of the one that restores: we carry it and forget it. It is
asked for when the restore begins, so that nothing waits here, and no key is part of an order. Where the key is unlocked
or managed, the keyholder seals it in its host's place, which may be off, burnt or revoked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509

from saveos import clock
from saveos.agents import questions, table_questions
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState, QuestionState
from saveos.audit.record import record
from saveos.database.connection import Database
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, HostOffline, InvalidRequest, Locked, NotFound, OfflineAndSealed, Unavailable
from saveos.identity.principals import system
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import JobId, Lender, LendOrder, LentKeyRequest, Question, QuestionId, SealedKey, SealKey
from saveos.repositories.access import lender_of
from saveos.repositories.unlocks import Unlocks

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import AgentIdentity
    from saveos.protocol import AgentId
    from saveos.repositories.local_run import LocalRun
    from saveos.snapshots.model import Snapshot

LOOK_SECONDS = 0.2
SEAL_SECONDS = 30.0  # of the keyholder's run: it takes one
SEALED_LIMIT = 16 * 1024
INSTEAD = "Unlock its key with the recovery code instead."


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to lend. `root`: the certificate that answers for hosts, PEM."""

    database: Database
    unlocks: Unlocks
    root: str


def lend(
    connection: sqlite3.Connection, snapshot: Snapshot, onto_agent_id: str, *, is_open: bool
) -> tuple[Agent, Lender]:
    """Return the host that restores and the one that lends. `is_open`: the latter's key is unlocked, or managed.

    Raises NotFound, Conflict (revoked), OfflineAndSealed.
    """
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
    if not is_open and (owner.state is AgentState.REVOKED or not owner.is_online_at(clock.now())):
        message = f"{owner.hostname} is not there to lend its key. {INSTEAD}"
        raise OfflineAndSealed(message)
    return borrower, Lender(agent_id=owner.id, hostname=owner.hostname)


async def key_for(means: Means, borrower: AgentIdentity, job_id: JobId, request: LentKeyRequest) -> SealedKey:
    """Return the lender's passphrase, sealed to the borrower's certificate, for a restore that runs there.

    Of a key that is open here the keyholder seals it; else the lender has to answer. Raises NotFound,
    OfflineAndSealed, HostOffline, InvalidRequest, TooMany, Unavailable.
    """
    _require_own(request.certificate, borrower)
    owner = _lender(means.database.read, borrower, job_id)
    asked = SealKey(job_id=job_id, certificate=request.certificate)
    if (run := await _unlocked(means, borrower, owner, asked)) is not None:
        sealed, by = await _said(run), "appliance"
    else:
        sealed, by = await _ask(means.database, borrower, owner, asked), "host"
    if sealed.sealed:
        await means.database.write_async(lambda connection: _note(connection, borrower, owner, job_id, by))
    return sealed


def _note(
    connection: sqlite3.Connection, borrower: AgentIdentity, owner: AgentId, job_id: JobId, sealed_by: str
) -> None:
    record(
        connection,
        tenant_id=borrower.tenant_id,
        actor=f"agent:{borrower.agent_id}",
        action="key-lent",
        target=owner,
        job=job_id,
        sealed_by=sealed_by,
    )


async def _unlocked(means: Means, borrower: AgentIdentity, owner: AgentId, asked: SealKey) -> LocalRun | None:
    """Have the key sealed here if it is open; None when it is not, or not any more."""
    principal = system(borrower.tenant_id, "restore")  # a person who may restore asked for the job
    if not await asyncio.to_thread(means.unlocks.is_open, principal, owner):
        return None
    order = msgspec.json.encode(LendOrder(lender=owner, root=means.root, seal_key=asked))
    try:
        return await means.unlocks.start(principal, owner, ["lend"], order)
    except (Locked, NotFound, Unavailable):
        return None


async def _said(run: LocalRun) -> SealedKey:
    """Return what a run sealed. Raises Unavailable."""
    raw = b""
    try:
        async with asyncio.timeout(SEAL_SECONDS):
            while (part := await run.read(SEALED_LIMIT)) and len(raw) < SEALED_LIMIT:
                raw += part
            await run.finish()
            return msgspec.json.decode(raw, type=SealedKey)
    except (TimeoutError, msgspec.MsgspecError) as error:
        message = "The key was locked again before it was lent."
        raise Unavailable(message) from error
    finally:
        await run.abort()


async def _ask(database: Database, borrower: AgentIdentity, owner: AgentId, asked: SealKey) -> SealedKey:
    question = Question(question_id=QuestionId(new_id("qst")), seal_key=asked)

    def write(connection: sqlite3.Connection) -> None:
        try:
            lender = questions.reachable(agents.get(connection, owner, borrower.tenant_id))
        except Conflict as error:
            message = f"{error.message} {INSTEAD}"
            raise OfflineAndSealed(message) from error
        questions.put(connection, lender, question, f"agent:{borrower.agent_id}")

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
