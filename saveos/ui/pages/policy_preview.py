"""The host that the editor looks at: one of those online, for its folders, its counts and its time zone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from saveos.snapshots.fleet import Need
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit

SHOWN = 1000


class Preview:
    """Which host, and which there are. It outlives each drawing."""

    def __init__(self, visit: Visit, policy_id: str) -> None:
        """Look at none; hosts under `policy_id` come first."""
        self._visit, self._policy_id = visit, policy_id
        self.host: Host | None = None
        self._hosts: list[Host] = []
        self._drawn: object = None

    @property
    def zone(self) -> str:
        """The host's time zone, or an empty text."""
        return self.host.agent.time_zone if self.host else ""

    def draw(self, on_change: Callable[[], None]) -> None:
        """Draw the choice. `on_change` hears of another host."""
        self._on_change = on_change
        self._drawn = None
        self._place = components.element("div", "field preview")
        self.show()

    async def refresh(self) -> None:
        """Read who is online. A chosen host that leaves is chosen no more."""
        hosts = await self._visit.ask(self._online)
        self._hosts = sorted(hosts, key=lambda host: host.agent.policy_id != self._policy_id)[:SHOWN]
        chosen = self.host.agent.id if self.host else ""
        self.host = next((host for host in self._hosts if host.agent.id == chosen), None)
        if self.host is None and self._hosts:
            self.host = self._hosts[0]

    def show(self) -> None:
        """Show the choice; the browser hears of it only when it has changed."""
        chosen = self.host.agent.id if self.host else ""
        drawn = (chosen, tuple(host.agent.id for host in self._hosts))
        if drawn == self._drawn:
            return
        self._drawn = drawn
        say = self._visit.say
        self._place.clear()
        with self._place:
            if not self._hosts:
                components.text("p", say("policy.no_host"), "hint")
                return
            label = components.text("label", say("policy.preview"))
            options = "".join(_option(host, is_chosen=host.agent.id == chosen) for host in self._hosts)
            select = ui.html(options, sanitize=False, tag="select")  # one element, however many hosts there are
            select.props["id"] = label.props["for"] = select.html_id
            select.on("change", self._choose, js_handler="(event) => emit(event.target.value)")

    def _choose(self, event: Any) -> None:
        found = next((host for host in self._hosts if host.agent.id == event.args), None)
        if found is not None:
            self.host = found
            self._drawn = (found.agent.id, tuple(host.agent.id for host in self._hosts))  # the browser knows
            self._on_change()

    def _online(self, database: Database, principal: Principal) -> list[Host]:
        hosts = self._visit.board.hosts(database, principal)
        return [host for host in hosts if host.is_online and host.need is not Need.REVOKED]


def _option(host: Host, *, is_chosen: bool) -> str:
    selected = " selected" if is_chosen else ""
    value, name = escape(host.agent.id, quote=True), escape(host.agent.hostname)
    return f'<option value="{value}"{selected}>{name}</option>'
