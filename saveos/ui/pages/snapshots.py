"""/snapshots: every moment that a person can restore from, of all hosts."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.policies import defaults
from saveos.snapshots import hold_release, holds, listing
from saveos.snapshots.model import SnapshotChoice, Standing
from saveos.ui import components, frame, hold_words, snapshot_cells
from saveos.ui.grid import Grid
from saveos.ui.pager import Pager
from saveos.ui.pages import restore

if TYPE_CHECKING:
    from saveos.snapshots.model import ListedSnapshot
    from saveos.ui.frame import Board, Visit

# As the column names them: warnings are told only of what is good otherwise.
STATES: dict[str, tuple[dict[str, Any], str]] = {
    "": ({}, "snapshots.every_state"),
    "good": ({"standing": Standing.GOOD, "has_warnings": False}, "snapshots.good"),
    "warned": ({"standing": Standing.GOOD, "has_warnings": True}, "snapshots.warned"),
    "suspect": ({"standing": Standing.SUSPECT}, hold_words.STANDINGS[Standing.SUSPECT]),
    "damaged": ({"standing": Standing.DAMAGED}, hold_words.STANDINGS[Standing.DAMAGED]),
    "lost": ({"standing": Standing.LOST}, hold_words.STANDINGS[Standing.LOST]),
    "held": ({"is_held": True}, "hold.held"),
}


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/snapshots")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, SnapshotsPage)


class SnapshotsPage(frame.Page):
    """The page of one reader. What is looked for stands in the address."""

    title, section = "snapshots.title", "snapshots"

    def __init__(self, visit: Visit) -> None:
        """Look for what the address says."""
        super().__init__(visit)
        asked = visit.client.request.query_params
        self._asked = {name: asked.get(name, "")[:253] for name in ("search", "policy", "state", "since", "until")}
        if self._asked["state"] not in STATES:
            self._asked["state"] = ""
        self._policies: dict[str, str] = {}
        self._shown: dict[str, ListedSnapshot] = {}

    async def prepare(self) -> None:
        """Read the names of the policies."""
        self._policies = {policy.id: policy.name for policy in await self.visit.ask(defaults.find)}

    def draw(self) -> None:
        """Draw the filters and the grid."""
        say, words = self.visit.say, self.visit.words
        self._restore = restore.Dialog(self.visit)
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("snapshots.title"))
            self._count = components.text("p", "", "muted num", aria_live="polite")
        with components.element("div", "filters", role="search"):
            self._draw_filters()
        columns = snapshot_cells.columns(words, with_host=True)
        self._grid = Grid(say("snapshots.title"), columns, kind="snapshots", on_act=self.visit.doing(self._act))
        self._none = components.text("p", say("snapshots.none"), "muted hidden")
        self._pager = Pager(self.visit, self.refresh)

    def _draw_filters(self) -> None:
        say, asked = self.visit.say, self._asked
        look = self.visit.doing(self._look_anew)
        self._search = components.Field(
            say("jobs.search"), value=asked["search"], type="search", autocomplete="off", maxlength=253
        )
        self._since = components.Field(say("snapshots.since"), value=asked["since"], type="date")
        self._until = components.Field(say("snapshots.until"), value=asked["until"], type="date")
        for field in (self._search, self._since, self._until):
            field.on_change(look)
        every = {"": say("agents.every_policy"), **self._policies}
        self._policy = components.Select(say("agents.policy"), every, asked["policy"], look)
        states = {key: say(sentence) for key, (_value, sentence) in STATES.items()}
        self._state = components.Select(say("snapshots.state"), states, asked["state"], look)

    async def refresh(self) -> None:
        """Show the snapshots that are looked for."""
        page = await self.visit.ask(listing.look, self._choice(), self._pager.offset, self._pager.size)
        words = self.visit.words
        principal = self.visit.principal
        may = {"may_restore": principal.may(Permission.RESTORE), "may_pin": principal.may(Permission.BACK_UP)}
        self._shown = {snapshot.id: snapshot for snapshot in page.snapshots}
        self._pager.show(page.total)
        self._grid.show([snapshot_cells.listed(words, snapshot, **may) for snapshot in page.snapshots])
        self._count.show(words.count("overview.snapshots", page.total))
        components.dress(self._none, "muted" if not page.total else "muted hidden")

    def _choice(self) -> SnapshotChoice:
        return SnapshotChoice(
            search=self._asked["search"].strip(),
            policy_id=self._asked["policy"],
            since=self._day(self._asked["since"]),
            until=self._day(self._asked["until"], after=1),
            **STATES[self._asked["state"]][0],
        )

    def _day(self, text: str, after: int = 0) -> datetime | None:
        """Return the beginning of a day, or of one `after` it, in the reader's zone; no date excludes nothing."""
        try:
            return self.visit.words.midnight(date.fromisoformat(text) + timedelta(days=after))
        except (ValueError, OverflowError):
            return None

    async def _look_anew(self) -> None:
        self._asked = {
            "search": self._search.value,
            "policy": self._policy.value,
            "state": self._state.value,
            "since": self._since.value,
            "until": self._until.value,
        }
        self._pager.offset = 0
        self.visit.stand_at("/snapshots", **self._asked)
        await self.refresh()

    async def _act(self, snapshot_id: str, act: str) -> None:
        snapshot = self._shown.get(snapshot_id)
        if act == snapshot_cells.RESTORE and snapshot is not None:
            self._restore.open(snapshot, snapshot.hostname)
        elif act == snapshot_cells.PIN:
            await self.visit.change(holds.pin, snapshot_id)
            await self.refresh()
        elif act == snapshot_cells.UNPIN:
            await self.visit.change(hold_release.unpin, snapshot_id)
            await self.refresh()
