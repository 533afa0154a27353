"""What is measured, over which ranges it is read, and how long it is kept. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from saveos.protocol import AgentId

SAMPLE_SECONDS = 30
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Name(StrEnum):
    """A measured series. The disk's may be seen by everybody, the others tell of all tenants together."""

    CPU_SHARE = "cpu_share"  # of all processors of the machine, 0 to 1
    MEMORY_BYTES = "memory_bytes"  # of the appliance's processes, shared pages counted once
    DISK_USED_BYTES = "disk_used_bytes"  # of the disk that holds the data folder
    DISK_FREE_BYTES = "disk_free_bytes"
    DISK_TOTAL_BYTES = "disk_total_bytes"
    JOBS_QUEUED = "jobs_queued"
    JOBS_RUNNING = "jobs_running"
    HEARTBEATS_PER_MINUTE = "heartbeats_per_minute"
    READ_BYTES_PER_SECOND = "read_bytes_per_second"  # what running jobs read on their hosts
    STORED_BYTES_PER_SECOND = "stored_bytes_per_second"  # what they added to the repositories
    TUNNEL_SESSIONS = "tunnel_sessions"


OPEN = frozenset({Name.DISK_USED_BYTES, Name.DISK_FREE_BYTES, Name.DISK_TOTAL_BYTES})


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured at one moment, by the names above; None: not to be had here."""

    at: datetime
    cpu_share: float | None = None
    memory_bytes: float | None = None
    disk_used_bytes: float | None = None
    disk_free_bytes: float | None = None
    disk_total_bytes: float | None = None
    jobs_queued: float | None = None
    jobs_running: float | None = None
    heartbeats_per_minute: float | None = None
    read_bytes_per_second: float | None = None
    stored_bytes_per_second: float | None = None
    tunnel_sessions: float | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A value at a moment."""

    at: datetime
    value: float


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Means over equal steps; `values[i]` belongs to `start + i * step_seconds`. None: nothing was measured then."""

    name: Name
    start: datetime
    step_seconds: int
    values: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """The newest value, if it is one of the last steps: what stopped long ago is not how things stand."""
        return next((value for value in reversed(self.values[-3:]) if value is not None), None)

    @property
    def last_at(self) -> datetime | None:
        """When the step of the newest value begins."""
        places = [place for place, value in enumerate(self.values) if value is not None]
        return self.start + timedelta(seconds=self.step_seconds * places[-1]) if places else None


class Range(StrEnum):
    """How far back one looks."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"
    YEAR = "1y"


class Grain(msgspec.Struct, frozen=True, kw_only=True):
    """How finely a range is read: `step_seconds` for what is measured, `bar` for what is counted."""

    span: timedelta
    step_seconds: int
    bar: timedelta


GRAINS = {
    Range.HOUR: Grain(span=timedelta(hours=1), step_seconds=30, bar=timedelta(minutes=5)),
    Range.DAY: Grain(span=timedelta(hours=24), step_seconds=300, bar=timedelta(hours=1)),
    Range.WEEK: Grain(span=timedelta(days=7), step_seconds=3600, bar=timedelta(days=1)),
    Range.MONTH: Grain(span=timedelta(days=30), step_seconds=7200, bar=timedelta(days=1)),
    Range.YEAR: Grain(span=timedelta(days=365), step_seconds=86400, bar=timedelta(days=7)),
}


class Thinning(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of `fine` seconds before `before` become means of `coarse` seconds; None: they are forgotten."""

    fine: int
    coarse: int | None
    before: int  # seconds since 1970, a whole number of coarse steps


KEPT = (
    (SAMPLE_SECONDS, timedelta(hours=24), 300),
    (300, timedelta(days=14), 3600),
    (3600, timedelta(days=730), None),
)


def thinnings(now: datetime) -> list[Thinning]:
    """Return what is to be thinned out now. Only whole steps are: a mean is never made of half its samples."""
    return [Thinning(fine=fine, coarse=coarse, before=floor(now - kept, coarse or fine)) for fine, kept, coarse in KEPT]


def floor(moment: datetime, step_seconds: int) -> int:
    """Return the start of the step that holds a moment, in seconds since 1970."""
    return int((moment - EPOCH).total_seconds()) // step_seconds * step_seconds


def from_seconds(seconds: int) -> datetime:
    """Return the moment so many seconds after the start of 1970."""
    return EPOCH + timedelta(seconds=seconds)


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What backups did from `start` until the next bar: how many ended and how, what they read and added."""

    start: datetime
    done: int = 0
    warned: int = 0
    failed: int = 0
    original_bytes: int = 0
    added_bytes: int = 0


class HostStorage(msgspec.Struct, frozen=True, kw_only=True):
    """What one host keeps here. Range figures are those of the range asked for."""

    agent_id: AgentId
    hostname: str
    stored_bytes: int | None  # on disk, as last measured; None: not yet
    quarantine_bytes: int  # what its checkpoints hold beside that
    original_bytes: int  # of all its snapshots, as if each were kept whole
    added_bytes: int  # what they added to the repository
    added_in_range_bytes: int
    good_in_range: int  # backups that ended well
    ended_in_range: int  # backups that ended well or failed
    quota_bytes: int = 0  # what it may store, or from when on somebody is told; 0: no limit

    @property
    def ratio(self) -> float | None:
        """How many times more the snapshots show than they took; None when there is none."""
        return self.original_bytes / self.added_bytes if self.added_bytes else None

    @property
    def success_share(self) -> float | None:
        """The share of backups that ended well; None when none ended."""
        return self.good_in_range / self.ended_in_range if self.ended_in_range else None
