"""Where hosts look for the appliance, who knows it, and moving house: a section of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import moving
from saveos.agents.moving import FURTHER_LIMIT
from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.agents.moving import Addresses
    from saveos.ui.frame import Visit

NAMED_LIMIT = 10  # of the hosts that do not know the list


class HostAddresses:
    """The section. To say that the appliance has moved is asked for twice."""

    def __init__(self, visit: Visit, typed: str) -> None:
        """Draw it; how it stands comes with `refresh`. `typed`: what stood in the field before it was drawn anew."""
        self._visit, self.typed = visit, typed
        self._shown: Addresses | None = None
        self._leaving_to = ""
        say = visit.say
        self._may = visit.principal.may(Permission.SETTINGS)
        with components.element("section"):
            components.text("h2", say("moving.title"))
            components.text("p", say("moving.lead"), "muted")
            self._list = components.element("ol", "plain-list")
            self._known = components.text("p", "", "strong num", aria_live="polite")
            self._waiting = components.text("p", "", "muted")
            self._form = components.element("form", "inline-form hidden", novalidate=True)
            components.on_submit(self._form, visit.doing(self._add))
            with self._form:
                self._field = components.Field(
                    say("moving.address"),
                    value=typed,
                    hint=say("moving.address_hint", most=FURTHER_LIMIT),
                    autocomplete="off",
                    spellcheck="false",
                    autocapitalize="off",
                    maxlength=300,
                )
                self._field.on_change(self._keep)
                components.text("button", say("moving.add"), "button", type="submit")
        self._dialog, body = components.dialog(say("moving.moved_title"), say("action.close"))
        with body:
            self._what = components.text("p")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                components.button(say("moving.send"), visit.doing(self._leave), "danger")

    async def refresh(self) -> None:
        """Show the list, and who knows it."""
        found = await self._visit.ask(moving.show)
        if found == self._shown:
            return
        is_list = self._shown is None or found.addresses != self._shown.addresses
        self._shown = found
        words, may = self._visit.words, self._may and not found.moved_to
        components.dress(self._form, "inline-form" if may else "inline-form hidden")
        self._known.show(words.count("moving.known", found.holders_count, total=words.number(found.hosts_count)))
        names = [host.hostname for host in found.waiting[:NAMED_LIMIT]]
        more = found.hosts_count - found.holders_count > len(names)
        self._waiting.show(
            words.say("moving.waiting", hosts=", ".join(names) + (" …" if more else "")) if names else ""
        )
        if is_list:
            self._draw(found, may=may)

    def _draw(self, found: Addresses, *, may: bool) -> None:
        say = self._visit.say
        self._list.clear()
        with self._list:
            for address in found.addresses:
                with components.element("li"):
                    components.text("span", address, "strong whole")
                    if address in found.own:
                        components.text("span", say("moving.own"), "muted")
                    elif may:
                        self._draw_actions(found.further, address)

    def _draw_actions(self, further: Sequence[str], address: str) -> None:
        say, at = self._visit.say, further.index(address)

        def act(label: str, others: list[str], classes: str) -> None:
            change = self._visit.doing(lambda: self._change(others))
            components.button(label, change, f"small {classes}".strip(), aria_label=f"{label}: {address}")

        kept = [other for other in further if other != address]
        if at:
            act(say("moving.up"), [*kept[: at - 1], address, *kept[at - 1 :]], "")
        moved = say("moving.moved")
        components.button(moved, lambda: self._ask(address), "small", aria_label=f"{moved}: {address}")
        act(say("settings.remove"), kept, "danger")

    def _keep(self) -> None:
        self.typed = self._field.value

    async def _change(self, further: list[str]) -> None:
        await self._visit.ask(moving.change, further)
        await self.refresh()

    async def _add(self) -> None:
        known = self._shown.further if self._shown else ()
        try:
            await self._change([*known, self._field.value])
        except InvalidRequest as error:
            is_full = len(known) >= FURTHER_LIMIT
            wrong = self._visit.say("moving.address_wrong")
            self._field.error.show(self._visit.words.problem(error.code, error.message) if is_full else wrong)
            return
        self.typed = ""
        self._field.put("")
        self._visit.notify(self._visit.say("moving.added"))

    def _ask(self, address: str) -> None:
        self._leaving_to = address
        self._what.show(self._visit.say("moving.moved_more", address=address))
        self._dialog.open()

    async def _leave(self) -> None:
        await self._visit.change(moving.mark_moved, self._leaving_to)
        self._dialog.close()
        await self.refresh()
