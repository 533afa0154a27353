"""/search: any file of any host, by a part of its name."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.protocol import EntryKind
from saveos.snapshots import catalogue, listing
from saveos.snapshots.catalogue import Entry, SearchQuery
from saveos.ui import basket, components, downloading, entry_cells, frame, hit_cells, names, sizes
from saveos.ui.grid import Grid
from saveos.ui.pages import restore

if TYPE_CHECKING:
    from saveos.snapshots.catalogue import Hit, SearchPage
    from saveos.ui.components import Field
    from saveos.ui.frame import Board, Visit

PART = 100
HELD = {"": "search.any_time", "latest": "search.only_latest", "deleted": "search.only_deleted"}
KINDS = {"": "search.any_kind", "file": "entry.file", "folder": "entry.folder"}
FIELDS = ("q", "agent", "kind", "min", "max", "since", "until", "held")


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
        asked = visit.client.request.query_params
        self._asked = {name: asked.get(name, "")[:255] for name in FIELDS}
        self._hits: dict[str, Hit] = {}
        self._next = ""
        self._is_fresh = False  # what is asked for has been looked for

    def draw(self) -> None:
        """Draw the field, the filters and the empty list."""
        visit, say = self.visit, self.visit.say
        self._restore = restore.Dialog(visit)
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("search.title"))
            components.text("p", say("search.more"), "muted")
        with components.element("div", "filters", role="search"):
            self._draw_filters()
        self._basket = basket.Basket(visit, self._restore, self._show_rows)
        self._said = components.text("p", "", "muted", role="status")
        columns = hit_cells.columns(visit.words)
        self._grid = Grid(say("search.found"), columns, kind="entries", on_act=visit.doing(self._act))
        if visit.principal.may(Permission.RESTORE):
            self._grid.select_with(say("files.tick_all"), say("browser.tick"), self._tick)
        self._on = components.button(say("files.more"), visit.doing(self._show_more), "hidden")
        self._is_fresh = False

    def _draw_filters(self) -> None:
        say, asked, look = self.visit.say, self._asked, self.visit.doing(self._look_anew)
        self._text = components.Field(
            say("search.text"), value=asked["q"], type="search", autocomplete="off", maxlength=255, autofocus=True
        )
        self._kind = components.Select(say("search.kind"), {key: say(kind) for key, kind in KINDS.items()}, asked["kind"], look)
        self._held = components.Select(say("search.held"), {key: say(held) for key, held in HELD.items()}, asked["held"], look)
        self._least = components.Field(say("search.least"), value=asked["min"], placeholder="10 MB", size=8)
        self._most = components.Field(say("search.most"), value=asked["max"], placeholder="1 GB", size=8)
        self._since = components.Field(say("search.since"), value=asked["since"], type="date")
        self._until = components.Field(say("search.until"), value=asked["until"], type="date")
        for field in (self._text, self._least, self._most, self._since, self._until):
            field.on_commit(look)
        components.button(say("search.go"), look, "primary")
        self._only = components.button("", self.visit.doing(self._all_hosts), "small hidden")

    async def refresh(self) -> None:
        """Look once for what is asked; what was archived does not change under the reader."""
        if self._is_fresh:
            return
        self._is_fresh = True
        await self._look("")

    async def _look(self, after: str) -> None:
        query = self._query()
        if query is None:
            self._hits, self._next = {}, ""
            self._said.show("")
        else:
            page = await self.visit.ask(catalogue.search, query, limit=PART, after=after)
            found = {hit_cells.key(hit): hit for hit in page.hits}
            self._hits = self._hits | found if after else found
            self._next = page.next_after or ""
            self._tell(page)
        self._show_rows()

    def _tell(self, page: SearchPage) -> None:
        words = self.visit.words
        parts = [words.count("search.hits", len(self._hits)) if not self._next else words.say("search.first", count=words.number(len(self._hits)))]
        parts.append(words.count("search.hosts", page.searched_hosts))
        if page.skipped_hosts:
            parts.append(words.count("search.skipped", page.skipped_hosts))
        self._said.show(words.listing(parts))

    def _query(self) -> SearchQuery | None:
        """Return what is looked for; None when nothing is, or a field says what cannot be."""
        asked = self._asked
        try:
            least, most = self._bytes(self._least, asked["min"]), self._bytes(self._most, asked["max"])
        except ValueError:
            return None
        text, until = asked["q"].strip(), self._day(asked["until"])
        if not (text or least or most or asked["since"] or asked["until"]):
            return None
        return SearchQuery(
            text=text,
            agent_ids=(asked["agent"],) if asked["agent"] else (),
            kinds=(EntryKind(asked["kind"]),) if asked["kind"] in ("file", "folder") else (),
            min_bytes=least,
            max_bytes=most,
            modified_since=self._day(asked["since"]),
            modified_until=until + timedelta(days=1) if until else None,
            only_latest=asked["held"] == "latest",
            only_deleted=asked["held"] == "deleted",
        )

    def _bytes(self, field: Field, text: str) -> int | None:
        try:
            return sizes.parse(text)
        except ValueError:
            field.error.show(self.visit.say("search.no_size"))
            raise

    def _day(self, text: str) -> datetime | None:
        try:
            return self.visit.words.midnight(date.fromisoformat(text))
        except ValueError:
            return None

    def _show_rows(self) -> None:
        words, may = self.visit.words, self.visit.principal.may(Permission.RESTORE)
        rows = []
        for hit in self._hits.values():
            is_free = may and not self._basket.holds(hit.newest_snapshot_id, hit.path)
            rows.append(hit_cells.row(words, hit, may_restore=may, may_tick=is_free))
        self._grid.show(rows)
        self._grid.tick(key for key, hit in self._hits.items() if self._basket.ticked(hit.newest_snapshot_id, [hit.path]))
        components.dress(self._on, "button" if self._next else "button hidden")

    async def _show_more(self) -> None:
        await self._look(self._next)

    def _tick(self) -> None:
        ...

    async def _look_anew(self) -> None:
        fields = {"q": self._text, "min": self._least, "max": self._most, "since": self._since, "until": self._until}
        self._asked |= {name: field.value for name, field in fields.items()}
        self._asked |= {"kind": self._kind.value, "held": self._held.value}
        self.visit.stand_at("/search", **self._asked)
        await self._look("")

    async def _all_hosts(self) -> None:
        self._asked["agent"] = ""
        await self._look_anew()

    async def _act(self, row: str, act: str) -> None:
        hit = self._hits[row]
        if act == hit_cells.FOLDER:
            ui.navigate.to(names.files_url(hit.newest_snapshot_id, hit.path if hit.kind is EntryKind.FOLDER else names.folder_of(hit.path)))
        elif act == entry_cells.DOWNLOAD:
            ui.download.from_url(await downloading.offer(self.visit, hit.newest_snapshot_id, (entry_of(hit),)))
        elif act == entry_cells.VERSIONS:
            ui.navigate.to(names.versions_url(hit.agent_id, hit.path))
