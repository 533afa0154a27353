"""/api/v1/questions: what a person who waits asks of a host, and what the host says."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import Parameter

from saveos.agents import questions
from saveos.agents.model import AgentIdentity, Asked
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import Answer, AnswerReceipt, ListFolder, QuestionId, TryExcludes

AgentIdPath = Annotated[str, Parameter(max_length=64, description="Id of an agent")]
QuestionIdPath = Annotated[str, Parameter(max_length=64, description="Id of a question")]


class QuestionMade(msgspec.Struct, frozen=True, kw_only=True):
    """The question is on its way."""

    question_id: QuestionId


class Questions(Controller):
    """What people ask."""

    path = "/api/v1"
    tags = ("questions",)

    @post(
        "/agents/{agent_id:str}/folders",
        summary="Ask for a host's folder",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def list_folder(self, agent_id: AgentIdPath, data: ListFolder, principal: Principal, parts: Parts) -> QuestionMade:
        """Ask a host that is online what lies in a folder."""
        return QuestionMade(question_id=questions.ask(parts.database, principal, agent_id, data))

    @post(
        "/agents/{agent_id:str}/excludes",
        summary="Try excludes on a host",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def try_excludes(
        self, agent_id: AgentIdPath, data: TryExcludes, principal: Principal, parts: Parts
    ) -> QuestionMade:
        """Ask a host that is online what a backup would take and skip; it counts while you wait."""
        return QuestionMade(question_id=questions.ask(parts.database, principal, agent_id, data))

    @get("/questions/{question_id:str}", summary="Read a host's answer", sync_to_thread=True, responses=documented())
    def answer(self, question_id: QuestionIdPath, principal: Principal, parts: Parts) -> Asked:
        """Read what the host has said so far; it is forgotten after some minutes."""
        return questions.answer_of(parts.database, principal, question_id)

    @delete("/questions/{question_id:str}", summary="Withdraw a question", sync_to_thread=True, responses=documented())
    def withdraw(self, question_id: QuestionIdPath, principal: Principal, parts: Parts) -> None:
        """Stop waiting: the host stops too."""
        questions.withdraw(parts.database, principal, question_id)


class Answers(Controller):
    """What hosts say."""

    path = "/api/v1/agents/self/answers"
    tags = ("agent protocol",)

    @post("/{question_id:str}", summary="Answer a question", status_code=200, responses=documented())
    async def answer(
        self, question_id: QuestionIdPath, data: Answer, agent: AgentIdentity, parts: Parts
    ) -> AnswerReceipt:
        """Answer, or say how far the answer is; each one replaces the one before."""
        go_on = await parts.database.write_async(
            lambda connection: questions.record_answer(connection, agent, question_id, data)
        )
        return AnswerReceipt(go_on=go_on)
