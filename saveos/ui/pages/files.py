"""/snapshots/{id}/files: the files of a host as of a moment, folder by folder, and the way to get them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.snapshots import backup, catalogue, listing
from saveos.snapshots.catalogue_model import CatalogueState
from saveos.snapshots.model import Standing
from saveos.ui import basket, components, entry_cells, frame, names, search_box
from saveos.ui import looking as catalogues
from saveos.ui.downloading import Downloads
from saveos.ui.grid import Grid
from saveos.ui.host_paths import Crumb
from saveos.ui.looking import look
from saveos.ui.pages import restore
from saveos.ui.slider import Mark, Slider

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saveos.snapshots.catalogue_model import Entry
    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Board, Visit

MOMENTS_LIMIT = 500
PART = 200


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/snapshots/{snapshot_id}/files")
    async def page(client: Client, snapshot_id: str) -> None:
        await frame.open_page(board, client, lambda visit: FilesPage(visit, snapshot_id))


class FilesPage(frame.Page):
    """The page of one reader. Moment, folder and comparison stand in the address."""

    title, section, missing = "files.title", "snapshots", "snapshots.missing"

    def __init__(self, visit: Visit, snapshot_id: str) -> None:
        """Look at what the address says."""
        super().__init__(visit)
        asked = visit.client.request.query_params
        self._id, self._path = snapshot_id, asked.get("path", "").strip("/")
        self._is_comparing = asked.get("compare", "") == "1"
        self._entries: dict[str, Entry] = {}  # by the id of their row
        self._next: str | None = None
        self._moments: list[Snapshot] = []
        self._is_shown = False

    async def prepare(self) -> None:
        """Read which moments there are. Raises NotFound."""
        self._snapshot = await self.visit.ask(listing.get, self._id)
        newest_first = await self.visit.ask(backup.of_agent, self._snapshot.agent_id, limit=MOMENTS_LIMIT)
        self._moments = newest_first[::-1]

    def draw(self) -> None:
        """Draw the way there, the moments and the empty list."""
        visit, say = self.visit, self.visit.say
        self._restore, self._downloads = restore.Dialog(visit), Downloads(visit)
        self._back = components.link("", f"/snapshots/{self._id}", "back")
        with components.element("div", "lead"):
            components.text("h1", say("files.of", host=self._snapshot.hostname))
            search_box.draw(say, say("files.search"), agent_id=self._snapshot.agent_id)
        self._slider = Slider(say("files.moment"), say("files.older"), say("files.newer"), visit.doing(self._travel))
        with components.element("div", "files-head"):
            self._crumbs = components.element("nav", "crumbs", aria_label=say("browser.way"))
            with components.element("label", "choice"):
                box = components.element("input", type="checkbox")
                box.props["checked"] = self._is_comparing
                box.on("change", visit.doing(self._compare), [])
                components.text("span", say("files.compare"))
        self._basket = basket.Basket(visit, self._restore, self._downloads, self._show_ticks)
        self._state = components.text("p", "", "notice hidden", role="status")
        self._opening = catalogues.Opening(visit, self._show)
        self._grid = Grid(
            say("files.title"), entry_cells.columns(visit.words), kind="entries", on_act=visit.doing(self._act)
        )
        if visit.principal.may(Permission.RESTORE):
            self._grid.select_with(say("files.tick_all"), say("files.tick"), self._tick)
        self._more = components.button(say("files.more"), visit.doing(self._show_more), "hidden")
        self._is_shown = False

    async def refresh(self) -> None:
        """Show the folder once; again only while its catalogue is being made: what was archived does not change."""
        if not self._is_shown:
            await self._show()

    async def _show(self) -> None:
        unable = await self._opening.prepare(self._snapshot.agent_id)
        page = await look(self.visit, catalogue.folder, self._id, self._path, limit=PART, compare=self._older())
        self._is_shown = page.state is CatalogueState.INDEXED
        self._entries = _by_row(page.entries)
        self._next = page.next_after
        await self._show_moments()
        self._show_way()
        self._show_rows()
        said = unable or catalogues.state(self.visit.words, page.state, self._snapshot.hostname)
        is_sealed = page.state is CatalogueState.SEALED and not unable
        is_missing = page.state is CatalogueState.MISSING
        self._opening.offer([self._snapshot.agent_id], is_sealed=is_sealed, is_missing=is_missing)
        if not said and not page.entries and page.next_after is None:
            said = self.visit.say("browser.empty")
        if not said and self._snapshot.standing is Standing.LOST:
            said = self.visit.say("protection.lost_more")
        self._state.show(said)
        components.dress(self._state, "notice" if said else "notice hidden")

    async def _show_more(self) -> None:
        following, older = self._next or "", self._older()
        page = await look(
            self.visit, catalogue.folder, self._id, self._path, after=following, limit=PART, compare=older
        )
        self._entries |= _by_row(page.entries)
        self._next = page.next_after
        self._show_rows()

    async def _show_moments(self) -> None:
        moments = await look(self.visit, catalogue.timeline, self._snapshot.agent_id, self._path)
        changed, words = {moment.snapshot_id for moment in moments}, self.visit.words
        marks = [
            Mark(id=moment.id, label=words.exact(moment.started_at), changed=moment.id in changed)
            for moment in self._moments
        ]
        self._slider.show(marks, self._id)

    def _show_way(self) -> None:
        visit, go = self.visit, self.visit.doing(self._go)
        when = visit.words.exact(self._snapshot.started_at)
        visit.rename(f"{self._snapshot.hostname}, {when}")
        self._back.show(f"← {self._snapshot.hostname}, {when}")
        components.put(self._back, "href", f"/snapshots/{self._id}")
        visit.stand_at(f"/snapshots/{self._id}/files", path=self._path, compare="1" if self._is_comparing else "")
        way = [Crumb(self._snapshot.hostname, ""), *names.crumbs(self._path)]
        self._crumbs.clear()
        with self._crumbs, components.element("ol"):
            for number, crumb in enumerate(way):
                with components.element("li"):
                    button = components.button(crumb.name, lambda path=crumb.path: go(path), "quiet small")
                    if number == len(way) - 1:
                        button.props["aria-current"] = "page"

    def _show_rows(self) -> None:
        words, is_lost = self.visit.words, self._snapshot.standing is Standing.LOST
        may = self.visit.principal.may(Permission.RESTORE) and not is_lost
        rows = []
        for entry in self._entries.values():
            within = self._basket.holds(self._id, entry.path)
            rows.append(entry_cells.row(words, entry, may_restore=may, within=within))
        self._grid.show(rows)
        self._show_ticks()
        components.dress(self._more, "button" if self._next else "button hidden")

    def _show_ticks(self) -> None:
        self._grid.tick(self._basket.ticked(self._id, self._entries))

    def _tick(self) -> None:
        self._basket.tick(self._snapshot, self._entries, set(self._grid.selected))

    async def _go(self, path: str) -> None:
        self._path = path
        await self._show()

    async def _travel(self, snapshot_id: str) -> None:
        self._snapshot = await self.visit.ask(listing.get, snapshot_id)
        self._id = snapshot_id
        await self._show()

    async def _compare(self) -> None:
        self._is_comparing = not self._is_comparing
        await self._show()

    def _older(self) -> str:
        """Return the moment before this one, if it is to be compared with it."""
        position = next((number for number, moment in enumerate(self._moments) if moment.id == self._id), 0)
        return self._moments[position - 1].id if self._is_comparing and position else ""

    async def _act(self, row_id: str, act: str) -> None:
        entry = self._entries[row_id]
        if act == entry_cells.OPEN:
            await self._go(entry.path)
        elif act == entry_cells.DOWNLOAD:
            await self._downloads.fetch(self._snapshot, (entry,))
        elif act == entry_cells.VERSIONS:
            ui.navigate.to(names.versions_url(self._snapshot.agent_id, entry.path))


def _by_row(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry_cells.row_id(entry.path, entry.change): entry for entry in entries}
