"""Who holds a host's key: on the host's page, with the way to change it, and to unlock it for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents.model import KeyMode
from saveos.identity.principals import Permission
from saveos.repositories import keys
from saveos.ui import components, unlock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.repositories.model import HostKey
    from saveos.ui.frame import Visit

MODES = {KeyMode.SEALED: "key.sealed", KeyMode.MANAGED: "key.managed"}
MORE = {KeyMode.SEALED: "key.sealed_more", KeyMode.MANAGED: "key.managed_more"}
CHANGE = {KeyMode.SEALED: "key.to_managed", KeyMode.MANAGED: "key.to_sealed"}
ASKED = {KeyMode.SEALED: "key.to_managed_more", KeyMode.MANAGED: "key.to_sealed_more"}
OTHER = {KeyMode.SEALED: KeyMode.MANAGED, KeyMode.MANAGED: KeyMode.SEALED}


class Key:
    """The section of a host's page."""

    def __init__(self, visit: Visit, agent_id: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it empty, with the dialogs behind its buttons."""
        self._visit, self._id, self._on_change = visit, agent_id, on_change
        self._now: HostKey | None = None
        may = visit.principal.may(Permission.KEYS)
        with components.element("section", "part"):
            components.text("h2", visit.say("key.title"))
            self._mode = components.text("p", "", "strong")
            self._more = components.text("p", "", "muted")
            self._note = components.text("p", "", "notice hidden")
            with components.element("div", "row" if may else "hidden"):
                self._unlock = components.button(visit.say("unlock.button"), self._ask_unlock, "hidden")
                self._change = components.button("", self._ask_change, "hidden")
        if may:
            self._unlocking = unlock.Dialog(visit, on_change)
            self._asking, body = components.dialog(visit.say("key.change"), visit.say("action.close"))
            with body:
                self._question = components.text("p")
                with components.element("div", "dialog-actions"):
                    components.button(visit.say("action.cancel"), self._asking.close)
                    self._go = components.button("", visit.doing(self._switch), "primary")

    def show(self, key: HostKey, *, is_live: bool) -> None:
        """Show who holds the key now."""
        self._now = key
        visit, say = self._visit, self._visit.say
        unlocks = [each for each in visit.parts.unlocks.current(visit.principal) if self._id in each.agent_ids]
        self._mode.show(say(MODES[key.mode]))
        self._more.show(say(MORE[key.mode]))
        note = ""
        if key.mode is KeyMode.MANAGED and not key.is_held:
            note = say("key.pending")
        elif key.mode is KeyMode.SEALED and key.was_managed:
            note = say("key.was_managed")
        self._note.show(note)
        components.dress(self._note, "notice" if note else "notice hidden")
        can_unlock = key.mode is KeyMode.SEALED and not unlocks
        components.dress(self._unlock, "button" if can_unlock else "hidden")
        self._change.show(say(CHANGE[key.mode]))
        components.dress(self._change, "button" if is_live else "hidden")

    def _ask_unlock(self) -> None:
        self._unlocking.open([self._id])

    def _ask_change(self) -> None:
        if self._now is not None:
            self._question.show(self._visit.say(ASKED[self._now.mode]))
            self._go.show(self._visit.say(CHANGE[self._now.mode]))
            self._asking.open()

    async def _switch(self) -> None:
        if self._now is not None:
            await self._visit.change(keys.set_mode, self._id, OTHER[self._now.mode])
            self._asking.close()
            await self._on_change()
