"""A snapshot: our record of one archive, a moment that a person can restore from."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from saveos.protocol import AgentId, JobId, SnapshotId, TenantId


class SnapshotKind(StrEnum):
    """What it is in a deduplicating store: every snapshot restores alone, `added_bytes` tells what it brought."""

    FULL = "full"  # the first archive of the repository: all its data was new
    INCREMENTAL = "incremental"  # brought only what the repository did not hold


class Standing(StrEnum):
    """What is known of its archive."""

    GOOD = "good"
    SUSPECT = "suspect"  # made while its host behaved oddly
    DAMAGED = "damaged"  # some of its data is not what was written
    LOST = "lost"  # its archive is not in the repository


class HoldKind(StrEnum):
    """Why nothing may remove a snapshot."""

    PIN = "pin"  # somebody wants to keep it
    LEGAL = "legal"  # it has to be kept: two administrators let it go, or its end does
    ANOMALY = "anomaly"  # the appliance's own: the last one before something odd


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that keeps a snapshot. Times are UTC; no `until`: for good. `…_by` as the audit log names them."""

    id: str
    tenant_id: TenantId
    agent_id: AgentId
    snapshot_id: SnapshotId
    kind: HoldKind
    reason: str
    until: datetime | None
    placed_at: datetime
    placed_by: str
    release_asked_at: datetime | None
    release_asked_by: str
    release_asked_id: str  # of the user
    released_at: datetime | None
    released_by: str

    def is_in_force_at(self, now: datetime) -> bool:
        """Return whether it keeps its snapshot."""
        return self.released_at is None and (self.until is None or self.until > now)


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A finished archive. `added_bytes`: compressed bytes that this archive added to the repository."""

    id: SnapshotId
    tenant_id: TenantId
    agent_id: AgentId
    job_id: JobId
    archive: str
    archive_id: str
    kind: SnapshotKind
    started_at: datetime
    ended_at: datetime
    duration_seconds: float
    files_count: int
    original_bytes: int
    compressed_bytes: int
    added_bytes: int
    new_files_count: int | None = None
    changed_files_count: int | None = None
    sources: tuple[str, ...]
    warnings_count: int
    standing: Standing = Standing.GOOD


class SnapshotChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshots are looked for; what is empty excludes none. `search`: in the hostname; times: of their start."""

    search: str = ""
    agent_id: str = ""
    policy_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    has_warnings: bool | None = None
    is_held: bool = False  # only those that something holds
    standing: Standing | None = None


class ListedSnapshot(Snapshot, frozen=True, kw_only=True):
    """A snapshot in a list of all hosts. `holds`: what keeps it, each kind once."""

    hostname: str
    policy_name: str | None
    holds: tuple[HoldKind, ...] = ()


class SnapshotPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list, newest first, and how many there are in all."""

    snapshots: list[ListedSnapshot]
    total: int
