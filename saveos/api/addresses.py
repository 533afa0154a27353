"""/api/v1/addresses: where hosts look for the appliance, and moving house."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, put
from msgspec import Meta

from saveos.agents import moving
from saveos.agents.moving import FURTHER_LIMIT, Addresses
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts

Address = Annotated[str, Meta(max_length=300)]


class AddressesChange(msgspec.Struct, frozen=True, kw_only=True):
    """All further addresses, "host:port", the best first."""

    further: Annotated[list[Address], Meta(max_length=FURTHER_LIMIT)]


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Where the appliance is by now: "host:port"."""

    address: Address


class ApplianceAddresses(Controller):
    """Where the appliance is, as hosts know it."""

    path = "/api/v1/addresses"
    tags = ("settings",)

    @get("/", summary="Show the addresses hosts know", sync_to_thread=True, responses=documented())
    def show(self, principal: Principal, parts: Parts) -> Addresses:
        """Show the ordered list, how many hosts hold it as it is, and which do not."""
        return moving.show(parts.database, principal)

    @put("/", summary="Change the further addresses", sync_to_thread=True, responses=documented(409))
    def change(self, data: AddressesChange, principal: Principal, parts: Parts) -> Addresses:
        """Let hosts know further addresses, such as a new machine's: they learn them with their next heartbeat."""
        return moving.change(parts.database, principal, data.further)

    @put("/moved", summary="Say the appliance has moved", sync_to_thread=True, responses=documented(409))
    def moved(self, data: Moved, principal: Principal, parts: Parts) -> Addresses:
        """Send hosts to another address first. No work is given out here from now on, to hosts or to the appliance."""
        return moving.mark_moved(parts.database, principal, data.address)

    @delete("/moved", summary="Serve hosts here", status_code=200, sync_to_thread=True, responses=documented())
    def serve_here(self, principal: Principal, parts: Parts) -> Addresses:
        """Give out work here again, also to hosts that follow a later state of this appliance."""
        return moving.serve_here(parts.database, principal)
