"""What is backed up, when, and how long it is kept."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from saveos.protocol import HostPath, PolicyId, ShortText, TenantId

Keep = Annotated[int, Meta(ge=0, le=10_000)]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the newest snapshots per period are kept; all zero keeps everything."""

    keep_hourly: Keep = 0
    keep_daily: Keep = 7
    keep_weekly: Keep = 4
    keep_monthly: Keep = 12
    keep_yearly: Keep = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy. Empty `sources`: the host's own default set. `schedule`: cron; empty `time_zone`: the host's."""

    id: PolicyId
    tenant_id: TenantId
    name: ShortText
    sources: tuple[HostPath, ...] = ()
    excludes: tuple[HostPath, ...] = ()
    schedule: ShortText = "0 2 * * *"
    time_zone: ShortText = ""
    retention: Retention = Retention()
    compression: ShortText = "lz4"
    is_default: bool = False
