"""An offsite copy: where it goes, what is there, and how it stands."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from saveos.protocol import AgentId, TenantId

Hour = Annotated[int, Meta(ge=0, le=24)]
Bytes = Annotated[int, Meta(ge=0, le=2**53)]
Days = Annotated[int, Meta(ge=0, le=3650)]
Price = Annotated[float, Meta(ge=0, le=1000)]


class LockMode(StrEnum):
    """Whether the store itself keeps objects until a date. Governance: some of its keys may say otherwise."""

    OFF = "off"
    GOVERNANCE = "governance"
    COMPLIANCE = "compliance"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be sent, in bytes per second, 0 for no limit; another limit from one hour until another.

    `time_zone`: IANA name of the hours; empty: UTC. From 22 until 6 goes over midnight; equal hours: never.
    """

    bytes_per_second: Bytes = 0
    other_bytes_per_second: Bytes = 0
    other_from_hour: Hour = 0
    other_until_hour: Hour = 0
    time_zone: str = ""


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What a store asks for: to keep a GB (10^9 bytes) for a month, for 1,000 writes, to fetch a GB."""

    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    gigabyte_month: Price = 0.0
    thousand_writes: Price = 0.0
    gigabyte_fetched: Price = 0.0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of any S3-compatible store, and what is kept there under a prefix. It holds no secret.

    `ca_pem`: certificates that alone are trusted, empty for the usual ones. `keep_days`: of generations, and half of
    what objects are locked for; 0: as long as the tenant keeps checkpoints.
    """

    endpoint: str
    bucket: str
    access_key_id: str
    region: str = "us-east-1"
    prefix: str = ""
    is_path_style: bool = True
    storage_class: str = ""
    ca_pem: str = ""
    lock_mode: LockMode = LockMode.OFF
    keep_days: Days = 0
    rate: Rate = Rate()
    prices: Prices | None = None
    is_enabled: bool = True


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A place that is in use, of a tenant or, with none, of all that have none of their own."""

    id: str
    tenant_id: TenantId | None
    place: Place
    made_at: datetime


class StepName(StrEnum):
    """What a probe tries, in this order."""

    WRITE = "write"
    READ = "read"  # what comes back is what was written
    LIST = "list"
    CONDITION = "condition"  # what is there is not written over, if one asks for that
    VERSIONS = "versions"  # what is written over or deleted is still there
    LOCK = "lock"  # the bucket keeps objects until a date
    LOCKED_DELETE = "locked-delete"  # what is locked cannot be deleted
    BYPASS = "bypass"  # nor with the word by which governance may be passed over: this key is not allowed that
    DELETE = "delete"


class StepState(StrEnum):
    """What came of it."""

    OK = "ok"
    UNSUPPORTED = "unsupported"  # the store cannot do that, or it is not switched on
    REFUSED = "refused"  # an error; its code says which
    SKIPPED = "skipped"  # what it needs did not go well


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a probe. `code`: of the error, if there was one; `message`: for a person, without secrets."""

    name: StepName
    state: StepState
    code: str = ""
    message: str = ""


class Protection(StrEnum):
    """What keeps a copy from whoever holds the appliance's key to the store."""

    LOCK = "lock"  # nothing goes before its date
    VERSIONS = "versions"  # what is deleted is hidden, and can be deleted for good in a second step
    NONE = "none"


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do. `left`: keys that a lock keeps for a minute more."""

    steps: tuple[Step, ...]
    left: tuple[str, ...] = ()

    def is_ok(self, name: StepName) -> bool:
        """Return whether a step went well."""
        return any(step.name is name and step.state is StepState.OK for step in self.steps)

    @property
    def is_usable(self) -> bool:
        """Whether copies can be kept there at all."""
        return all(self.is_ok(name) for name in (StepName.WRITE, StepName.READ, StepName.LIST, StepName.DELETE))

    @property
    def protection(self) -> Protection:
        """What the store offers against whoever has the key."""
        if self.is_ok(StepName.LOCK) and self.is_ok(StepName.LOCKED_DELETE):
            return Protection.LOCK
        return Protection.VERSIONS if self.is_ok(StepName.VERSIONS) else Protection.NONE


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A segment in the store. `mtime_ns`: of the file it was made of; generations from first to last may need it."""

    number: int
    bytes: int
    mtime_ns: int
    sha256: str
    key: str  # below the folder of its host
    version_id: str = ""
    locked_until: datetime | None = None
    first_generation: int = 0  # 0: of none yet
    last_generation: int = 0
    verified_at: datetime | None = None
    is_broken: bool = False  # missing or altered: to be sent again


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A whole copy of a repository at one commit. `bytes`: of all its segments, whoever they were sent for."""

    number: int
    made_at: datetime
    moment: int
    life: int  # how often the repository had been replaced by then
    bytes: int
    segments_count: int
    key: str
    sha256: str  # of its manifest
    version_id: str = ""
    locked_until: datetime | None = None
    snapshots_count: int = 0


HIDDEN = "hidden"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written. `what`: missing, altered, size, or hidden (behind a newer version)."""

    key: str
    what: str
    number: int = -1  # of the segment


class Health(StrEnum):
    """How a host's copy stands."""

    NONE = "none"  # there is nothing to copy, or no store
    WAITING = "waiting"  # a copy is on its way that nobody has to ask about yet
    CURRENT = "current"
    LATE = "late"  # a whole interval of backups went by without a copy
    FAILED = "failed"
    DAMAGED = "damaged"


NEEDY = frozenset({Health.LATE, Health.FAILED, Health.DAMAGED})
LATE_AFTER = timedelta(hours=1)  # what is missing is asked for that often
LATE_ANYHOW = timedelta(days=1)
FIRST_COPY = timedelta(days=7)  # while one runs


class OffsiteState(msgspec.Struct, frozen=True, kw_only=True):
    """How a host's offsite copy stands. Times are None when that never happened.

    `snapshot_at`: when the newest snapshot ended that is in the copy; `behind_since`: when the oldest one ended that is
    not, of `behind_count`. `error_code`: of the last attempt, empty when it went well.
    """

    agent_id: AgentId
    store_id: str = ""
    generation: int = 0
    made_at: datetime | None = None
    snapshot_at: datetime | None = None
    behind_since: datetime | None = None
    behind_count: int = 0
    is_copying: bool = False
    is_asked: bool = False  # there is a store that is switched on
    bytes: int = 0
    segments_count: int = 0
    tried_at: datetime | None = None
    error_code: str = ""
    error_message: str = ""
    verified_at: datetime | None = None
    verified_share: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def damages(self) -> tuple[Finding, ...]:
        """What is lost: what is hidden can be read by its version."""
        return tuple(one for one in self.findings if one.what != HIDDEN)

    def health(self, now: datetime) -> Health:
        """Say how the copy stands; the worst comes first."""
        lag = timedelta(seconds=self.lag_seconds(now))
        if not self.is_asked:
            return Health.NONE
        if self.damages:
            return Health.DAMAGED
        if self.error_code:
            return Health.FAILED
        if self.behind_since is None:
            return Health.CURRENT if self.generation else Health.NONE
        if self.is_copying and not self.generation and lag < FIRST_COPY:
            return Health.WAITING
        is_late = lag > LATE_ANYHOW or (lag > LATE_AFTER and self.behind_count > 1)
        return Health.LATE if is_late else Health.WAITING

    def lag_seconds(self, now: datetime) -> float:
        """Return for how long the oldest snapshot has been waiting to be copied; 0: none does."""
        return max(0.0, (now - self.behind_since).total_seconds()) if self.behind_since else 0.0


def rate_at(rate: Rate, now: datetime) -> int:
    """Return how many bytes per second may be sent at a moment; 0: no limit."""
    hour = now.astimezone(ZoneInfo(rate.time_zone or "UTC")).hour
    begin, end = rate.other_from_hour, rate.other_until_hour
    is_other = begin <= hour < end if begin <= end else hour >= begin or hour < end
    return rate.other_bytes_per_second if is_other else rate.bytes_per_second
