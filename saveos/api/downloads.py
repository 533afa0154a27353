"""/download: the executable of one host, stamped while it is streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from litestar import Request, get
from litestar.concurrency import sync_to_thread
from litestar.params import Parameter
from litestar.response import Stream

from saveos.agents import provisioning
from saveos.agents.model import Provisioning
from saveos.api.guards import provide_principal
from saveos.api.problems import documented
from saveos.errors import BuildError, Conflict, InvalidRequest, NotAuthenticated
from saveos.identity import tokens
from saveos.identity.principals import Principal, system
from saveos.identity.tokens import Token, TokenKind
from saveos.installers import stamp
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, Job, State
from saveos.parts import Parts
from saveos.protocol import Platform, Stamp

BUILD_POLL_SECONDS = 0.5
ProvisioningQuery = Annotated[str, Parameter(max_length=64, description="Id of a provisioning, for people")]


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
    payload = Stamp(
        addresses=parts.addresses,
        root_certificate=parts.authority.root_pem,
        token=token.text,
        hostname=taken.hostname,
    )
    headers = {
        "content-disposition": 'attachment; filename="saveos-agent"',
        "content-length": str(base.stat().st_size + stamp.stamped_size(payload)),
    }
    return Stream(_stream(parts, base, payload, taken), media_type="application/octet-stream", headers=headers)


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
        return provisioning.take_by_person(parts.database, principal, provisioning_id)
    return provisioning.take_by_token(parts.database, text or "", platform)


async def _stream(parts: Parts, base: Path, payload: Stamp, taken: Provisioning) -> AsyncIterator[bytes]:
    is_whole = False
    chunks = stamp.stream(base, payload)
    try:
        while (chunk := await sync_to_thread(next, chunks, None)) is not None:
            yield chunk
        is_whole = True
    finally:
        if not is_whole:
            parts.database.submit(lambda connection: provisioning.undo_download(connection, taken.id))
