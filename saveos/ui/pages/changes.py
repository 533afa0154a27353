"""/snapshots/{id}/changes: what is otherwise in a snapshot than in an older one of its host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.snapshots import backup, listing
from saveos.snapshots.catalogue_changes import changes
from saveos.snapshots.catalogue_model import CatalogueState, Change, ItemKind
from saveos.ui import components, entry_cells, frame, looking, names
from saveos.ui.grid import Cell, Column, Grid, Row
from saveos.ui.looking import look

if TYPE_CHECKING:
    from saveos.snapshots.catalogue_model import Changed
    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Board, Visit

MOMENTS_LIMIT = 500
PART = 200


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/snapshots/{snapshot_id}/changes")
    async def page(client: Client, snapshot_id: str) -> None:
        await frame.open_page(board, client, lambda visit: ChangesPage(visit, snapshot_id))


class ChangesPage(frame.Page):
    """The page of one reader. The older snapshot stands in the address; it is the one before if none is named."""

    title, section, missing = "changes.title", "snapshots", "snapshots.missing"

    def __init__(self, visit: Visit, snapshot_id: str) -> None:
        """Compare with what the address says."""
        super().__init__(visit)
        self._id, self._older = snapshot_id, visit.client.request.query_params.get("older", "")
        self._changes: list[Changed] = []
        self._next: str | None = ""
        self._is_shown = False

    async def prepare(self) -> None:
        """Read which moments there are. Raises NotFound."""
        self._snapshot = await self.visit.ask(listing.get, self._id)
        found = await self.visit.ask(backup.of_agent, self._snapshot.agent_id, limit=MOMENTS_LIMIT)
        self._others: dict[str, Snapshot] = {str(other.id): other for other in found if other.id < self._id}
        if self._older not in self._others:
            self._older = next(iter(self._others), "")

    def draw(self) -> None:
        """Draw what is compared, and the empty list."""
        visit, say, words = self.visit, self.visit.say, self.visit.words
        when = words.exact(self._snapshot.started_at)
        visit.rename(f"{self._snapshot.hostname}, {when}")
        components.link(f"← {self._snapshot.hostname}, {when}", f"/snapshots/{self._id}", "back")
        with components.element("div", "lead"):
            components.text("h1", say("changes.title"))
        if self._others:
            with components.element("div", "filters narrow"):
                moments = {other_id: words.exact(other.started_at) for other_id, other in self._others.items()}
                again = visit.doing(self._compare)
                self._choice = components.Select(say("changes.older"), moments, self._older, again)
        self._said = components.text("p", "", "muted found", role="status")
        self._opening = looking.Opening(visit, self._show)
        columns = [
            Column("path", say("changes.path"), "name-cell"),
            Column("change", say("entry.change")),
            Column("was", say("changes.was"), "num"),
            Column("now", say("changes.now"), "num"),
            Column("acts", say("overview.actions"), "actions"),
        ]
        self._grid = Grid(say("changes.title"), columns, kind="entries", on_act=visit.doing(self._act))
        self._more = components.button(say("files.more"), visit.doing(self._show_more), "hidden")
        self._is_shown = False

    async def refresh(self) -> None:
        """Show the changes once; again only while the catalogue is being made."""
        if not self._is_shown:
            await self._show()

    async def _compare(self) -> None:
        self._older = self._choice.value
        self.visit.stand_at(f"/snapshots/{self._id}/changes", older=self._older)
        await self._show()

    async def _show(self) -> None:
        self._changes, self._next = [], ""
        if not self._older:
            self._is_shown = True
            self._said.show(self.visit.say("changes.only", host=self._snapshot.hostname))
            return
        await self._show_more()

    async def _show_more(self) -> None:
        unable = await self._opening.prepare(self._snapshot.agent_id)
        page = await look(self.visit, changes, self._older, self._id, after=self._next or "", limit=PART)
        self._changes += page.changes
        self._next = page.next_after
        said = unable or looking.state(self.visit.words, page.state, self._snapshot.hostname)
        is_sealed = page.state is CatalogueState.SEALED and not unable
        is_missing = page.state is CatalogueState.MISSING
        self._opening.offer([self._snapshot.agent_id], is_sealed=is_sealed, is_missing=is_missing)
        self._is_shown = not said
        self._said.show(said or self._count())
        self._grid.show([self._row(changed) for changed in self._changes])
        components.dress(self._more, "button" if self._next else "button hidden")

    def _count(self) -> str:
        words, count = self.visit.words, len(self._changes)
        if not count:
            return words.say("changes.none")
        when = words.exact(self._others[self._older].started_at)
        return words.count("files.changes", count, when=when) + ("…" if self._next else "")

    def _row(self, changed: Changed) -> Row:
        words, name = self.visit.words, names.short(names.last(changed.path))
        is_file = changed.kind in entry_cells.FILES
        sizes = [
            words.size(count) if is_file and count is not None else ""
            for count in (changed.older_bytes, changed.newer_bytes)
        ]
        return Row(
            id=entry_cells.row_id(changed.path, changed.change),
            classes=f"entry is-{changed.kind.value}{' gone' if changed.change is Change.GONE else ''}",
            cells={
                "path": Cell(text=name, sub=f"/{names.short(names.folder_of(changed.path))}", act=entry_cells.OPEN),
                "change": entry_cells.change(words, changed.change),
                "was": Cell(text=sizes[0]),
                "now": Cell(text=sizes[1]),
                "acts": Cell(acts=entry_cells.acts(words, changed.kind, name, may_restore=False)),
            },
        )

    async def _act(self, row_id: str, act: str) -> None:
        changed = next(each for each in self._changes if entry_cells.row_id(each.path, each.change) == row_id)
        path = changed.path
        if act == entry_cells.VERSIONS:
            ui.navigate.to(names.versions_url(self._snapshot.agent_id, path))
            return
        is_gone = changed.change is Change.GONE
        folder = path if changed.kind is ItemKind.FOLDER else names.folder_of(path)
        ui.navigate.to(names.files_url(self._older if is_gone else self._id, folder))
