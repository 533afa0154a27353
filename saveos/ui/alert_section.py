"""The alerts on the overview: the newest of hosts that go on, and the way to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.alerts.model import AlertKind
from saveos.ui import components
from saveos.ui.alert_list import ADDRESS, AlertList

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.alerts.model import Alert
    from saveos.ui.frame import Visit

ALERTS_SHOWN, ALERTS_LIMIT = 5, 100


class AlertSection:
    """A heading, the newest alerts that go on, and the way to all of them; only the way while there is none."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it hidden."""
        self._visit = visit
        self._box = components.element("section", "hidden")
        with self._box:
            components.text("h2", visit.say("alert.title"))
            self._list = AlertList(visit, on_change, heading="h3")
            self._more = components.link("", ADDRESS, "more")

    def show(self, alerts: Sequence[Alert]) -> None:
        """Show the gravest first: that a backup is missing is said of each such host below, too.

        Those of no host are told by the notices about limits.
        """
        of_hosts = [alert for alert in alerts if alert.agent_id is not None]
        ordered = sorted(of_hosts, key=lambda alert: alert.kind is AlertKind.OVERDUE)
        rest = len(ordered) - ALERTS_SHOWN
        components.dress(self._box, "part" if ordered else "hidden")
        self._list.show(ordered[:ALERTS_SHOWN])
        words = self._visit.words
        self._more.show(words.count("alert.more", rest) if rest > 0 else words.say("alert.all"))
