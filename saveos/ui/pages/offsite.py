"""/offsite: where copies of repositories go, how the copy of each host stands, and what all of it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos import clock
from saveos.identity.principals import Permission
from saveos.offsite import costs, orders, stores
from saveos.offsite.costs import Costs
from saveos.offsite.model import Health, LockMode, OffsiteState, Store
from saveos.snapshots.fleet import Host, Need
from saveos.ui import components, frame, host_cells, offsite_words
from saveos.ui.facts import Facts
from saveos.ui.grid import Act, Cell, Column, Grid, Row, moment
from saveos.ui.offsite_store import StoreForm

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit
    from saveos.ui.words import Words

COPY, VERIFY = "copy", "verify"
TAKEN = "offsite-taken"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    hosts: list[Host]
    states: dict[str, OffsiteState]
    costs: Costs


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/offsite")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, OffsitePage)


class OffsitePage(frame.Page):
    """The page of one reader."""

    title, section = "offsite.title", "offsite"

    def __init__(self, visit: Visit) -> None:
        """Only who may change settings reads where copies go."""
        super().__init__(visit)
        self._may = visit.principal.may(Permission.SETTINGS)
        self._store: Store | None = None

    async def prepare(self) -> None:
        """Read the store."""
        self._store = await self.visit.ask(stores.own_store) if self._may else None

    def draw(self) -> None:
        """Draw what does not change while the store is the same."""
        say = self.visit.say
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("offsite.title"))
            components.text("p", say("offsite.lead"), "muted")
        self._taken = components.element("div", "notice bad hidden", role="alert")
        with self._taken:
            components.text("p", say("offsite.taken"))
            if self._may:
                self._draw_take_over()
        columns = [
            Column("host", say("overview.host"), "host-cell"),
            Column("state", say("jobs.state"), "message-cell"),
            Column("until", say("offsite.until"), "when-cell"),
            Column("verified", say("offsite.verified"), "when-cell"),
            Column("size", say("offsite.size"), "num"),
            Column("acts", say("overview.actions"), "actions"),
        ]
        with components.element("section", "part"):
            components.text("h2", say("offsite.hosts"))
            self._grid = Grid(say("offsite.hosts"), columns, kind="hosts", on_act=self.visit.doing(self._act))
            self._none = components.text("p", say("overview.nothing"), "muted hidden")
        with components.element("section", "part"):
            components.text("h2", say("offsite.costs"))
            components.text("p", say("offsite.costs_lead"), "muted")
            self._costs = Facts(self.visit)
        if self._may:
            self._place = components.element("section", "part")
            self._draw_store()

    def _draw_store(self) -> None:
        say = self.visit.say
        with self._place:
            components.text("h2", say("offsite.store"))
            if self._store is not None:
                components.text("p", offsite_words.where(self._store), "mono whole")
                lock = self._store.place.lock_mode
                is_open = lock is LockMode.OFF
                key = "offsite.open_to_key" if is_open else "offsite.locked_from_key"
                components.text("p", say(key), "notice warn" if is_open else "notice")
            else:
                components.text("p", say("offsite.no_store"), "notice")
            StoreForm(self.visit, self._renew).draw(self._store)

    def _draw_take_over(self) -> None:
        visit, say = self.visit, self.visit.say
        opener = components.button(say("offsite.take_over"), None, "danger")
        dialog, body = components.dialog(say("offsite.take_over"), say("action.close"))
        opener.on("click", dialog.open, [])

        async def go() -> None:
            settings = visit.parts.settings
            await visit.ask(lambda database, who: stores.take_over(database, settings, who))
            dialog.close()
            visit.notify(say("offsite.taken_over"))

        with body:
            components.text("p", say("offsite.take_over_more"))
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), dialog.close)
                components.button(say("offsite.take_over"), visit.doing(go), "primary danger")

    async def _renew(self) -> None:
        """Draw the store as it is kept now."""
        self._store = await self.visit.ask(stores.own_store)
        self._place.clear()
        self._draw_store()
        await self.refresh()

    async def refresh(self) -> None:
        """Show how the copies stand."""
        look = await self.visit.ask(self._look)
        live = [host for host in look.hosts if host.need is not Need.REVOKED]
        may = self.visit.principal.may(Permission.BACK_UP)
        states = look.states
        self._grid.show(
            [_row(self.visit.words, host, states[host.agent.id], may) for host in live if host.agent.id in states]
        )
        components.dress(self._none, "muted hidden" if live else "muted")
        is_taken = any(state.error_code == TAKEN for state in states.values())
        components.dress(self._taken, "notice bad" if is_taken else "notice bad hidden")
        self._show_costs(look.costs)

    def _show_costs(self, found: Costs) -> None:
        words = self.visit.words
        self._costs.show(
            {
                "offsite.stored": words.size(found.bytes),
                "offsite.sent_lately": words.size(found.sent_bytes),
                "offsite.month": offsite_words.money(words, found, found.month) or words.say("offsite.unknown_prices"),
                "offsite.fetch_all": offsite_words.money(words, found, found.fetch),
            }
        )

    def _look(self, database: Database, principal: Principal) -> Look:
        return Look(
            hosts=self.visit.board.hosts(database, principal),
            states={str(agent_id): state for agent_id, state in orders.of_tenant(database, principal).items()},
            costs=costs.of_tenant(database, principal),
        )

    async def _act(self, agent_id: str, act: str) -> None:
        if act == COPY:
            await self.visit.change(orders.request_copy, agent_id)
            self.visit.notify(self.visit.say("offsite.copy_asked"))
        elif act == VERIFY:
            await self.visit.change(orders.request_verify, agent_id)
            self.visit.notify(self.visit.say("offsite.verify_asked"))
        await self.refresh()


def _row(words: Words, host: Host, state: OffsiteState, may_ask: bool) -> Row:  # noqa: FBT001 - of the reader
    agent, health = host.agent, state.health(clock.now())
    acts: list[Act] = []
    if may_ask and state.is_asked and host.newest is not None:
        label = words.say("offsite.copy_now")
        acts.append(Act(id=COPY, label=label, aria=f"{label}: {agent.hostname}"))
        if state.generation:
            label = words.say("offsite.verify_now")
            acts.append(Act(id=VERIFY, label=label, aria=f"{label}: {agent.hostname}"))
    copying = words.say("offsite.copying") if state.is_copying else ""
    return Row(
        id=agent.id,
        cells={
            "host": Cell(
                text=agent.hostname, dot="online" if host.is_online else "offline", href=f"/agents/{agent.id}#offsite"
            ),
            "state": Cell(
                text=words.say(offsite_words.HEALTHS[health]),
                mood=offsite_words.MOODS[health],
                sub=words.listing([offsite_words.why(words, state), copying]),
            ),
            "until": moment(words, state.snapshot_at, host_cells.NOTHING),
            "verified": moment(
                words,
                state.verified_at,
                host_cells.NOTHING,
                sub=words.percent(state.verified_share) if state.verified_at else "",
            ),
            "size": Cell(text=words.size(state.bytes) if state.generation else host_cells.NOTHING),
            "acts": Cell(acts=tuple(acts) if health is not Health.NONE or state.is_asked else ()),
        },
    )
