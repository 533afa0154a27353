"""Where one administrator has asked for the end of a legal hold, the overview tells the others: it takes two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.snapshots import hold_release
from saveos.ui import components, hold_words

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.model import Hold
    from saveos.ui.frame import Visit

SHOWN = 5


class HoldReminder:
    """Who asks for what, and the way there."""

    def __init__(self, visit: Visit) -> None:
        """Draw it hidden."""
        self._visit = visit
        self._shown: list[Hold] = []
        self._box = components.element("section", "hidden")

    def look(self, database: Database, principal: Principal) -> list[Hold]:
        """Return what this reader is asked to agree to."""
        return hold_release.asked_of(database, principal) if principal.may(Permission.HOLDS) else []

    def show(self, asked: list[Hold]) -> None:
        """Ask, or do not."""
        if asked == self._shown:
            return
        self._shown = asked
        components.dress(self._box, "notice asked-holds" if asked else "hidden")
        self._box.clear()
        words = self._visit.words
        with self._box:
            for hold in asked[:SHOWN]:
                with components.element("p"):
                    who, when = hold_words.who(words, hold.release_asked_by), words.exact(hold.placed_at)
                    components.text("span", words.say("hold.asks_you", who=who, when=when, reason=hold.reason))
                    components.link(words.say("hold.look"), f"/snapshots/{hold.snapshot_id}", "button small")
            if len(asked) > SHOWN:
                components.text("p", words.count("hold.more_asked", len(asked) - SHOWN), "muted")
