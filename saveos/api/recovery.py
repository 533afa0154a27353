"""/api/v1/recovery: a rescue system with nothing but the recovery code brings a host back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from litestar import Controller, get, post
from litestar.concurrency import sync_to_thread
from litestar.response import Stream

from saveos.api.problems import documented
from saveos.errors import PlatformUnavailable
from saveos.identity.sessions import Visitor
from saveos.installers import bundles
from saveos.installers.rescue import Place
from saveos.parts import Parts
from saveos.protocol import (
    Challenge,
    ChallengeRequest,
    Platform,
    RecoverableHosts,
    Recovery,
    RecoveryProof,
    RecoveryRequest,
    RecoveryRoot,
)
from saveos.repositories import sealing
from saveos.snapshots import recovery
from saveos.tenants import users

log = logging.getLogger("saveos.api")
CHUNK_BYTES = 1 << 18


class Recoveries(Controller):
    """Open to everybody; the proof is in the requests."""

    path = "/api/v1/recovery"
    tags = ("agent protocol",)

    @get("/root", summary="Read the root certificate", sync_to_thread=False, responses=documented())
    def root(self, parts: Parts) -> RecoveryRoot:
        """Read the root certificate, to compare its fingerprint with the one on paper before anything else is said."""
        return RecoveryRoot(root_certificate=parts.authority.root_pem)

    @post("/challenge", summary="Ask for a challenge", status_code=200, sync_to_thread=True, responses=documented())
    def challenge(self, data: ChallengeRequest, visitor: Visitor, parts: Parts) -> Challenge:
        """Ask for a secret that only the holder of the recovery code can read."""
        return recovery.challenge(parts.database, data.recovery_public_key, visitor.address)

    @post("/hosts", summary="List recoverable hosts", status_code=200, sync_to_thread=True, responses=documented())
    def hosts(self, data: RecoveryProof, parts: Parts) -> RecoverableHosts:
        """List the hosts that can come back on another machine."""
        return RecoverableHosts(items=recovery.hosts(parts.database, data))

    @post("/host", summary="Bring a host back", status_code=200, sync_to_thread=True, responses=documented(409))
    def host(self, data: RecoveryRequest, visitor: Visitor, parts: Parts) -> Recovery:
        """Take a host's place: its certificate anew, older ones taken back, and its sealed key."""
        life = timedelta(days=parts.settings.agent_certificate_days)
        found = recovery.take(parts.database, parts.authority, data, visitor.address, life=life)
        tenant_name, public_key = users.recovery_public_key(parts.database.read, found.agent.tenant_id)
        return Recovery(
            agent_id=found.agent.id,
            hostname=found.agent.hostname,
            tenant_name=tenant_name,
            certificate=found.certificate,
            agent_token=found.agent_token,
            recovery_public_key=sealing.as_text(public_key),
            sealed_key=found.sealed_key,
        )


@get(
    "/download/agent/{platform:str}/rescue",
    summary="Download a rescue system's executable",
    tags=["downloads"],
    responses=documented(409),
)
async def rescue_executable(platform: Platform, parts: Parts) -> Stream:
    """Fetch the agent's executable without anybody's provisioning: free software, and no secret in it.

    It is what every host has, before it is stamped. Compare the server's key, as the recipe says: curl --pinnedpubkey.
    """
    base = await sync_to_thread(parts.base, platform)
    if base is None:
        message = f"This appliance has no agent for {platform.value} ready: it is built when the first host is added."
        raise PlatformUnavailable(message)
    headers = {
        "content-disposition": f'attachment; filename="{bundles.file_name(platform)}"',
        "content-length": str(base.stat().st_size),
    }
    return _Rescue(base, headers, parts.rescues.take())


class _Rescue(Stream):
    """The response to one who has a place."""

    def __init__(self, base: Path, headers: dict[str, str], place: Place) -> None:
        super().__init__(_chunks(base), media_type="application/octet-stream", headers=headers)
        self._place = place

    def to_asgi_response(self, *given: Any, **named: Any) -> Any:
        """Return what sends it."""
        sending = super().to_asgi_response(*given, **named)

        async def send_in_time(scope: Any, receive: Any, send: Any) -> None:
            try:
                async with asyncio.timeout(self._place.seconds_left):
                    await sending(scope, receive, send)
            except TimeoutError:  # it lacks its end, and the connection closes
                log.warning("A rescue system's executable was fetched too slowly, and is cut off.")
            finally:
                self._place.leave()

        return send_in_time


async def _chunks(base: Path) -> AsyncIterator[bytes]:
    with base.open("rb") as file:
        while chunk := await sync_to_thread(file.read, CHUNK_BYTES):
            yield chunk
