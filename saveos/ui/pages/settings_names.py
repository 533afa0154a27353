"""Who may read the names of files: they are content too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.snapshots import names
from saveos.snapshots.names import Names
from saveos.ui import components
from saveos.ui.looking import look

if TYPE_CHECKING:
    from saveos.ui.frame import Visit

CHOICES = {Names.READABLE: "names.readable", Names.SEALED: "names.sealed"}


class FileNames:
    """A section of the settings. A change takes what is known away, so it is asked for twice."""

    def __init__(self, visit: Visit) -> None:
        """Draw it; what is chosen comes with `refresh`."""
        self._visit = visit
        self._chosen: Names | None = None
        say = visit.say
        with components.element("section"):
            components.text("h2", say("names.title"))
            self._now = components.text("p", "", "muted")
            self._change = components.button("", self._ask, "hidden")
        self._dialog, body = components.dialog(say("names.change_title"), say("action.close"))
        with body:
            self._what = components.text("p")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                self._go = components.button("", visit.doing(self._choose), "primary")

    async def refresh(self) -> None:
        """Show who reads names now."""
        chosen = await self._visit.ask(names.get)
        if chosen is self._chosen:
            return
        self._chosen = chosen
        say = self._visit.say
        self._now.show(say(CHOICES[chosen]))
        label = say("names.seal") if chosen is Names.READABLE else say("names.read")
        self._change.show(label)
        self._go.show(label)
        self._what.show(say("names.seal_more") if chosen is Names.READABLE else say("names.read_more"))
        components.dress(self._change, "button" if self._visit.principal.may(Permission.SETTINGS) else "button hidden")

    def _ask(self) -> None:
        self._dialog.open()

    async def _choose(self) -> None:
        wanted = Names.SEALED if self._chosen is Names.READABLE else Names.READABLE
        await look(self._visit, names.choose, wanted)
        self._dialog.close()
        await self.refresh()
