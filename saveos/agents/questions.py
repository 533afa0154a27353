"""What a person who waits wants to know of a host at once: asked, handed out once, answered in parts, forgotten.

A question is no job: it changes nothing, nobody looks at it later, and it is worth nothing once the person has gone.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table
from saveos.agents import table_questions as questions
from saveos.agents.model import SILENT_AFTER, Agent, AgentState, Asked, AskedRow, QuestionState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, HostOffline, InvalidRequest, NotFound, TooMany
from saveos.identity.principals import Permission, Principal
from saveos.protocol import Answer, ListFolder, Question, QuestionId, ReadOrder, TryExcludes

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from saveos.agents.model import AgentIdentity
    from saveos.database.connection import Database

OPEN_LIMIT = 8  # questions of one host that nobody has answered yet
KEPT_LIMIT = 16  # rows of one host: of answers 16 MiB at the most, beside what was asked (a long list, if of files)
ANSWER_LIMIT_BYTES = 1024 * 1024
SILENCE = timedelta(seconds=30)  # a host that says nothing for so long will not
LIFE = timedelta(minutes=10)  # a count that takes longer is cut off
KEPT = timedelta(minutes=15)  # then all is deleted


def ask(
    database: Database,
    principal: Principal,
    agent_id: str,
    question: ListFolder | TryExcludes | ReadOrder,
    question_id: QuestionId | None = None,
) -> QuestionId:
    """Ask a host and return the question's id; the answer comes through `answer_of`, of a reading as a stream.

    Raises NotFound, HostOffline, Conflict (revoked), TooMany, InvalidRequest (a path that no host has).
    """
    principal.require(Permission.RESTORE if isinstance(question, ReadOrder) else Permission.POLICIES)
    _require_possible(question)
    question_id = question_id or new_question()

    def write(connection: sqlite3.Connection) -> QuestionId:
        agent = reachable(table.get(connection, agent_id, principal.tenant_id))
        asked = Question(
            question_id=question_id,
            list_folder=question if isinstance(question, ListFolder) else None,
            try_excludes=question if isinstance(question, TryExcludes) else None,
            read=question if isinstance(question, ReadOrder) else None,
        )
        put(connection, agent, asked, principal.label)
        if not isinstance(question, ReadOrder):  # who orders that has said what comes of it
            record(
                connection,
                tenant_id=agent.tenant_id,
                actor=principal.label,
                action="folder-listed" if isinstance(question, ListFolder) else "excludes-tried",
                target=agent.id,
                **({"path": question.path} if isinstance(question, ListFolder) else {}),
            )
        return question_id

    return database.write(write)


def new_question() -> QuestionId:
    """Return an id that nobody can guess."""
    return QuestionId(new_id("qst"))


def put(connection: sqlite3.Connection, agent: Agent, asked: Question, asked_by: str) -> None:
    """Let a question wait for its host, inside the caller's transaction. Raises TooMany."""
    _require_room(questions.of_agent(connection, agent.id))
    questions.keep_newest(connection, agent.id, KEPT_LIMIT - 1)
    questions.insert(
        connection,
        {
            "id": asked.question_id,
            "tenant_id": agent.tenant_id,
            "agent_id": agent.id,
            "question_json": msgspec.json.encode(asked).decode(),
            "asked_by": asked_by,
            "asked_at": clock.to_text(clock.now()),
        },
    )


def answer_of(database: Database, principal: Principal, question_id: str) -> Asked:
    """Return how far a question is, with what the host has said so far. Raises NotFound."""
    principal.require(Permission.POLICIES)
    row = _known(questions.get(database.read, question_id, principal.tenant_id))
    return Asked(
        question_id=row.id,
        agent_id=row.agent_id,
        state=state_at(row, clock.now()),
        asked_at=row.asked_at,
        answer=row.answer,
    )


def withdraw(database: Database, principal: Principal, question_id: str) -> None:
    """Stop waiting: the host hears of it with its next word. Once more changes nothing. Raises NotFound."""
    principal.require(Permission.POLICIES)

    def write(connection: sqlite3.Connection) -> None:
        row = _known(questions.get(connection, question_id, principal.tenant_id))
        if row.answered_at is None:
            questions.withdraw(connection, row.id)

    database.write(write)


def close(connection: sqlite3.Connection, question_id: str) -> None:
    """Nobody waits for this any more: a host that has not heard it does not."""
    questions.withdraw(connection, question_id)


def take(connection: sqlite3.Connection, agent: AgentIdentity) -> tuple[Question, ...]:
    """Hand out what waits for a host, once: an answer that does not arrive is asked for anew by the person."""
    taken = questions.take(connection, agent.agent_id, clock.now() - SILENCE)
    return tuple(msgspec.json.decode(question, type=Question) for _id, question in taken)


def waiting_agents(connection: sqlite3.Connection) -> set[str]:
    """Return the agents that have a question to hear."""
    return questions.agents_asked(connection, clock.now() - SILENCE)


def record_answer(connection: sqlite3.Connection, agent: AgentIdentity, question_id: str, answer: Answer) -> bool:
    """Keep what a host says; return whether somebody waits for more.

    Raises NotFound (another agent's question, never handed out, or forgotten) and InvalidRequest (an answer to
    something else, or too large).
    """
    row = _known(questions.get(connection, question_id, agent.tenant_id))
    if row.agent_id != agent.agent_id or row.taken_at is None:
        row = _known(None)
    if row.answered_at is not None or row.withdrawn_at is not None or clock.now() - row.asked_at >= LIFE:
        return False
    is_final = _require_fitting(row.question, answer)
    questions.set_answer(connection, row.id, answer, is_final=is_final)
    return not is_final


def forget(database: Database) -> int:
    """Delete what was asked some minutes ago; return how many."""
    if not questions.is_any_before(database.read, clock.now() - KEPT):
        return 0
    return database.write(lambda connection: questions.delete_before(connection, clock.now() - KEPT))


def state_at(row: AskedRow, now: datetime) -> QuestionState:
    """Return how far a question is: time alone ends one of which nothing is heard."""
    if row.answered_at is not None:
        return QuestionState.ANSWERED
    if row.withdrawn_at is not None:
        return QuestionState.WITHDRAWN
    if now - (row.heard_at or row.asked_at) >= SILENCE or now - row.asked_at >= LIFE:
        return QuestionState.EXPIRED
    return QuestionState.WAITING if row.taken_at is None else QuestionState.ANSWERING


def _require_possible(question: ListFolder | TryExcludes | ReadOrder) -> None:
    if isinstance(question, ReadOrder):
        return
    paths = (question.path,) if isinstance(question, ListFolder) else question.sources
    if any("\0" in path for path in paths):
        message = "No path on a host holds a zero byte."
        raise InvalidRequest(message, field="path" if isinstance(question, ListFolder) else "sources")


def _require_room(asked: list[AskedRow]) -> None:
    now = clock.now()
    are_open = [row for row in asked if state_at(row, now) in (QuestionState.WAITING, QuestionState.ANSWERING)]
    if len(are_open) >= OPEN_LIMIT:
        message = f"This host has {len(are_open)} questions to answer already. Wait for it."
        raise TooMany(message, retry_seconds=1)


def _require_fitting(question: Question, answer: Answer) -> bool:
    """Return whether an answer is the last one."""
    pairs = (
        (question.list_folder, answer.folder),
        (question.try_excludes, answer.excludes),
        (question.seal_key, answer.sealed_key),
    )
    if question.read is not None or any((asked is None) is not (said is None) for asked, said in pairs):
        message = "This answers another question."
        raise InvalidRequest(message)
    if len(msgspec.json.encode(answer)) > ANSWER_LIMIT_BYTES:
        message = f"An answer has {ANSWER_LIMIT_BYTES} bytes at the most."
        raise InvalidRequest(message)
    return answer.excludes is None or answer.excludes.is_final


def reachable(agent: Agent | None) -> Agent:
    """Return a host that can answer now. Raises NotFound, Conflict (revoked), HostOffline."""
    if agent is None:
        message = "There is no such agent."
        raise NotFound(message)
    if agent.state is AgentState.REVOKED:
        message = f"{agent.hostname} has been revoked; it is not asked any more."
        raise Conflict(message)
    if not agent.is_online_at(clock.now()):
        message = f"{agent.hostname} is offline: nothing was heard of it for {SILENT_AFTER.seconds} seconds."
        raise HostOffline(message)
    return agent


def _known(row: AskedRow | None) -> AskedRow:
    if row is None:
        message = "There is no such question, or it was asked too long ago."
        raise NotFound(message)
    return row
