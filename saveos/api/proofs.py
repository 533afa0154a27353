"""/api/v1/…/proofs: checks, restore drills, and reports for an auditor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from saveos import clock
from saveos.api.agents import AgentIdPath
from saveos.api.jobs import JobView
from saveos.api.jobs import view as job_view
from saveos.api.problems import documented
from saveos.api.snapshots import aware
from saveos.errors import InvalidRequest
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.proofs import checks, drills, looking, report, verifications
from saveos.proofs.model import Drill, Health
from saveos.proofs.report import Asked
from saveos.proofs.report_model import SignedReport

REPORT_SPAN = timedelta(days=90)
SIGNED = ResponseSpec(data_container=SignedReport, description="The report", generate_examples=False)


class DrillList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of drills, newest first; `next_before` is the `before` of the next one."""

    items: list[Drill]
    next_before: str | None


class AskedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking for a check. No `job`: another repository is read just now, this one is the next."""

    job: JobView | None


def provide_asked(
    since: datetime | None = None,
    until: datetime | None = None,
    agent_id: Annotated[str, Parameter(max_length=64)] = "",
) -> Asked:
    """Return what a report is asked about: without words the last 90 days, of all hosts."""
    try:
        end = (aware(until) or clock.now()).astimezone(UTC)
        begin = (aware(since) or end - REPORT_SPAN).astimezone(UTC)
    except OverflowError as error:
        raise InvalidRequest("That is no time that a report could be about.", field="until") from error
    return Asked(since=begin, until=end, agent_id=agent_id)


def _file(data: bytes, asked: Asked, ending: str, kind: str) -> Response[bytes]:
    name = f"saveos-report-{asked.since:%Y-%m-%d}-{asked.until:%Y-%m-%d}.{ending}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response(data, media_type=kind, headers=headers)


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
    def drill(
        self,
        agent_id: AgentIdPath,
        principal: Principal,
        parts: Parts,
        of_copy: Annotated[bool, Parameter(description="Out of its newest offsite copy")] = False,  # noqa: FBT002
    ) -> JobView:
        """Let a host restore a sample now, compare it with what was noted at backups, and sign what came of it."""
        return job_view(drills.request(parts.database, principal, agent_id, is_of_copy=of_copy), None)

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
    def check(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> AskedCheck:
        """Let the appliance read a repository from the disk next, object by object."""
        job = checks.request(parts.database, principal, agent_id)
        return AskedCheck(job=job_view(job, None) if job else None)

    @get(
        "/reports/proofs.json",
        summary="Make a report as JSON",
        media_type="application/json",
        dependencies={"asked": Provide(provide_asked, sync_to_thread=False)},
        sync_to_thread=True,
        responses=documented() | {200: SIGNED},
    )
    def report_json(self, asked: Asked, principal: Principal, parts: Parts) -> Response[bytes]:
        """Make a signed report for an auditor, of 90 days by default; `saveos verify-report` verifies it offline."""
        data = report.make_json(parts.database, parts.authority, principal, asked)
        return _file(data, asked, "json", "application/json")

    @get(
        "/reports/proofs.html",
        summary="Make a report as a page",
        media_type="text/html",
        dependencies={"asked": Provide(provide_asked, sync_to_thread=False)},
        sync_to_thread=True,
        responses=documented(),
    )
    def report_html(
        self,
        asked: Asked,
        principal: Principal,
        parts: Parts,
        language: Annotated[str, Parameter(pattern="^(en|fr)$", description="Which one is shown first")] = "en",
    ) -> Response[bytes]:
        """Make a signed report as a page to print, in English and French, with the JSON in it."""
        data = report.make_html(parts.database, parts.authority, principal, asked, language)
        return _file(data, asked, "html", "text/html; charset=utf-8")

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
