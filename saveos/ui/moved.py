"""Says on every page that another appliance serves in the place of this one, and offers to serve here again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import moving
from saveos.identity.principals import Permission
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.ui.frame import Visit


class MovedBanner:
    """A banner that is hidden while all is well."""

    def __init__(self, visit: Visit) -> None:
        """Draw it hidden."""
        self._visit = visit
        self._box = components.element("section", "hidden", role="status")
        with self._box:
            self._words = components.text("span")
            if visit.principal.may(Permission.SETTINGS):
                components.button(visit.say("moving.here"), visit.doing(self._serve_here), "small")

    async def refresh(self) -> None:
        """Show how it stands."""
        house = await self._visit.ask(self._visit.board.house)
        words, said = self._visit.words, ""
        if house.moved_to:
            said = words.say("moving.banner", address=house.moved_to)
        elif house.ahead_count:
            said = words.count("moving.ahead", house.ahead_count)
        components.dress(self._box, "unlocked" if said else "hidden")
        self._words.show(said)

    async def _serve_here(self) -> None:
        await self._visit.change(moving.serve_here)
        await self.refresh()
