"""What the overview says of the appliance as a whole: it came back from a backup of itself, or lacks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.identity.principals import Permission
from saveos.ui import alert_words, components
from saveos.ui.alert_list import ADDRESS

if TYPE_CHECKING:
    from saveos.alerts.model import Alert
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

SHOWN = (AlertKind.RECOVERED, AlertKind.SELF_BACKUP)


class ApplianceNotices:
    """A notice for each alert of the appliance, and the way to them."""

    def __init__(self, visit: Visit) -> None:
        """Draw them hidden."""
        self._visit = visit
        self._shown: list[Alert] = []
        self._box = components.element("section", "hidden")

    def look(self, database: Database, principal: Principal) -> list[Alert]:
        """Return what this reader is to be told."""
        found = [raising.of_appliance(database, principal, kind) for kind in SHOWN]
        may = principal.may(Permission.SETTINGS)
        return [alert for alert in found if alert and (may or alert.kind is AlertKind.RECOVERED)]

    def show(self, alerts: list[Alert]) -> None:
        """Show what there is to tell."""
        if alerts == self._shown:
            return
        self._shown = alerts
        words = self._visit.words
        components.dress(self._box, "part" if alerts else "hidden")
        self._box.clear()
        with self._box:
            for alert in alerts:
                with components.element("div", "notice bad"):
                    components.text("p", alert_words.title(words, alert), "strong")
                    for line in alert_words.evidence(words, alert):
                        components.text("p", line)
                    components.text("p", alert_words.advice(words, alert))
                    components.link(words.say("alert.all"), ADDRESS)
