"""A host did to its repository what no order explains: what was found, and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.snapshots import checkpoints
from saveos.ui import components, upkeep_words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.snapshots.checkpoints import Protection
    from saveos.ui.frame import Visit


class Frozen:
    """Stands at the top of a host's page while its repository is frozen; read by those too who may not decide."""

    def __init__(
        self,
        visit: Visit,
        agent_id: str,
        name: str,
        roll_back: Callable[[str], Awaitable[None]],
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        """Draw it hidden. `roll_back` opens the dialog for a checkpoint."""
        self._visit, self._id, self._name = visit, agent_id, name
        self._roll_back, self._on_change = roll_back, on_change
        self._before = ""
        say = visit.say
        self._may = visit.principal.may(Permission.ROLL_BACK)
        self._box = components.element("section", "hidden", aria_label=say("protection.frozen_title"))
        with self._box:
            components.text("h2", say("protection.frozen_title"))
            self._since = components.text("p", "")
            self._found = components.element("ul", "found")
            components.text("h3", say("protection.do"))
            with components.element("ol", "found"):
                components.text("li", say("protection.do_look", host=name))
                self._do_roll_back = components.text("li")
                components.text("li", say("protection.do_let"))
            self._who = components.text("p", "" if self._may else say("protection.who"))
            with components.element("div", "row" if self._may else "hidden"):
                self._go_back = components.button(say("protection.before"), visit.doing(self._open), "hidden")
                components.button(say("protection.let_go_on"), self._ask, "")
        if self._may:
            self._asking, body = components.dialog(say("protection.let_title"), say("action.close"))
            with body:
                components.text("p", say("protection.let_more"))
                with components.element("div", "dialog-actions"):
                    components.button(say("action.cancel"), self._asking.close)
                    components.button(say("protection.let_now"), visit.doing(self._let_go_on), "primary danger")
        self._shown: list[str] | None = None

    def show(self, protection: Protection) -> None:
        """Show what was found, as far as it is known by now."""
        visit, words = self._visit, self._visit.words
        frozen_at = protection.frozen_at
        components.dress(self._box, "frozen-zone" if frozen_at else "hidden")
        if frozen_at is None:
            return
        self._since.show(visit.say("protection.frozen_since", host=self._name, when=words.exact(frozen_at)))
        found = upkeep_words.findings(words, protection.findings)
        if found != self._shown:
            self._shown = found
            self._found.clear()
            with self._found:
                for sentence in found:
                    components.text("li", sentence)
        self._before = protection.before_id
        key = "protection.do_roll_back" if self._before else "protection.do_wait"
        self._do_roll_back.show(visit.say(key))
        components.dress(self._go_back, "button primary danger" if self._before else "button hidden")

    async def _open(self) -> None:
        await self._roll_back(self._before)

    def _ask(self) -> None:
        self._asking.open()

    async def _let_go_on(self) -> None:
        await self._visit.change(checkpoints.let_go_on, self._id)
        self._asking.close()
        self._visit.notify(self._visit.say("protection.let_done", host=self._name))
        await self._on_change()
