"""The front page (/): am I safe, yes or no, and if not, what do I click? It is live."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos import clock
from saveos.agents import provisioning
from saveos.agents.model import Provisioning
from saveos.identity.principals import Permission
from saveos.snapshots.fleet import NEEDY, Host, Need
from saveos.ui import components, frame
from saveos.ui.pages import downloads
from saveos.ui.pages.overview_row import HostRow

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit

COLUMNS = (
    ("overview.host", ""),
    ("overview.protection", ""),
    ("overview.last_backup", ""),
    ("overview.size", "num"),
    ("overview.actions", "actions"),
)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    hosts: list[Host]
    pending: list[Provisioning]  # rights to enrol that nobody has used yet


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/")
    async def page(client: Client) -> None:
        visit = frame.open_page(board, client, "overview.title")
        await Overview(visit).open()


class Overview:
    """The page of one reader."""

    def __init__(self, visit: Visit) -> None:
        """Draw what does not change."""
        self._visit = visit
        self._rows: dict[str, HostRow] = {}
        self._pending: list[str] = []
        say = visit.say
        self._download = downloads.Dialog(visit)
        with frame.main():
            with components.element("div", "lead"):
                with components.element("div", aria_live="polite"):
                    self._sentence = components.text("h1", "", "verdict")
                    self._numbers = components.text("p", "", "muted num")
                self._add = components.button(say("overview.add"), self._download.open, "primary")
            self._empty = components.element("section", "hidden")
            with self._empty:
                self._draw_empty()
            self._table = components.element("div", "hidden")
            with self._table:
                self._draw_table()
            self._waiting = components.element("section", "hidden")

    async def open(self) -> None:
        """Fill the page, and keep it true."""
        await self._visit.doing(self._refresh)()
        self._visit.every(self._refresh)

    async def _refresh(self) -> None:
        self._show(await self._visit.ask(self._look))

    def _look(self, database: Database, principal: Principal) -> Look:
        now = clock.now()
        rights = provisioning.find(database, principal) if principal.may(Permission.PROVISION) else []
        pending = [right for right in rights if right.spent_at is None and right.expires_at > now]
        return Look(hosts=self._visit.board.hosts(database, principal), pending=pending)

    def _show(self, look: Look) -> None:
        is_empty = not look.hosts
        may_provision = self._visit.principal.may(Permission.PROVISION)
        self._sentence.show(verdict(self._visit, look.hosts))
        components.dress(self._sentence, f"verdict {_mood(look.hosts)}")
        self._numbers.show("" if is_empty else _numbers(self._visit, look.hosts))
        components.dress(self._add, "button primary" if may_provision and not is_empty else "hidden")
        components.dress(self._empty, "empty" if is_empty else "hidden")
        components.dress(self._table, "hidden" if is_empty else "table-frame")
        self._show_rows(look.hosts)
        self._show_pending(look.pending)

    def _show_rows(self, hosts: list[Host]) -> None:
        wanted = {host.agent.id: host for host in hosts}
        for gone in self._rows.keys() - wanted.keys():
            self._rows.pop(gone).row.delete()
        for index, host in enumerate(hosts):
            if host.agent.id not in self._rows:
                with self._body:
                    self._rows[host.agent.id] = HostRow(self._visit, host)
                self._rows[host.agent.id].row.move(self._body, index)
            self._rows[host.agent.id].show(host)

    def _draw_table(self) -> None:
        say = self._visit.say
        with components.element("table", "hosts", aria_label=say("overview.table")):
            with components.element("thead"), components.element("tr"):
                for key, classes in COLUMNS:
                    components.text("th", say(key), classes, scope="col")
            self._body = components.element("tbody")

    def _draw_empty(self) -> None:
        say = self._visit.say
        with components.element("ol", "steps"):
            for title, more in (
                ("overview.step_name", "overview.step_name_more"),
                ("overview.step_run", "overview.step_run_more"),
                ("overview.step_done", "overview.step_done_more"),
            ):
                with components.element("li"):
                    components.text("strong", say(title))
                    components.text("span", say(more), "muted")
        if self._visit.principal.may(Permission.PROVISION):
            components.button(say("overview.add_first"), self._download.open, "primary large")

    def _show_pending(self, pending: list[Provisioning]) -> None:
        shown = [f"{right.id}{right.downloaded_at}" for right in pending]
        if shown == self._pending:
            return
        self._pending = shown
        say, words = self._visit.say, self._visit.words
        self._waiting.clear()
        components.dress(self._waiting, "pending" if pending else "hidden")
        with self._waiting:
            components.text("h2", say("overview.pending"))
            with components.element("ul"):
                for right in pending:
                    with components.element("li"):
                        components.text("span", right.hostname, "strong")
                        state = "overview.fetched" if right.downloaded_at else "overview.not_fetched"
                        until = say("overview.until", when=words.exact(right.expires_at))
                        components.text("span", words.listing([say(state), until]), "muted")
                        label = say("overview.show")
                        opening = components.button(label, lambda right=right: self._download.resume(right), "small")
                        components.put(opening, "aria-label", f"{label}: {right.hostname}")


def verdict(visit: Visit, hosts: list[Host]) -> str:
    """Say in one sentence whether all is well."""
    counted = [host for host in hosts if host.need is not Need.REVOKED]
    needy = sum(host.need in NEEDY for host in counted)
    starting = sum(host.need is Need.STARTING for host in counted)
    if not counted:
        return visit.say("overview.nothing")
    if needy:
        return visit.words.count("overview.need_you", needy)
    if starting:
        return visit.words.count("overview.starting", starting)
    return visit.words.count("overview.all_protected", len(counted))


def _mood(hosts: list[Host]) -> str:
    needs = {host.need for host in hosts}
    if needs & NEEDY:
        return "bad"
    return "calm" if Need.STARTING in needs or not needs - {Need.REVOKED} else "good"


def _numbers(visit: Visit, hosts: list[Host]) -> str:
    words = visit.words
    live = [host for host in hosts if host.need is not Need.REVOKED]
    online = sum(host.is_online for host in live)
    original = sum(host.newest.original_bytes for host in hosts if host.newest)
    snapshots = sum(host.agent.snapshots_count for host in hosts)
    return words.listing(
        [
            visit.say("overview.online_of", online=words.number(online), all=words.number(len(live))),
            words.count("overview.snapshots", snapshots) if snapshots else "",
            visit.say("overview.protected_size", size=words.size(original)) if original else "",
        ]
    )
