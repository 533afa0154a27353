"""An alert: something about a host or the appliance that began, and perhaps ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from saveos.protocol import AgentId, TenantId


class AlertKind(StrEnum):
    """What is wrong, the worst first. Of one host there is at most one open alert of a kind."""

    HOSTILE = "hostile-changes"  # a host changed its repository as no order told it to
    UNUSUAL = "unusual-changes"  # files of a host changed as they never do
    DAMAGE = "damage"  # data of a repository is not what was written
    UNPROVEN = "restore-failed"  # a restore drill did not give back what was backed up
    DISK_FULL = "disk-full"
    SELF_BACKUP = "self-backup"  # the appliance itself is not backed up as it should be
    RECOVERED = "recovered"  # it came back from a backup of itself: what was changed after that is not in it
    QUOTA = "quota"
    OVERDUE = "overdue"
    OFFSITE = "offsite"  # the copy of a host does not keep up, or is damaged


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """`evidence`: numbers and short texts by name, as found by who raised it. No `agent_id`: of the appliance."""

    id: str
    tenant_id: TenantId
    agent_id: AgentId | None
    kind: AlertKind
    opened_at: datetime
    cleared_at: datetime | None
    cleared_by: str
    evidence: dict[str, Any]
    hostname: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.cleared_at is None


class AlertChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which alerts are looked for; what is empty excludes none."""

    agent_id: str = ""
    is_open: bool = False
    is_of_host: bool = False  # not of the appliance as a whole


class AlertPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list and how many there are in all: those that go on first, the worst first, then the newest."""

    alerts: list[Alert]
    total: int
