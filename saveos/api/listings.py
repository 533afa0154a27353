"""/api/v1/agents/self/listings: hosts hand over what their snapshots hold."""

from __future__ import annotations

from litestar import Controller, get, post

from saveos.agents.model import AgentIdentity
from saveos.api.problems import documented
from saveos.parts import Parts
from saveos.protocol import ListingPart, ListingsWanted
from saveos.snapshots import receiving


class Listings(Controller):
    """What hosts hand over."""

    path = "/api/v1/agents/self/listings"
    tags = ("agent protocol",)

    @get("/", summary="Ask which listings are wanted", sync_to_thread=True, responses=documented())
    def wanted(self, agent: AgentIdentity, parts: Parts) -> ListingsWanted:
        """Say which of the host's snapshots the catalogue lacks."""
        return receiving.wanted(parts.database, agent)

    @post(
        "/",
        summary="Hand over part of a listing",
        status_code=204,
        sync_to_thread=True,
        responses=documented(409),
    )
    def take(self, data: ListingPart, agent: AgentIdentity, parts: Parts) -> None:
        """Keep a part of a snapshot's listing; after the last one it is brought into the catalogue."""
        receiving.take(parts.database, parts.settings, agent, data)
