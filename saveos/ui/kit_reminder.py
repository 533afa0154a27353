"""Until somebody has confirmed the recovery kit, the overview asks those for it who can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.tenants import kits
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

ADDRESS = "/recovery-kit"


class KitReminder:
    """What is missing, and the way to it."""

    def __init__(self, visit: Visit) -> None:
        """Draw it hidden."""
        say = visit.say
        self._box = components.element("section", "hidden")
        with self._box:
            components.text("p", say("key.kit_nag"))
            components.link(say("key.kit_confirm"), ADDRESS, "button")

    def look(self, database: Database, principal: Principal) -> bool:
        """Return whether this reader is to be asked."""
        return principal.may(Permission.KEYS) and kits.state(database, principal).confirmed_at is None

    def show(self, *, is_open: bool) -> None:
        """Ask, or do not."""
        components.dress(self._box, "notice bad kit-reminder" if is_open else "hidden")


def draw(visit: Visit) -> None:
    """Draw the section of the settings that leads to the kit."""
    with components.element("section"):
        components.text("h2", visit.say("key.kit_title"))
        components.text("p", visit.say("key.kit_more"), "muted")
        components.link(visit.say("key.kit_open"), ADDRESS, "button")
