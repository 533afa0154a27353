"""/proofs: what proves, host by host, that backups can be restored; and a signed report of it for an auditor."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
from nicegui import Client, ui

from saveos import clock
from saveos.clock import to_text
from saveos.identity.principals import Permission
from saveos.proofs import drills, looking
from saveos.proofs.model import Check
from saveos.protocol import Kind
from saveos.snapshots.fleet import Host, Need
from saveos.ui import components, frame, host_cells
from saveos.ui.grid import Act, Cell, Column, Grid, Row, moment

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit
    from saveos.ui.words import Words

DRILL = "drill"
SPAN = timedelta(days=90)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    hosts: list[Host]
    checks: dict[str, Check]
    damages: dict[str, int]


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/proofs")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, ProofsPage)


class ProofsPage(frame.Page):
    """The page of one reader."""

    title, section = "proof.title", "proofs"

    def __init__(self, visit: Visit) -> None:
        """Offer a report about the host that the address names, else about all."""
        super().__init__(visit)
        self._host = visit.client.request.query_params.get("host", "")[:64]
        self._names: dict[str, str] = {}

    async def prepare(self) -> None:
        """Read the names of the hosts."""
        hosts = await self.visit.ask(self.visit.board.hosts)
        self._names = {host.agent.id: host.agent.hostname for host in hosts}

    def draw(self) -> None:
        """Draw what does not change."""
        say = self.visit.say
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("proof.title"))
            components.text("p", say("proof.more"), "muted")
        columns = [
            Column("host", say("overview.host"), "host-cell"),
            Column("when", say("overview.last_backup"), "when-cell"),
            Column("proven", say("proof.last"), "when-cell proven-cell"),
            Column("checked", say("proof.checked"), "when-cell"),
            Column("verified", say("proof.verified"), "when-cell"),
            Column("acts", say("overview.actions"), "actions"),
        ]
        with components.element("div", "proofs-list"):
            self._grid = Grid(say("proof.title"), columns, kind="hosts", on_act=self.visit.doing(self._act))
        self._none = components.text("p", say("overview.nothing"), "muted hidden")
        self._draw_report()

    def _draw_report(self) -> None:
        say, words = self.visit.say, self.visit.words
        today = words.local(clock.now()).date()
        options = {"": say("proof.all_hosts"), **self._names}
        chosen = self._host if self._host in options else ""
        with components.element("section", "part proofs"):
            components.text("h2", say("proof.report"))
            components.text("p", say("proof.report_more"), "muted")
            with components.element("div", "fields"):
                self._since = components.Field(say("proof.since"), value=(today - SPAN).isoformat(), type="date")
                self._until = components.Field(say("proof.until"), value=today.isoformat(), type="date")
                self._about = components.Select(say("proof.about"), options, chosen, self._address)
            with components.element("div", "row"):
                self._page = components.link(say("proof.report_page"), "", "button primary")
                self._json = components.link(say("proof.report_json"), "", "button")
            components.text("p", say("proof.verify_how"), "muted")
            components.text("code", "saveos verify-report FILE --root root.pem", "mono")
        for field in (self._since, self._until):
            field.on_change(self._address)
        self._address()

    async def refresh(self) -> None:
        """Show how things stand now."""
        look = await self.visit.ask(self._look)
        may = self.visit.principal.may(Permission.BACK_UP)
        live = [host for host in look.hosts if host.need is not Need.REVOKED]
        self._grid.show([_row(self.visit.words, host, look, may_ask=may) for host in live])
        components.dress(self._none, "muted hidden" if live else "muted")

    def _look(self, database: Database, principal: Principal) -> Look:
        return Look(
            hosts=self.visit.board.hosts(database, principal),
            checks=looking.checks(database, principal),
            damages=looking.damages(database, principal),
        )

    def _address(self) -> None:
        """Let the two links lead to the report that is asked for."""
        asked = {"language": self.visit.words.language, "agent_id": self._about.value}
        for name, field, more in (("since", self._since, 0), ("until", self._until, 1)):
            try:
                day = date.fromisoformat(field.value) + timedelta(days=more)
                asked[name] = to_text(self.visit.words.midnight(day))
            except (ValueError, OverflowError):
                continue  # half a date: as if none were typed
        words = urlencode({name: value for name, value in asked.items() if value})
        components.put(self._page, "href", f"/api/v1/reports/proofs.html?{words}")
        asked.pop("language")
        words = urlencode({name: value for name, value in asked.items() if value})
        components.put(self._json, "href", f"/api/v1/reports/proofs.json?{words}")

    async def _act(self, agent_id: str, act: str) -> None:
        if act == DRILL:
            await self.visit.change(drills.request, agent_id)
            self.visit.notify(self.visit.say("proof.drill_asked"))
        await self.refresh()


def _row(words: Words, host: Host, look: Look, *, may_ask: bool) -> Row:
    agent, newest = host.agent, host.newest
    check = look.checks.get(agent.id)
    damaged = look.damages.get(agent.id, 0)
    label = words.say("proof.drill_now")
    can_ask = may_ask and newest is not None and host.job is None and agent.knows(Kind.DRILL)
    checked = moment(words, check.checked_at if check else None, host_cells.NOTHING)
    if damaged:
        sub = words.count("proof.damaged", damaged)
        checked = msgspec.structs.replace(checked, mood="bad", sub=sub, sub_mood="bad")
    return Row(
        id=agent.id,
        cells={
            "host": Cell(
                text=agent.hostname, dot="online" if host.is_online else "offline", href=f"/agents/{agent.id}"
            ),
            "when": moment(words, newest.started_at if newest else None, words.say("overview.never")),
            "proven": host_cells.proven(words, host),
            "checked": checked,
            "verified": moment(words, check.verified_at if check else None, host_cells.NOTHING),
            "acts": Cell(acts=(Act(id=DRILL, label=label, aria=f"{label}: {agent.hostname}"),) if can_ask else ()),
        },
    )
