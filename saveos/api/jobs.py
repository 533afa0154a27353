"""/api/v1/jobs: what is to be done, what is being done, how it ended."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.params import Parameter

from saveos.agents import heartbeat
from saveos.agents.model import AgentIdentity
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs_table
from saveos.jobs.model import Job, JobLogLine, JobProgress, State
from saveos.parts import Parts
from saveos.protocol import JobId, JobReport, Kind, Progress, ProgressAnswer

JobIdPath = Annotated[str, Parameter(max_length=64, description="Id of a job")]


class ProgressView(JobProgress, frozen=True, kw_only=True):
    """The last word of a running job; `fraction` 0 to 0.99, null when the total is unknown."""

    fraction: float | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is shown."""

    id: str
    agent_id: str | None
    hostname: str | None
    policy_id: str | None
    kind: Kind
    runs_on: str
    state: State
    order: dict[str, Any]
    attempts: int
    attempts_limit: int
    not_before: str
    requested_by: str
    requested_at: str
    started_at: str | None
    ended_at: str | None
    cancel_requested_at: str | None
    error_code: str
    message: str
    warnings_count: int
    held_by: str  # why it is not handed out at present: "disk-full", "moved", or nothing
    progress: ProgressView | None


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first; `next_before` is the `before` of the next one."""

    items: list[JobView]
    next_before: str | None


class JobLog(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of a job's log, oldest first."""

    items: list[JobLogLine]


def view(job: Job, progress: JobProgress | None) -> JobView:
    """Return the job as it is shown."""
    fields = msgspec.to_builtins(job)
    shown = {name: fields[name] for name in JobView.__struct_fields__ if name not in ("order", "progress")}
    shown["kind"], shown["state"] = job.kind, job.state
    last = ProgressView(**msgspec.structs.asdict(progress), fraction=progress.fraction) if progress else None
    return JobView(**shown, order=job.order, progress=last)


class Jobs(Controller):
    """What people do with jobs, and what the host that runs one says."""

    path = "/api/v1/jobs"
    tags = ("jobs",)

    @get("/", summary="List jobs", sync_to_thread=True, responses=documented())
    def find(
        self,
        principal: Principal,
        parts: Parts,
        agent_id: Annotated[str, Parameter(max_length=64)] = "",
        job_state: Annotated[State | None, Parameter(query="state")] = None,
        kind: Kind | None = None,
        before: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> JobList:
        """List jobs, newest first."""
        filters = {"agent_id": agent_id, "state": job_state, "kind": kind, "before": before}
        found = lifecycle.find(parts.database, principal, filters, limit)
        return JobList(
            items=[view(job, jobs_table.progress(parts.database.read, job.id)) for job in found],
            next_before=found[-1].id if len(found) == limit else None,
        )

    @get("/{job_id:str}", summary="Show a job", sync_to_thread=True, responses=documented())
    def get_one(self, job_id: JobIdPath, principal: Principal, parts: Parts) -> JobView:
        """Show a job with its progress."""
        job = lifecycle.get(parts.database, principal, job_id)
        return view(job, jobs_table.progress(parts.database.read, job.id))

    @get("/{job_id:str}/log", summary="Read a job's log", sync_to_thread=True, responses=documented())
    def log(
        self,
        job_id: JobIdPath,
        principal: Principal,
        parts: Parts,
        after: Annotated[int, Parameter(ge=0, le=2**62)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=2000)] = 500,
    ) -> JobLog:
        """Read a job's log; `after` is the id of the last line you have."""
        return JobLog(items=lifecycle.log(parts.database, principal, job_id, after, limit))

    @post(
        "/{job_id:str}/cancel", summary="Cancel a job", status_code=200, sync_to_thread=True, responses=documented(409)
    )
    def cancel(self, job_id: JobIdPath, principal: Principal, parts: Parts) -> JobView:
        """Stop a job: at once if it waits, else as soon as its host hears of it."""
        job = lifecycle.cancel(parts.database, principal, job_id, parts.endings)
        return view(job, jobs_table.progress(parts.database.read, job.id))

    @post(
        "/{job_id:str}/progress",
        summary="Say how far a job is",
        status_code=200,
        tags=["agent protocol"],
        responses=documented(),
    )
    async def progress(self, job_id: JobIdPath, data: Progress, agent: AgentIdentity, parts: Parts) -> ProgressAnswer:
        """Say how far a job is; the answer may be to stop, and holds what a person asks meanwhile."""
        lease = parts.settings.lease_seconds
        return await parts.database.write_async(
            lambda connection: heartbeat.note_progress(connection, agent, JobId(job_id), data, lease)
        )

    @post(
        "/{job_id:str}/report",
        summary="Report how a job ended",
        status_code=204,
        tags=["agent protocol"],
        responses=documented(),
    )
    async def report(self, job_id: JobIdPath, data: JobReport, agent: AgentIdentity, parts: Parts) -> None:
        """Say how a job ended; saying it twice changes nothing."""
        await parts.database.write_async(
            lambda connection: lifecycle.finish(connection, JobId(job_id), agent.agent_id, data, parts.endings)
        )
