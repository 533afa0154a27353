"""/download: executables, stamped while they are streamed: one host's, or a batch as a ZIP with its list."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.concurrency import sync_to_thread
from litestar.params import Parameter
from litestar.response import Stream

from saveos import clock
from saveos.agents import handout, provisioning
from saveos.agents.model import Provisioning
from saveos.api.guards import provide_principal
from saveos.api.problems import documented
from saveos.errors import BuildError, Conflict, InvalidRequest, NotAuthenticated
from saveos.identity import tokens
from saveos.identity.principals import Principal, system
from saveos.identity.tokens import Token, TokenKind
from saveos.installers import bundles, stamp
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, Job, State
from saveos.parts import Parts
from saveos.protocol import Platform

BUILD_POLL_SECONDS = 0.5
CSV_HEAD = ("hostname", "platform", "provisioning_id", "expires_at", "command")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins so
ProvisioningQuery = Annotated[str, Parameter(max_length=64, description="Id of a provisioning, for people")]
BatchQuery = Annotated[str, Parameter(max_length=64, description="Id of a batch of provisionings")]


@get(
    "/download/agent/{platform:str}",
    summary="Download a host's executable",
    tags=["downloads"],
    responses=documented(409),
)
async def agent_executable(
    platform: Platform, request: Request[Any, Any, Any], parts: Parts, provisioning: ProvisioningQuery = ""
) -> Stream:
    """Fetch a host's executable, once: signed in with `provisioning=ID`, or with the enrolment token as bearer.

    Waits while the platform's executable is being built.
    """
    text = request.scope["state"].get("enrolment_token")
    principal = None if text else provide_principal(request)
    tenant = await sync_to_thread(_require_right, parts, principal, text, provisioning, platform)
    base = await _base(parts, tenant, platform)
    taken, token = await sync_to_thread(_take, parts, principal, text, provisioning, platform)
    payload = parts.stamp_of(taken, token)
    headers = {
        "content-disposition": f'attachment; filename="{bundles.file_name(platform)}"',
        "content-length": str(base.stat().st_size + stamp.stamped_size(payload)),
    }
    chunks = stamp.stream(base, payload)
    return Stream(_stream(parts, chunks, [taken.id]), media_type="application/octet-stream", headers=headers)


@get("/download/agents.zip", summary="Download a batch of executables", tags=["downloads"], responses=documented(409))
async def agents_archive(batch: BatchQuery, principal: Principal, parts: Parts) -> Stream:
    """Fetch every executable of a batch that has not been handed out yet: a ZIP with a folder for each host.

    Waits while the platform's executable is being built.
    """
    rights = await sync_to_thread(handout.batch, parts.database, principal, batch)
    platform = rights[0].platform
    base = await _base(parts, principal, platform)
    taken = await sync_to_thread(handout.take_batch, parts.database, principal, batch)
    payloads = [parts.stamp_of(right, token) for right, token in taken]
    headers = {"content-disposition": f'attachment; filename="saveos-agents-{clock.now():%Y-%m-%d}.zip"'}
    chunks = bundles.stream(base, payloads, platform)
    ids = [right.id for right, _token in taken]
    return Stream(_stream(parts, chunks, ids), media_type="application/zip", headers=headers)


@get(
    "/download/agents.csv",
    summary="Download the list of a batch",
    tags=["downloads"],
    responses=documented(),
    sync_to_thread=True,
)
def agents_list(batch: BatchQuery, principal: Principal, parts: Parts) -> Response[bytes]:
    """Fetch the list of a batch: host, platform, provisioning, end and the command that fetches its executable."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_HEAD)
    for right in handout.batch(parts.database, principal, batch):
        ends = clock.to_text(right.expires_at)
        writer.writerow(map(_cell, (right.hostname, right.platform.value, right.id, ends, parts.fetch_command(right))))
    headers = {"content-disposition": f'attachment; filename="saveos-agents-{clock.now():%Y-%m-%d}.csv"'}
    return Response(text.getvalue().encode(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _require_right(
    parts: Parts, principal: Principal | None, text: str | None, provisioning_id: str, platform: Platform
) -> Principal:
    """Refuse before anything is built; return for whom it would be."""
    if principal is not None:
        if not provisioning_id:
            message = "Say which provisioning: ?provisioning=ID (from POST /api/v1/agents/provision)."
            raise InvalidRequest(message, field="provisioning")
        found = provisioning.get(parts.database, principal, provisioning_id)
        _require_platform(found, platform)
        return principal
    if text is None:
        message = "Sign in, or send the enrolment token."
        raise NotAuthenticated(message)
    found = provisioning.by_token(parts.database.read, tokens.parse(TokenKind.ENROL, text))
    provisioning.require_live(found)
    return system(found.tenant_id)


def _require_platform(found: Provisioning, platform: Platform) -> None:
    if found.platform is not platform:
        message = f"This provisioning is for {found.platform.value}."
        raise Conflict(message)


async def _base(parts: Parts, principal: Principal, platform: Platform) -> Path:
    """Return the platform's executable; while it is being built, wait for the job."""
    while True:
        if (base := await sync_to_thread(parts.base, platform)) is not None:
            return base
        job_id = await sync_to_thread(parts.ensure_base, principal, platform)
        while job_id is not None:
            job = await sync_to_thread(_job, parts, job_id)
            if job is None or job.state in GOOD:
                break
            if job.state in (State.FAILED, State.CANCELLED):
                raise BuildError(f"The executable could not be built: {job.message}")
            await asyncio.sleep(BUILD_POLL_SECONDS)


def _job(parts: Parts, job_id: str) -> Job | None:
    return jobs.get(parts.database.read, job_id)


def _take(
    parts: Parts, principal: Principal | None, text: str | None, provisioning_id: str, platform: Platform
) -> tuple[Provisioning, Token]:
    if principal is not None:
        return handout.take_by_person(parts.database, principal, provisioning_id)
    return handout.take_by_token(parts.database, text or "", platform)


async def _stream(parts: Parts, chunks: Iterator[bytes], provisioning_ids: Sequence[str]) -> AsyncIterator[bytes]:
    """Send it; what does not reach its end gives the rights back.

    A client that has all it was promised hangs up at once: nothing may be waited for after the last chunk.
    """
    is_whole = False
    try:
        ahead = await sync_to_thread(next, chunks, None)
        while ahead is not None:
            chunk, ahead = ahead, await sync_to_thread(next, chunks, None)
            yield chunk
            is_whole = ahead is None
    finally:
        if not is_whole:
            parts.database.submit(lambda connection: handout.undo(connection, provisioning_ids))
