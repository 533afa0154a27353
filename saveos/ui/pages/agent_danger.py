"""The end of a host: revoking it needs its name, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import enrolment
from saveos.identity.principals import Permission
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.ui.frame import Visit


class Danger:
    """The last section of a host's page; hidden from those who may not, and once it is done."""

    def __init__(self, visit: Visit, agent_id: str, name: str) -> None:
        """Draw it, with the dialog behind its button."""
        self._visit, self._id, self._name = visit, agent_id, name
        say = visit.say
        self._dialog, body = components.dialog(say("agent.revoke_title", host=name), say("action.close"))
        with body:
            components.text("p", say("agent.revoke_more"))
            self._typed = components.Field(say("agent.revoke_type", host=name), autocomplete="off", spellcheck="false")
            self._typed.on_change(self._allow)
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                go = visit.doing(self._revoke)
                self._go = components.button(say("agent.revoke"), go, "primary danger", disabled=True)
        self._box = components.element("section", "danger-zone hidden")
        with self._box:
            with components.element("div"):
                components.text("h2", say("agent.danger"))
                components.text("p", say("agent.danger_more"), "muted")
            components.button(say("agent.revoke"), self._dialog.open, "danger")

    def show(self, *, is_live: bool) -> None:
        """Show it while the host can be revoked."""
        is_shown = is_live and self._visit.principal.may(Permission.REVOKE)
        components.dress(self._box, "danger-zone" if is_shown else "danger-zone hidden")

    @property
    def _is_confirmed(self) -> bool:
        return self._typed.value.strip() == self._name

    def _allow(self) -> None:
        components.put(self._go, "disabled", None if self._is_confirmed else True)

    async def _revoke(self) -> None:
        if self._is_confirmed:
            await self._visit.change(enrolment.revoke, self._id)
            self._dialog.close()
            self._visit.notify(self._visit.say("agent.revoke_done", host=self._name))
