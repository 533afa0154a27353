"""/search: any file of any host, by a part of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.snapshots import catalogue, listing
from saveos.snapshots.catalogue_model import Entry, ItemKind
from saveos.snapshots.catalogue_search import search
from saveos.snapshots.names import Names
from saveos.snapshots.names import get as who_reads
from saveos.ui import basket, components, entry_cells, frame, hit_cells, looking, names
from saveos.ui.downloading import Downloads
from saveos.ui.grid import Grid
from saveos.ui.looking import look
from saveos.ui.pages import restore
from saveos.ui.pages.search_filters import Filters

if TYPE_CHECKING:
    from saveos.snapshots.catalogue_model import Hit, SearchPage
    from saveos.ui.frame import Board, Visit

PART = 100


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/search")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, FindPage)


class FindPage(frame.Page):
    """The page of one reader. What is looked for stands in the address."""

    title, section = "search.title", "search"

    def __init__(self, visit: Visit) -> None:
        """Look for what the address says."""
        super().__init__(visit)
        self._filters = Filters(visit, self._look_anew)
        self._hits: dict[str, Hit] = {}
        self._next = ""
        self._is_fresh = False  # what is asked for has been looked for

    async def prepare(self) -> None:
        """Read which host the address names."""
        await self._filters.prepare()

    def draw(self) -> None:
        """Draw the filters and the empty list."""
        visit, say = self.visit, self.visit.say
        self._restore, self._downloads = restore.Dialog(visit), Downloads(visit)
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("search.title"))
            components.text("p", say("search.more"), "muted")
        self._filters.draw()
        self._basket = basket.Basket(visit, self._restore, self._downloads, self._show_rows)
        self._said = components.text("p", "", "muted found", role="status")
        self._opening = looking.Opening(visit, self._look_anew)
        columns = hit_cells.columns(visit.words)
        self._grid = Grid(say("search.found"), columns, kind="entries", on_act=visit.doing(self._act))
        if visit.principal.may(Permission.RESTORE):
            self._grid.select_with(say("files.tick_all"), say("files.tick"), visit.doing(self._tick))
        self._on = components.button(say("files.more"), visit.doing(self._show_more), "hidden")
        self._is_fresh = False

    async def refresh(self) -> None:
        """Look once for what is asked, and again while names are being opened: what was archived does not change."""
        if not self._is_fresh:
            await self._look("")

    async def _look_anew(self) -> None:
        await self._look("")

    async def _look(self, after: str) -> None:
        query = self._filters.query()
        self._is_fresh = True
        if query is None:
            self._opening.offer((), is_sealed=False)
            self._hits, self._next = {}, ""
            self._said.show("")
        else:
            await self._opening.prepare_search(query)
            page = await look(self.visit, search, query, limit=PART, after=after)
            found = {hit_cells.key(hit): hit for hit in page.hits}
            self._hits = self._hits | found if after else found
            self._next = page.next_after or ""
            self._is_fresh = not page.waiting_hosts
            is_sealed = page.skipped_hosts > page.waiting_hosts and await self.visit.ask(who_reads) is Names.SEALED
            self._opening.offer(query.agent_ids, is_sealed=is_sealed)
            self._tell(page)
        self._show_rows()

    def _tell(self, page: SearchPage) -> None:
        words, count = self.visit.words, len(self._hits)
        if not count and not self._next:
            first = words.say("search.nothing")
        elif self._next:
            first = words.say("search.first", count=words.number(count))
        else:
            first = words.count("search.hits", count)
        skipped = words.count("search.skipped", page.skipped_hosts) if page.skipped_hosts else ""
        waiting = words.say("search.opening") if page.waiting_hosts else ""
        self._said.show(words.listing([first, waiting or skipped]))

    def _show_rows(self) -> None:
        words, may = self.visit.words, self.visit.principal.may(Permission.RESTORE)
        rows = []
        for hit in self._hits.values():
            is_free = may and not self._basket.holds(hit.newest_snapshot_id, hit.path)
            rows.append(hit_cells.row(words, hit, may_restore=may, may_tick=is_free))
        self._grid.show(rows)
        self._grid.tick(
            key for key, hit in self._hits.items() if self._basket.ticked(hit.newest_snapshot_id, [hit.path])
        )
        components.dress(self._on, "button" if self._next else "button hidden")

    async def _show_more(self) -> None:
        await self._look(self._next)

    async def _tick(self) -> None:
        """Take over what is ticked, each hit to the newest snapshot that holds it."""
        selected = set(self._grid.selected)
        by_snapshot: dict[str, dict[str, Entry]] = {}
        for hit in self._hits.values():
            by_snapshot.setdefault(hit.newest_snapshot_id, {})[hit.path] = entry_of(hit)
        for snapshot_id, entries in by_snapshot.items():
            wanted = {path for path in entries if f"{snapshot_id}/{path}" in selected}
            if wanted != self._basket.ticked(snapshot_id, entries):
                snapshot = await self.visit.ask(listing.get, snapshot_id)
                self._basket.tick(snapshot, entries, wanted)
        self._show_rows()

    async def _act(self, row: str, act: str) -> None:
        hit = self._hits[row]
        if act == hit_cells.FOLDER:
            folder = hit.path if hit.kind is ItemKind.FOLDER else names.folder_of(hit.path)
            ui.navigate.to(names.files_url(hit.newest_snapshot_id, folder))
        elif act == entry_cells.VERSIONS:
            ui.navigate.to(names.versions_url(hit.agent_id, hit.path))
        elif act == entry_cells.DOWNLOAD:
            snapshot = await self.visit.ask(listing.get, hit.newest_snapshot_id)
            entry = await look(self.visit, catalogue.entry, snapshot.id, hit.path)
            await self._downloads.fetch(snapshot, (entry,))


def entry_of(hit: Hit) -> Entry:
    """Return a hit as an entry of the newest snapshot that holds it."""
    return Entry(
        name=names.last(hit.path),
        path=hit.path,
        kind=hit.kind,
        size_bytes=hit.size_bytes,
        modified_at=hit.modified_at,
        mode=0,
    )
