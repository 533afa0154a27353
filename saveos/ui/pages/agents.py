"""/agents: every host; search, filter, sort, and do one thing to many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos.agents import enrolment
from saveos.identity.principals import Permission
from saveos.installers import updates
from saveos.installers.updates import has_update
from saveos.policies import defaults
from saveos.snapshots import backup, fleet
from saveos.snapshots.fleet import Choice
from saveos.ui import bulk_update, components, frame, host_acts, host_cells
from saveos.ui.grid import Column, Grid
from saveos.ui.pager import Pager

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Board, Visit

STANDINGS = {
    "": "agents.all",
    "needy": "agents.needy",
    "working": "agents.working",
    "online": "agents.online",
    "offline": "agents.offline",
    "revoked": "agents.revoked",
}


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/agents")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, AgentsPage)


class AgentsPage(frame.Page):
    """The page of one reader. What is looked for stands in the address, so that it can be kept and shared."""

    title, section = "agents.title", "agents"

    def __init__(self, visit: Visit) -> None:
        """Look for what the address says."""
        super().__init__(visit)
        asked = visit.client.request.query_params
        standing = asked.get("standing", "")
        self._choice = Choice(search=asked.get("search", "")[:253], standing=standing if standing in STANDINGS else "")
        self._sort, self._is_descending = "", False
        self._policies: dict[str, str] = {}
        self._asked_policy = asked.get("policy", "")
        self._updatable: set[str] = set()

    async def prepare(self) -> None:
        """Read the names of the policies."""
        found = await self.visit.ask(defaults.find)
        self._policies = {policy.id: policy.name for policy in found}
        if self._asked_policy in self._policies:
            self._choice = msgspec.structs.replace(self._choice, policy_id=self._asked_policy)

    def draw(self) -> None:
        """Draw the search, the grid and what can be done to those selected."""
        say, principal = self.visit.say, self.visit.principal
        with components.element("div", "lead"):
            with components.element("div"):
                components.text("h1", say("agents.title"))
                self._count = components.text("p", "", "muted num", aria_live="polite")
            if principal.may(Permission.PROVISION):
                components.link(say("overview.add"), "/downloads", "button primary")
        with components.element("div", "filters", role="search"):
            look = self.visit.doing(self._look_anew)
            self._search = components.Field(
                say("agents.search"), value=self._choice.search, type="search", autocomplete="off", maxlength=253
            )
            self._search.on_change(look)
            standings = {key: say(sentence) for key, sentence in STANDINGS.items()}
            self._standing = components.Select(say("agents.standing"), standings, self._choice.standing, look)
            every = {"": say("agents.every_policy"), **self._policies}
            self._policy = components.Select(say("agents.policy"), every, self._choice.policy_id, look)
        self._draw_bulk()
        acted = self.visit.doing(self._act)
        self._grid = Grid(say("agents.title"), self._columns(), kind="hosts", on_act=acted, on_sort=self._sort_by)
        if principal.may(Permission.BACK_UP) or principal.may(Permission.REVOKE):
            self._grid.select_with(say("agents.select_all"), say("agents.select"), self._show_bulk)
        self._none = components.text("p", say("agents.none"), "muted hidden")
        self._pager = Pager(self.visit, self.refresh)
        self._confirm, self._question = components.dialog(say("agents.revoke_all"), say("action.close"))

    def _columns(self) -> list[Column]:
        say = self.visit.say
        return [
            Column("host", say("overview.host"), "host-cell", "host"),
            Column("state", say("overview.protection"), "state-cell", "state"),
            Column("when", say("overview.last_backup"), "when-cell", "when"),
            Column("proven", say("proof.last"), "when-cell proven-cell", "proven"),
            Column("size", say("overview.size"), "num size-cell", "size"),
            Column("acts", say("overview.actions"), "actions"),
        ]

    def _draw_bulk(self) -> None:
        say, principal = self.visit.say, self.visit.principal
        self._bulk = components.element("div", "bulk hidden", role="group", aria_label=say("agents.bulk"))
        with self._bulk:
            self._selected = components.text("span", "", "strong num", aria_live="polite")
            if principal.may(Permission.BACK_UP):
                components.button(say("action.back_up_now"), self.visit.doing(self._back_up_selected), "small")
            if principal.may(Permission.POLICIES) and self._policies:
                options = {"": say("agents.change_policy"), **self._policies}
                self._new_policy = components.Select(
                    say("agents.change_policy"),
                    options,
                    "",
                    self.visit.doing(self._change_policy),
                    is_label_hidden=True,
                )
            self._update = bulk_update.Button(self.visit, self._end_bulk)
            if principal.may(Permission.REVOKE):
                components.button(say("agent.revoke"), self.visit.doing(self._ask_revoke), "small danger")

    async def refresh(self) -> None:
        """Show the hosts that are looked for."""
        hosts = await self.visit.ask(self._look)
        words = self.visit.words
        self._pager.show(len(hosts))
        shown = hosts[self._pager.offset : self._pager.offset + self._pager.size]
        may = self.visit.principal.may(Permission.BACK_UP)
        rows = [
            host_cells.row(words, host, may_back_up=may, has_update=host.agent.id in self._updatable) for host in shown
        ]
        self._grid.show(rows, sort=self._sort, is_descending=self._is_descending)
        self._count.show(words.count("agents.count", len(hosts)))
        components.dress(self._none, "muted" if not hosts else "muted hidden")
        self._show_bulk()

    def _look(self, database: Database, principal: Principal) -> list[Host]:
        hosts = self.visit.board.hosts(database, principal)
        offered = updates.offers(self.visit.parts.settings)
        chosen = fleet.chosen(hosts, self._choice, sort=self._sort, is_descending=self._is_descending)
        self._updatable = {host.agent.id for host in chosen if has_update(host.agent, offered)}
        return chosen

    async def _look_anew(self) -> None:
        choice = Choice(search=self._search.value.strip(), standing=self._standing.value, policy_id=self._policy.value)
        if choice != self._choice:
            self._choice, self._pager.offset = choice, 0
            self._grid.unselect()
            self.visit.stand_at("/agents", search=choice.search, standing=choice.standing, policy=choice.policy_id)
        await self.refresh()

    async def _sort_by(self, key: str) -> None:
        self._is_descending = not self._is_descending if key == self._sort else key in ("when", "size")
        self._sort = key
        await self.visit.doing(self.refresh)()

    async def _act(self, agent_id: str, pressed: str) -> None:
        await host_acts.act(self.visit, agent_id, pressed)
        await self.refresh()

    def _show_bulk(self) -> None:
        count = len(self._grid.selected)
        components.dress(self._bulk, "bulk" if count else "bulk hidden")
        self._selected.show(self.visit.words.count("agents.selected", count))
        self._update.show([agent_id for agent_id in self._grid.selected if agent_id in self._updatable], count)

    async def _end_bulk(self) -> None:
        self._grid.unselect()
        await self.refresh()

    async def _back_up_selected(self) -> None:
        asked = await self.visit.change(backup.request_many, self._grid.selected)
        self.visit.notify(self.visit.words.count("agents.backups_asked", asked))
        await self._end_bulk()

    async def _change_policy(self) -> None:
        policy_id = self._new_policy.value
        if policy_id:
            changed = await self.visit.change(backup.assign_policy, self._grid.selected, policy_id)
            name = self._policies[policy_id]
            self.visit.notify(self.visit.words.count("agents.policy_changed", changed, name=name))
            await self._end_bulk()

    async def _ask_revoke(self) -> None:
        say, ids = self.visit.say, list(self._grid.selected)
        names = [row.name for row in self._grid.rows if row.id in ids]
        self._question.clear()
        with self._question:
            components.text("p", say("agent.revoke_more"))
            components.text("p", ", ".join(names), "strong")
            word = str(len(ids))
            typed = components.Field(say("agents.revoke_type", count=word), autocomplete="off", inputmode="numeric")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._confirm.close)
                go = components.button(say("agent.revoke"), None, "primary danger", disabled=True)

        async def revoke() -> None:
            if typed.value.strip() == word:
                for agent_id in ids:
                    await self.visit.change(enrolment.revoke, agent_id)
                self._confirm.close()
                await self._end_bulk()

        typed.on_change(lambda: components.put(go, "disabled", None if typed.value.strip() == word else True))
        go.on("click", self.visit.doing(revoke), [])
        self._confirm.open()
