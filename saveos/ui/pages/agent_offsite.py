"""The copy of a host's repository in a store: on the host's page, with the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.identity.principals import Permission
from saveos.offsite import orders
from saveos.offsite.model import Generation, Health, OffsiteState
from saveos.proofs import drills
from saveos.protocol import Kind
from saveos.snapshots import rehydrating
from saveos.ui import components, offsite_words
from saveos.ui.facts import Facts
from saveos.ui.grid import Act, Cell, Column, Grid, Row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit

FETCH = "fetch"
SHOWN = 10


class HostOffsite(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of a host's copy."""

    state: OffsiteState
    generations: list[Generation]


def look(database: Database, principal: Principal, agent_id: str) -> HostOffsite:
    """Read it."""
    return HostOffsite(
        state=orders.of_host(database, principal, agent_id),
        generations=orders.generations(database, principal, agent_id),
    )


class OffsitePart:
    """The section."""

    def __init__(self, visit: Visit, agent_id: str, name: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it empty."""
        self._visit, self._id, self._name, self._on_change = visit, agent_id, name, on_change
        self._number = 0
        say = visit.say
        self._draw_dialog()
        with components.element("section", "part", id="offsite"):
            components.text("h2", say("offsite.copy"))
            with components.element("div", "standing", aria_live="polite"):
                self._state = components.text("p", "", "state")
                self._why = components.text("p", "", "sub why")
            self._facts = Facts(visit)
            with components.element("div", "row"):
                self._copy = components.button(say("offsite.copy_now"), visit.doing(self._ask_copy), "hidden")
                self._verify = components.button(say("offsite.verify_now"), visit.doing(self._ask_verify), "hidden")
                self._drill = components.button(say("offsite.drill_now"), visit.doing(self._ask_drill), "hidden")
                components.link(say("offsite.title"), "/offsite", "button")
            self._title = components.text("h3", say("offsite.generations"), "hidden")
            columns = [
                Column("when", say("offsite.made"), "when-cell"),
                Column("snapshots", say("snapshot.title"), "num"),
                Column("size", say("offsite.size"), "num"),
                Column("locked", say("offsite.locked_until"), "when-cell"),
                Column("acts", say("overview.actions"), "actions"),
            ]
            self._grid = Grid(say("offsite.generations"), columns, kind="checkpoints", on_act=visit.doing(self._act))

    def _draw_dialog(self) -> None:
        say, name = self._visit.say, self._name
        self._dialog, body = components.dialog(say("offsite.fetch_title", host=name), say("action.close"))
        with body:
            self._about = components.text("p", "")
            components.text("p", say("offsite.fetch_more"))
            self._typed = components.Field(say("agent.revoke_type", host=name), autocomplete="off", spellcheck="false")
            self._typed.on_change(self._allow)
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                go = self._visit.doing(self._fetch)
                self._go = components.button(say("offsite.fetch"), go, "primary danger", disabled=True)

    def show(self, found: HostOffsite, host: Host) -> None:
        """Show how it stands now."""
        words, say, state = self._visit.words, self._visit.say, found.state
        health = state.health(clock.now())
        copying = say("offsite.copying") if state.is_copying else ""
        self._state.show(say(offsite_words.HEALTHS[health]))
        components.dress(self._state, f"state {offsite_words.MOODS[health]}")
        self._why.show(words.listing([offsite_words.why(words, state), copying]))
        verified = words.exact(state.verified_at) if state.verified_at else ""
        self._facts.show(
            {
                "offsite.until": words.exact(state.snapshot_at) if state.snapshot_at else "",
                "offsite.verified": words.listing([verified, words.percent(state.verified_share)]) if verified else "",
                "offsite.size": words.size(state.bytes) if state.generation else "",
            }
        )
        may = self._visit.principal.may(Permission.BACK_UP) and state.is_asked
        components.dress(self._copy, "button" if may and not state.is_copying else "hidden")
        components.dress(self._verify, "button" if may and health is not Health.NONE and state.generation else "hidden")
        can_drill = may and state.snapshot_at is not None and host.agent.knows(Kind.OFFSITE_DRILL)
        components.dress(self._drill, "button" if can_drill else "hidden")
        can_fetch = self._visit.principal.may(Permission.ROLL_BACK)
        rows = [self._row(one, can_fetch=can_fetch) for one in found.generations[:SHOWN]]
        self._grid.show(rows)
        components.dress(self._title, "" if rows else "hidden")

    def _row(self, generation: Generation, *, can_fetch: bool) -> Row:
        words = self._visit.words
        when, label = words.exact(generation.made_at), words.say("offsite.fetch")
        act = Act(id=FETCH, label=label, aria=f"{label}: {when}")
        return Row(
            id=str(generation.number),
            cells={
                "when": Cell(text=when, sub=words.ago(generation.made_at)),
                "snapshots": Cell(text=words.number(generation.snapshots_count)),
                "size": Cell(text=words.size(generation.bytes)),
                "locked": Cell(text=words.exact(generation.locked_until) if generation.locked_until else ""),
                "acts": Cell(acts=(act,) if can_fetch else ()),
            },
        )

    async def _act(self, number: str, act: str) -> None:
        if act != FETCH or not number.isdigit():
            return
        found = await self._visit.ask(look, self._id)
        generation = next((one for one in found.generations if one.number == int(number)), None)
        if generation is None:
            return
        self._number = generation.number
        words = self._visit.words
        self._about.show(
            words.say("offsite.fetch_about", when=words.exact(generation.made_at), size=words.size(generation.bytes))
        )
        self._typed.put("")
        self._allow()
        self._dialog.open()

    @property
    def _is_confirmed(self) -> bool:
        return self._typed.value.strip() == self._name

    def _allow(self) -> None:
        components.put(self._go, "disabled", None if self._is_confirmed else True)

    async def _fetch(self) -> None:
        if not self._is_confirmed:
            return
        endings = self._visit.parts.endings
        await self._visit.change(rehydrating.request, self._id, self._number, self._typed.value, endings)
        self._dialog.close()
        self._visit.notify(self._visit.say("offsite.fetch_asked"))
        await self._on_change()

    async def _ask_copy(self) -> None:
        await self._visit.change(orders.request_copy, self._id)
        await self._on_change()

    async def _ask_drill(self) -> None:
        await self._visit.change(drills.request, self._id, is_of_copy=True)
        self._visit.notify(self._visit.say("offsite.drill_asked"))
        await self._on_change()

    async def _ask_verify(self) -> None:
        await self._visit.change(orders.request_verify, self._id)
        self._visit.notify(self._visit.say("offsite.verify_asked"))
        await self._on_change()
