"""/api/v1/backup and /api/v1/restore: make snapshots, list them, get files back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import Provide
from litestar.params import Parameter
from msgspec import Meta

from saveos.api.jobs import JobView
from saveos.api.jobs import view as job_view
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import AgentId, Count, EntryPath, HostPath, OnConflict, RestoreFacts, SnapshotId
from saveos.snapshots import again, backup, listing, restore
from saveos.snapshots.model import Snapshot, SnapshotChoice, SnapshotPage, Standing

IdPath = Annotated[str, Parameter(max_length=64)]


class BackupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Back an agent up now; without `paths`, what its policy says."""

    agent_id: Annotated[AgentId, Meta(max_length=64)]
    paths: Annotated[list[HostPath], Meta(max_length=1000)] = []


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Restore a snapshot on its host: all of it or some entries, to its original place or a `target` folder.

    `onto_agent_id`: on that other host instead; the snapshot's own host has to be online to lend its key.

    `paths` and `selected` name entries with all below them, none is a pattern. In `selected` a backslash is doubled,
    and a byte that is no UTF-8 is a backslash, x and two hexadecimal digits. `conflict`: what happens where something
    else stands. `dry_run`: count what would happen, write nothing. `expected_*`: how much that is, if you know it.
    """

    snapshot_id: Annotated[SnapshotId, Meta(max_length=64)]
    paths: Annotated[list[HostPath], Meta(max_length=10000)] = []
    target: HostPath | None = None
    selected: Annotated[list[EntryPath], Meta(max_length=10000)] = []
    conflict: OnConflict = OnConflict.OVERWRITE
    dry_run: bool = False
    onto_agent_id: Annotated[AgentId, Meta(max_length=64)] = AgentId("")
    expected_files_count: Count = 0
    expected_bytes: Count = 0


class SnapshotList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of snapshots, newest first; `next_before` is the `before` of the next one."""

    items: list[Snapshot]
    next_before: str | None


def aware(moment: datetime | None) -> datetime | None:
    """Return a moment with its zone; one that names none is UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def provide_choice(
    search: Annotated[str, Parameter(max_length=253, description="In the hostname")] = "",
    policy_id: Annotated[str, Parameter(max_length=64)] = "",
    since: datetime | None = None,
    until: datetime | None = None,
    standing: Annotated[Standing | None, Parameter(description="What is known of their archive")] = None,
    *,
    is_held: Annotated[bool, Parameter(description="Only those that something holds")] = False,
) -> SnapshotChoice:
    """Return which snapshots a request looks for."""
    return SnapshotChoice(
        search=search,
        policy_id=policy_id,
        since=aware(since),
        until=aware(until),
        standing=standing,
        is_held=is_held,
    )


class Snapshots(Controller):
    """Backups and restores."""

    path = "/api/v1"
    tags = ("snapshots",)

    @post("/backup", summary="Back an agent up", status_code=202, sync_to_thread=True, responses=documented(409))
    def back_up(self, data: BackupRequest, principal: Principal, parts: Parts) -> JobView:
        """Ask an agent to back up now; it begins within two seconds when it is online."""
        return job_view(backup.request(parts.database, principal, data.agent_id, data.paths), None)

    @get(
        "/backup/{agent_id:str}/snapshots",
        summary="List an agent's snapshots",
        sync_to_thread=True,
        responses=documented(),
    )
    def snapshots(
        self,
        agent_id: IdPath,
        principal: Principal,
        parts: Parts,
        before: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> SnapshotList:
        """List an agent's snapshots."""
        found = backup.of_agent(parts.database, principal, agent_id, before=before, limit=limit)
        return SnapshotList(items=found, next_before=found[-1].id if len(found) == limit else None)

    @get(
        "/snapshots",
        summary="List snapshots",
        sync_to_thread=True,
        responses=documented(),
        dependencies={"choice": Provide(provide_choice, sync_to_thread=False)},
    )
    def of_all(
        self,
        choice: SnapshotChoice,
        principal: Principal,
        parts: Parts,
        offset: Annotated[int, Parameter(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> SnapshotPage:
        """List the snapshots of all hosts, newest first; `since` and `until` bound their start."""
        return listing.look(parts.database, principal, choice, offset, limit)

    @get("/snapshots/{snapshot_id:str}", summary="Show a snapshot", sync_to_thread=True, responses=documented())
    def get_one(self, snapshot_id: IdPath, principal: Principal, parts: Parts) -> Snapshot:
        """Show a snapshot."""
        return restore.get(parts.database, principal, snapshot_id)

    @post("/restore", summary="Restore a snapshot", status_code=202, sync_to_thread=True, responses=documented(409))
    def restore(self, data: RestoreRequest, principal: Principal, parts: Parts) -> JobView:
        """Ask the snapshot's host to restore it."""
        job = restore.request(
            parts.database,
            principal,
            data.snapshot_id,
            data.paths,
            data.target,
            selected=data.selected,
            conflict=data.conflict,
            dry_run=data.dry_run,
            onto_agent_id=data.onto_agent_id,
            expected_files_count=data.expected_files_count,
            expected_bytes=data.expected_bytes,
            unlocks=parts.unlocks,
        )
        return job_view(job, None)

    @get(
        "/jobs/{job_id:str}/restore",
        summary="Show what a restore changed",
        tags=["jobs"],
        sync_to_thread=True,
        responses=documented(),
    )
    def restored(self, job_id: IdPath, principal: Principal, parts: Parts) -> RestoreFacts:
        """Show what a restore that ended found and made, or in a dry run would make: counts and what differs."""
        return restore.report(parts.database, principal, job_id)

    @post(
        "/jobs/{job_id:str}/retry",
        summary="Ask for a job again",
        status_code=202,
        tags=["jobs"],
        sync_to_thread=True,
        responses=documented(409),
    )
    def retry(self, job_id: IdPath, principal: Principal, parts: Parts) -> JobView:
        """Ask for the same as a backup or restore that failed, was cancelled or warned; the answer is the new job."""
        return job_view(again.retry(parts.database, principal, job_id, parts.unlocks), None)
