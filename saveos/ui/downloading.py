"""How a page lets the browser fetch files of a snapshot: the address works once, for this reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.errors import OfflineAndSealed
from saveos.identity.principals import Permission
from saveos.protocol import Chosen, ReadForm, ReadOrder
from saveos.snapshots import reading, reading_copy
from saveos.ui import unlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.catalogue_model import Entry
    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Visit

ADDRESS = "/api/v1/downloads/"


class Downloads:
    """What a page fetches. Where nobody can read, who may is asked for the recovery code, and it goes on from there."""

    def __init__(self, visit: Visit) -> None:
        """Draw the dialog that unlocks, closed."""
        self._visit = visit
        self._waiting: tuple[Snapshot, Sequence[Entry], ReadForm] | None = None
        self._unlock = unlock.Dialog(visit, self._go_on)

    async def fetch(self, snapshot: Snapshot, entries: Sequence[Entry], form: ReadForm = ReadForm.FILE) -> None:
        """Let the browser fetch one file as itself, or what is chosen packed. Raises SaveOSError."""
        visit = self._visit
        try:
            ticket = await visit.ask(self._issue, snapshot, entries, form)
        except OfflineAndSealed:
            if not visit.principal.may(Permission.KEYS):
                raise
            self._waiting = (snapshot, entries, form)
            self._unlock.open((snapshot.agent_id,))
            return
        with visit.client:
            ui.download.from_url(ADDRESS + ticket)
        visit.notify(visit.say("basket.preparing"))

    async def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await self.fetch(*waiting)

    def _issue(
        self, database: Database, principal: Principal, snapshot: Snapshot, entries: Sequence[Entry], form: ReadForm
    ) -> str:
        del database
        parts = self._visit.parts
        chosen = tuple(Chosen(path=entry.path, place=entry.place) for entry in entries)
        order = ReadOrder(archive="", chosen=chosen, form=form)
        reading.require_possible(order)
        reading_copy.require_source(parts.means, principal, snapshot.id)
        return parts.tickets.issue(principal, snapshot.id, order)
