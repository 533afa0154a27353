"""What a host stores, and its limit: a section of the host's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.repositories import quotas
from saveos.ui import components
from saveos.ui.quota import QuotaEditor, UseBar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.repositories.quota_model import Quota
    from saveos.repositories.quotas import HostQuota
    from saveos.ui.frame import Visit


class HostStorage:
    """The section."""

    def __init__(self, visit: Visit, agent_id: str, name: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it empty."""
        self._visit, self._id, self._on_change = visit, agent_id, on_change
        with components.element("section", "part"):
            components.text("h2", visit.say("quota.title"))
            self._bar = UseBar(visit, visit.say("quota.of_host", host=name))
            with components.element("div", "row"):
                self._editor = QuotaEditor(visit, visit.say("quota.of_host", host=name), self._keep)

    def show(self, quota: HostQuota) -> None:
        """Show what there is now."""
        self._bar.show(quota.host)
        self._editor.show(quota.host)

    async def _keep(self, quota: Quota) -> None:
        await self._visit.change(quotas.set_host, self._id, quota)
        await self._on_change()
