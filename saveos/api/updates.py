"""/api/v1/agents/…/update: ask hosts to become another executable, and the executable they fetch then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import Parameter
from litestar.response import Stream
from msgspec import Meta

from saveos.agents import table as agents
from saveos.agents.model import AgentIdentity
from saveos.api.agents import AgentIdPath
from saveos.api.jobs import JobView, view
from saveos.api.problems import documented
from saveos.errors import NotFound
from saveos.identity.principals import Principal
from saveos.installers import updates
from saveos.installers.updates import Asked
from saveos.parts import Parts

CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{1,18})-")


class UpdateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The agents that are to update themselves."""

    agent_ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(min_length=1, max_length=10_000)]


class Updates(Controller):
    """What people ask, and what the host that updates itself calls."""

    path = "/api/v1/agents"
    tags = ("agents",)

    @post("/update", summary="Update many agents", status_code=202, sync_to_thread=True, responses=documented(409))
    def update_many(self, data: UpdateRequest, principal: Principal, parts: Parts) -> Asked:
        """Ask agents to update themselves; those that are up to date, revoked or run from source are passed over."""
        return updates.request_many(parts.database, parts.settings, principal, data.agent_ids)

    @post(
        "/{agent_id:str}/update",
        summary="Update an agent",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def update(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> JobView:
        """Ask an agent to update itself. It tries the new executable first, and goes back when that does not serve."""
        return view(updates.request(parts.database, parts.settings, principal, agent_id), None)

    @get(
        "/self/executable",
        summary="Fetch the calling host's next executable",
        tags=["agent protocol"],
        sync_to_thread=True,
        responses=documented(),
    )
    def executable(
        self,
        sha256: Annotated[str, Parameter(pattern=r"^[0-9a-f]{64}$", description="What the order names")],
        agent: AgentIdentity,
        parts: Parts,
        request: Request[Any, Any, Any],
    ) -> Stream:
        """Send the unstamped executable of the host's platform, from `Range: bytes=N-` on if that is asked for."""
        found = agents.get(parts.database.read, agent.agent_id)
        if found is None:
            message = "There is no such agent."
            raise NotFound(message)
        path = updates.executable(parts.settings, found.platform, sha256)
        size = path.stat().st_size
        start = _start(request.headers.get("range", ""), size)
        headers = {"accept-ranges": "bytes", "content-length": str(size - start)}
        if start:
            headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
        return Stream(
            _chunks(path, start),
            status_code=206 if start else 200,
            media_type="application/octet-stream",
            headers=headers,
        )


def _start(asked: str, size: int) -> int:
    """Return the first byte that is wanted; any other kind of range is passed over, as RFC 9110 § 14.2 lets us."""
    found = _RANGE.fullmatch(asked)
    start = int(found[1]) if found else 0
    return start if start < size else 0


def _chunks(path: Path, start: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
