"""/health, for anybody; /metrics, for Prometheus with an API token."""

from __future__ import annotations

from typing import Literal

import msgspec
from litestar import Response, get
from litestar.enums import MediaType

from saveos import __version__, metrics
from saveos.api.problems import documented
from saveos.identity.principals import Permission, Principal
from saveos.parts import Parts
from saveos.tenants import users


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The appliance answers and can read its database."""

    status: Literal["ok"]
    version: str
    is_set_up: bool


@get("/health", summary="Check the appliance", sync_to_thread=True, tags=["health"], responses=documented())
def health(parts: Parts) -> Health:
    """Tell that the appliance lives."""
    return Health(status="ok", version=__version__, is_set_up=users.is_set_up(parts.database))


@get(
    "/metrics",
    summary="Read the metrics",
    sync_to_thread=True,
    tags=["health"],
    media_type=MediaType.TEXT,
    responses=documented(),
)
def prometheus(principal: Principal, parts: Parts) -> Response[bytes]:
    """Return the tenant's numbers in Prometheus' text format."""
    principal.require(Permission.READ)
    sessions_count = len(parts.sessions.listing()) if parts.sessions else 0
    counts = metrics.Counts(waiting=parts.waiting.count, sessions=sessions_count, heartbeats=parts.pulse.count)
    page = metrics.render(parts.settings, parts.database, principal, counts)
    return Response(page, media_type=metrics.CONTENT_TYPE)
