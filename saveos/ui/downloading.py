"""How a page lets the browser fetch files of a snapshot: the address works once, for this reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.protocol import Chosen, ReadForm, ReadOrder
from saveos.snapshots import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.catalogue_model import Entry
    from saveos.ui.frame import Visit

ADDRESS = "/api/v1/downloads/"


async def fetch(visit: Visit, snapshot_id: str, entries: Sequence[Entry], form: ReadForm = ReadForm.FILE) -> None:
    """Let the browser fetch one file as itself, or what is chosen packed. Raises SaveOSError."""
    chosen = tuple(Chosen(path=entry.path, place=entry.place) for entry in entries)
    order = ReadOrder(archive="", chosen=chosen, form=form)

    def issue(database: Database, principal: Principal) -> str:
        del database
        reading.require_possible(order)
        return visit.parts.tickets.issue(principal, snapshot_id, order)

    ticket = await visit.ask(issue)
    with visit.client:
        ui.download.from_url(ADDRESS + ticket)
    visit.notify(visit.say("basket.preparing"))
