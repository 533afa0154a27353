"""What all hosts together store, and their limit: a section of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.repositories import quotas
from saveos.ui import components
from saveos.ui.quota import QuotaEditor, UseBar

if TYPE_CHECKING:
    from saveos.repositories.quota_model import Quota
    from saveos.ui.frame import Visit


class AllStorage:
    """The section."""

    def __init__(self, visit: Visit) -> None:
        """Draw it; what is used comes with `refresh`."""
        self._visit = visit
        with components.element("section"):
            components.text("h2", visit.say("quota.all"))
            components.text("p", visit.say("quota.all_more"), "muted")
            self._bar = UseBar(visit, visit.say("quota.all"))
            self._editor = QuotaEditor(visit, visit.say("quota.all"), self._keep)

    async def refresh(self) -> None:
        """Show what there is now."""
        tenant = (await self._visit.ask(quotas.of_tenant)).tenant
        self._bar.show(tenant)
        self._editor.show(tenant)

    async def _keep(self, quota: Quota) -> None:
        await self._visit.change(quotas.set_tenant, quota)
        await self.refresh()
