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
    sources: tuple[str, ...]
    warnings_count: int
