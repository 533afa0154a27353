"""The alerts on the overview: the worst of hosts that go on, and the way to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.alerts import raising
from saveos.alerts.model import AlertChoice
from saveos.ui import components
from saveos.ui.alert_list import ADDRESS, AlertList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.alerts.model import AlertPage
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

ALERTS_SHOWN = 5


class AlertSection:
    """A heading, the worst alerts that go on, and the way to all of them; only the way while there is none."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it hidden."""
        self._visit = visit
        self._box = components.element("section", "hidden")
        with self._box:
            components.text("h2", visit.say("alert.title"))
            self._list = AlertList(visit, on_change, heading="h3")
            self._more = components.link("", ADDRESS, "more")

    def look(self, database: Database, principal: Principal) -> AlertPage:
        """Return what there is to show. Alerts of no host are told by the notices about limits."""
        return raising.look(database, principal, AlertChoice(is_open=True, is_of_host=True), limit=ALERTS_SHOWN)

    def show(self, page: AlertPage) -> None:
        """Show them."""
        rest = page.total - len(page.alerts)
        components.dress(self._box, "part" if page.total else "hidden")
        self._list.show(page.alerts)
        words = self._visit.words
        self._more.show(words.count("alert.more", rest) if rest > 0 else words.say("alert.all"))
