"""What keeps backups from being taken, or soon will: a disk that is full, the limit of all hosts together."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos.alerts import raising
from saveos.alerts.model import Alert, AlertKind
from saveos.repositories import quotas, space
from saveos.repositories.quota_model import TenantUse
from saveos.ui import alert_words, components, quota

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit


class LimitsNow(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands. `full_since`: backups wait for room on the disk; None: they do not. `alert`: on the limit."""

    full_since: datetime | None
    tenant: TenantUse
    alert: Alert | None


class LimitNotices:
    """Two notices of the overview, shown when there is reason to."""

    def __init__(self, visit: Visit) -> None:
        """Draw them hidden."""
        self._visit = visit
        self._full = components.text("p", "", "hidden", role="status")
        self._limit = components.text("p", "", "hidden", role="status")

    def look(self, database: Database, principal: Principal) -> LimitsNow:
        """Return how it stands."""
        return LimitsNow(
            full_since=space.full_since(database, principal),
            tenant=quotas.of_tenant(database, principal).tenant,
            alert=raising.of_appliance(database, principal, AlertKind.QUOTA),
        )

    def show(self, now: LimitsNow) -> None:
        """Show what there is to tell."""
        words, use, alert = self._visit.words, now.tenant, now.alert
        full = words.say("space.full", when=words.exact(now.full_since)) if now.full_since else ""
        self._full.show(full)
        components.dress(self._full, "notice bad limit-notice" if full else "hidden")
        is_stopped = alert is not None and alert.evidence.get("is_hard")  # by a backup that needs more than is left
        mood = "bad" if is_stopped else quota.mood(use)
        more = [alert_words.title(words, alert), alert_words.advice(words, alert)] if alert else []
        told = words.listing([words.say("quota.all"), quota.used(words, use), *more]) if mood else ""
        self._limit.show(told)
        components.dress(self._limit, f"notice {mood} limit-notice" if told else "hidden")
