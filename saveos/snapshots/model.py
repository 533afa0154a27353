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
    """Whether a snapshot is to be trusted."""

    GOOD = "good"
    SUSPECT = "suspect"  # files had changed as they never do; until a person says that this was meant
    LOST = "lost"  # its host deleted it without an order


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


class ListedSnapshot(Snapshot, frozen=True, kw_only=True):
    """A snapshot in a list of all hosts."""

    hostname: str
    policy_name: str | None


class SnapshotPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list, newest first, and how many there are in all."""

    snapshots: list[ListedSnapshot]
    total: int
