"""Alerts as a list: what, which host, since when, the evidence in words, what to do, and the ways to end it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.identity.principals import Permission
from saveos.proofs import damages
from saveos.snapshots import guarding
from saveos.ui import alert_words, components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.alerts.model import Alert
    from saveos.ui.frame import Visit

ADDRESS = "/alerts"
PLACES = {"held": "alert.show_held", "snapshot": "alert.show_suspect"}  # in the evidence: snapshots to look at


class AlertList:
    """The list; `show` draws it anew only when something differs."""

    def __init__(
        self,
        visit: Visit,
        on_change: Callable[[], Awaitable[None]],
        *,
        with_host: bool = True,
        heading: str = "h2",
    ) -> None:
        """Draw it empty, where we are. `heading`: of an alert, one below what it stands under."""
        self._visit, self._on_change = visit, on_change
        self._with_host, self._heading = with_host, heading
        self._shown: list[Alert] | None = None
        self._list = components.element("ul", "alerts hidden")

    def show(self, alerts: Sequence[Alert]) -> None:
        """Show these."""
        if list(alerts) == self._shown:
            return
        self._shown = list(alerts)
        self._list.clear()
        components.dress(self._list, "alerts" if alerts else "alerts hidden")
        with self._list:
            for alert in alerts:
                with components.element("li", "alert" if alert.is_open else "alert over"):
                    self._draw(alert)

    def _draw(self, alert: Alert) -> None:
        words = self._visit.words
        components.text(self._heading, alert_words.title(words, alert))
        with components.element("p", "muted"):
            if self._with_host:
                name = alert_words.whose(words, alert)
                if alert.agent_id:
                    components.link(name, f"/agents/{alert.agent_id}")
                else:
                    components.text("span", name)
                components.text("span", " · ")
            components.text("span", self._since(alert))
        with components.element("ul", "evidence"):
            for line in alert_words.evidence(words, alert):
                components.text("li", line)
        if alert.is_open:
            components.text("p", alert_words.advice(words, alert), "advice")
            self._draw_acts(alert)

    def _since(self, alert: Alert) -> str:
        words = self._visit.words
        parts = [words.say("alert.since", when=words.exact(alert.opened_at))]
        if alert.cleared_at is not None:
            when = words.exact(alert.cleared_at)
            if alert.cleared_by == raising.APPLIANCE:
                parts.append(words.say("alert.cleared", when=when))
            else:
                parts.append(words.say("alert.cleared_by", who=alert.cleared_by, when=when))
        return words.listing(parts)

    def _draw_acts(self, alert: Alert) -> None:
        visit, words = self._visit, self._visit.words
        # What froze a repository ends on the host's page: by going back, or by saying that it was meant.
        may_put_away = visit.principal.may(Permission.BACK_UP) and alert.kind is not AlertKind.HOSTILE
        can_mean = alert.kind is AlertKind.UNUSUAL and visit.principal.may(Permission.ROLL_BACK)
        places = {key: str(alert.evidence.get(name) or "") for name, key in PLACES.items()}
        if not (may_put_away or can_mean or any(places.values())):
            return
        host = alert_words.whose(words, alert)
        with components.element("div", "row"):
            for key, snapshot_id in places.items():
                if snapshot_id.startswith("snp_"):
                    label = f"{words.say(key)}: {host}"
                    components.link(words.say(key), f"/snapshots/{snapshot_id}", "button small", aria_label=label)
            if can_mean:
                label = words.say("alert.meant_of", host=host)
                act = visit.doing(lambda: self._mean(alert))
                components.button(words.say("alert.meant"), act, "small", aria_label=label)
            if may_put_away:
                label = words.say("alert.put_away_of", what=alert_words.title(words, alert), host=host)
                act = visit.doing(lambda: self._put_away(alert))
                components.button(words.say("alert.put_away"), act, "small", aria_label=label)

    async def _put_away(self, alert: Alert) -> None:
        await self._visit.change(raising.put_away, alert.id)
        self._visit.notify(self._visit.say("alert.put_away_done"))
        await self._on_change()

    async def _mean(self, alert: Alert) -> None:
        await self._visit.change(guarding.say_meant, alert.agent_id or "", damages.tell)
        self._visit.notify(self._visit.say("alert.meant_done"))
        await self._on_change()
