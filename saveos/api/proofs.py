"""/api/v1/…/proofs: checks, restore drills, and reports for an auditor."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import Parameter

from saveos.api.agents import AgentIdPath
from saveos.api.jobs import JobView
from saveos.api.jobs import view as job_view
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.proofs import checks, drills, looking, verifications
from saveos.proofs.model import Drill, Health


class DrillList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of drills, newest first; `next_before` is the `before` of the next one."""

    items: list[Drill]
    next_before: str | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for a check. No `job`: another repository is read just now, this one is the next."""

    job: JobView | None


class Proofs(Controller):
    """What shows that backups can be restored."""

    path = "/api/v1"
    tags = ("proofs",)

    @get("/agents/{agent_id:str}/proofs", summary="Show a host's proofs", sync_to_thread=True, responses=documented())
    def of_agent(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> Health:
        """Show how far a repository is checked, what is damaged in it, and the last restore drills."""
        return looking.health(parts.database, principal, agent_id)

    @post(
        "/agents/{agent_id:str}/drill",
        summary="Ask for a restore drill",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def drill(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> JobView:
        """Let a host restore a sample now, compare it with what was noted at backups, and sign what came of it."""
        return job_view(drills.request(parts.database, principal, agent_id), None)

    @post(
        "/agents/{agent_id:str}/verify",
        summary="Ask for a verification",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def verify(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> JobView:
        """Let a host decrypt the next part of its repository, and name the files of what is known to be damaged."""
        return job_view(verifications.request(parts.database, principal, agent_id), None)

    @post(
        "/agents/{agent_id:str}/check",
        summary="Ask for a check",
        status_code=202,
        sync_to_thread=True,
        responses=documented(),
    )
    def check(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> Asked:
        """Let the appliance read a repository from the disk next, object by object."""
        job = checks.request(parts.database, principal, agent_id)
        return Asked(job=job_view(job, None) if job else None)

    @get("/drills", summary="List restore drills", sync_to_thread=True, responses=documented())
    def find(
        self,
        principal: Principal,
        parts: Parts,
        agent_id: Annotated[str, Parameter(max_length=64)] = "",
        before: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> DrillList:
        """List restore drills, newest first, with what their hosts signed."""
        found = drills.find(parts.database, principal, agent_id=agent_id, before=before, limit=limit)
        return DrillList(items=found, next_before=found[-1].id if len(found) == limit else None)
