"""/alerts: what needs a person, and what did; of all hosts or of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.alerts import raising
from saveos.alerts.model import AlertChoice
from saveos.ui import components, frame
from saveos.ui.alert_list import ADDRESS, AlertList
from saveos.ui.pager import Pager

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit

EVERY = ""


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page(ADDRESS)
    async def page(client: Client, agent: str = "", state: str = "") -> None:
        await frame.open_page(board, client, lambda visit: AlertsPage(visit, agent[:64], is_open=state == "open"))


class AlertsPage(frame.Page):
    """The page of one reader."""

    title, section = "alert.title", "overview"

    def __init__(self, visit: Visit, agent_id: str, *, is_open: bool) -> None:
        """Look for alerts of that host, or of all."""
        super().__init__(visit)
        self._agent_id, self._is_open = agent_id, is_open

    async def prepare(self) -> None:
        """Read the names of the hosts."""
        self._names = await self.visit.ask(self._look)

    def draw(self) -> None:
        """Draw what does not change."""
        say = self.visit.say
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("alert.title"))
        options = {EVERY: say("alert.filter_every"), **self._names}
        chosen = self._agent_id if self._agent_id in options else EVERY
        anew = self.visit.doing(self._look_anew)
        with components.element("div", "filters narrow", role="search"):
            self._host = components.Select(say("alert.filter_host"), options, chosen, anew)
            states = {"": say("alert.all"), "open": say("alert.only_open")}
            self._state = components.Select(say("jobs.state"), states, "open" if self._is_open else "", anew)
        self._list = AlertList(self.visit, self.refresh)
        self._none = components.text("p", say("alert.empty"), "muted hidden")
        self._pager = Pager(self.visit, self.refresh)

    async def refresh(self) -> None:
        """Show the alerts that are looked for."""
        choice = AlertChoice(agent_id=self._agent_id, is_open=self._is_open)
        page = await self.visit.ask(raising.look, choice, self._pager.offset, self._pager.size)
        self._pager.show(page.total)
        self._list.show(page.alerts)
        components.dress(self._none, "muted hidden" if page.total else "muted")

    def _look(self, database: Database, principal: Principal) -> dict[str, str]:
        """Return the names of the hosts by id, in their order."""
        hosts = self.visit.board.hosts(database, principal)
        named = sorted(((host.agent.hostname, host.agent.id) for host in hosts), key=lambda one: one[0].casefold())
        return {agent_id: name for name, agent_id in named}

    async def _look_anew(self) -> None:
        self._agent_id, self._is_open = self._host.value, self._state.value == "open"
        self._pager.offset = 0
        self.visit.stand_at(ADDRESS, agent=self._agent_id, state=self._state.value)
        await self.refresh()
