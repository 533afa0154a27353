"""The button that updates the agents of selected hosts, and the question before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.installers import updates
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.installers.updates import Asked
    from saveos.ui.frame import Visit


class Button:
    """It can be pressed when at least one of the selected hosts has an update."""

    def __init__(self, visit: Visit, on_done: Callable[[], Awaitable[None]]) -> None:
        """Draw it, for those who may; `on_done` follows once the hosts were asked."""
        self._visit, self._on_done = visit, on_done
        self._ids: list[str] = []
        self._count = 0
        self._is_shown = visit.principal.may(Permission.PROVISION)
        if not self._is_shown:
            return
        self._button = components.button(visit.say("update.many"), self._ask, "small", disabled=True)
        self._dialog, self._body = components.dialog(visit.say("update.title"), visit.say("action.close"))

    def show(self, agent_ids: Sequence[str], count: int) -> None:
        """Say which of the `count` selected hosts have an update."""
        self._ids, self._count = list(agent_ids), count
        if self._is_shown:
            components.put(self._button, "disabled", None if agent_ids else True)

    def _ask(self) -> None:
        words, ids = self._visit.words, list(self._ids)
        self._body.clear()
        with self._body:
            components.text("p", words.count("update.question", len(ids)))
            if skipped := self._count - len(ids):
                components.text("p", words.count("update.skipped", skipped), "muted")
            components.text("p", words.say("update.more"), "muted")
            with components.element("div", "dialog-actions"):
                components.button(words.say("action.cancel"), self._dialog.close)
                go = self._visit.doing(lambda: self._go(ids))
                components.button(words.say("update.many"), go, "primary")
        self._dialog.open()

    async def _go(self, ids: Sequence[str]) -> None:
        self._dialog.close()
        settings = self._visit.parts.settings

        def ask(database: Database, principal: Principal) -> Asked:
            return updates.request_many(database, settings, principal, ids)

        asked = await self._visit.change(ask)
        key = "update.asked_after_build" if asked.build_job_id else "update.asked"
        self._visit.notify(self._visit.words.count(key, asked.asked_count))
        await self._on_done()
