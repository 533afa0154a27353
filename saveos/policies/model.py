"""What is backed up, when, and how long it is kept."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from saveos.protocol import HostPath, PolicyId, ShortText, TenantId

PATHS_LIMIT = 1000
WITHIN_LIMIT = 87_600  # hours: ten years
MAINTENANCE = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
COMPRESSION = (
    r"^(auto,)?(none|lz4|zstd(,([1-9]|1[0-9]|2[0-2]))?|zlib(,[0-9])?|lzma(,[0-9])?)$"  # `borg help compression`
)

Keep = Annotated[int, Meta(ge=0, le=10_000)]
Within = Annotated[int, Meta(ge=0, le=WITHIN_LIMIT)]
Maintenance = Annotated[str, Meta(max_length=11, pattern=MAINTENANCE)]
Compression = Annotated[str, Meta(max_length=255, pattern=COMPRESSION)]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Paths = Annotated[tuple[HostPath, ...], Meta(max_length=PATHS_LIMIT)]


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshots are kept; all zero keeps everything.

    `keep_within_hours`: every snapshot of the last so many hours, Borg's `--keep-within`; the other rules count none of
    these. The others: of how many periods the newest snapshot is kept.
    """

    keep_within_hours: Within = 0
    keep_hourly: Keep = 0
    keep_daily: Keep = 7
    keep_weekly: Keep = 4
    keep_monthly: Keep = 12
    keep_yearly: Keep = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decides. Empty `sources`: the host's own default set. `schedule`: cron, or empty for by hand only.

    Empty `time_zone`: the host's. `excludes`: patterns as Borg reads them. `maintenance`: when a repository may be
    tidied, as "HH:MM-HH:MM" by that zone's clock; it may pass midnight, and the same time twice is any time.
    """

    name: Name
    sources: Paths = ()
    excludes: Paths = ()
    schedule: ShortText = "0 2 * * *"
    time_zone: ShortText = ""
    retention: Retention = Retention()
    compression: Compression = "lz4"
    maintenance: Maintenance = "03:00-07:00"
    guard_canaries: bool = False  # lay decoy files in the sources, and warn when one is touched


class Policy(Terms, frozen=True, kw_only=True):
    """The terms that a tenant's hosts are under; the default policy is that of new hosts."""

    id: PolicyId
    tenant_id: TenantId
    is_default: bool = False


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A policy and how many hosts are under it; the revoked ones do not count."""

    policy: Policy
    agents_count: int
