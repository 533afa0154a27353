"""/api/v1/snapshots/{id}/holds: pins and legal holds, and what a host's retention would remove now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import Parameter
from msgspec import Meta

from saveos.api.agents import AgentIdPath
from saveos.api.problems import documented
from saveos.api.snapshots import IdPath, aware
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.policies.model import Retention
from saveos.policies.retention import Rule
from saveos.protocol import AgentId, PolicyId, SnapshotId
from saveos.snapshots import dry_run, hold_release, holds
from saveos.snapshots.dry_run import DryRun
from saveos.snapshots.model import Hold, HoldKind, Standing
from saveos.snapshots.retention import Decided

HoldIdPath = Annotated[str, Parameter(max_length=64, description="Id of a hold")]
Reason = Annotated[str, Meta(max_length=holds.REASON_LENGTH)]


class PinRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a snapshot until it is unpinned."""

    reason: Reason = ""


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a snapshot for a reason, up to a moment, or without one for good."""

    reason: Annotated[Reason, Meta(min_length=1)]
    until: datetime | None = None


class HoldList(msgspec.Struct, frozen=True, kw_only=True):
    """Holds, newest first; `next_before` is the `before` of the next page."""

    items: list[Hold]
    next_before: str | None = None


class RetentionItem(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot and what keeps it; it would go if nothing does.

    `rule`: of the policy. `is_last`: the newest good one stays in any case. What is not good is not removed.
    """

    snapshot_id: SnapshotId
    archive: str
    started_at: datetime
    standing: Standing
    is_going: bool
    rule: Rule | None
    holds: tuple[HoldKind, ...]
    is_last: bool


class RetentionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's retention would do at this moment. The counts are of all its snapshots, `items` a page of them."""

    agent_id: AgentId
    policy_id: PolicyId
    policy_name: str
    retention: Retention
    time_zone: str
    decided_at: datetime
    kept_count: int
    going_count: int
    items: list[RetentionItem]


class Holds(Controller):
    """What keeps snapshots."""

    path = "/api/v1"
    tags = ("holds",)

    @get("/holds", summary="List holds in force", sync_to_thread=True, responses=documented())
    def of_all(
        self,
        principal: Principal,
        parts: Parts,
        agent_id: Annotated[str, Parameter(max_length=64)] = "",
        before: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> HoldList:
        """List what keeps snapshots now, of all hosts or of one."""
        found = holds.in_force(parts.database, principal, agent_id=agent_id, before=before, limit=limit)
        return HoldList(items=found, next_before=found[-1].id if len(found) == limit else None)

    @get(
        "/snapshots/{snapshot_id:str}/holds",
        summary="List a snapshot's holds",
        sync_to_thread=True,
        responses=documented(),
    )
    def of_snapshot(self, snapshot_id: IdPath, principal: Principal, parts: Parts) -> HoldList:
        """List all holds of a snapshot, those that are over too."""
        return HoldList(items=holds.of_snapshot(parts.database, principal, snapshot_id))

    @put("/snapshots/{snapshot_id:str}/pin", summary="Pin a snapshot", sync_to_thread=True, responses=documented(409))
    def pin(self, snapshot_id: IdPath, data: PinRequest, principal: Principal, parts: Parts) -> Hold:
        """Keep a snapshot until it is unpinned; one that is pinned stays as it is."""
        return holds.pin(parts.database, principal, snapshot_id, data.reason)

    @delete(
        "/snapshots/{snapshot_id:str}/pin",
        summary="Unpin a snapshot",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def unpin(self, snapshot_id: IdPath, principal: Principal, parts: Parts) -> Hold:
        """Leave a snapshot to its retention again, unless something else holds it."""
        return hold_release.unpin(parts.database, principal, snapshot_id)

    @post(
        "/snapshots/{snapshot_id:str}/holds",
        summary="Place a legal hold",
        sync_to_thread=True,
        responses=documented(409),
    )
    def place(self, snapshot_id: IdPath, data: HoldRequest, principal: Principal, parts: Parts) -> Hold:
        """Keep a snapshot until the hold's end. Before, only two administrators together let it go."""
        return holds.place(parts.database, principal, snapshot_id, data.reason, aware(data.until))

    @post(
        "/snapshots/{snapshot_id:str}/holds/{hold_id:str}/release",
        summary="Release a hold",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def release(self, snapshot_id: IdPath, hold_id: HoldIdPath, principal: Principal, parts: Parts) -> Hold:
        """End a pin or an anomaly's hold; for a legal hold, ask another administrator to confirm its end."""
        return hold_release.release(parts.database, principal, snapshot_id, hold_id)

    @post(
        "/snapshots/{snapshot_id:str}/holds/{hold_id:str}/release/confirm",
        summary="Confirm a hold's release",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def confirm(self, snapshot_id: IdPath, hold_id: HoldIdPath, principal: Principal, parts: Parts) -> Hold:
        """End the legal hold that another administrator has asked to end."""
        return hold_release.confirm(parts.database, principal, snapshot_id, hold_id)

    @delete(
        "/snapshots/{snapshot_id:str}/holds/{hold_id:str}/release",
        summary="Withdraw a hold's release",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def withdraw(self, snapshot_id: IdPath, hold_id: HoldIdPath, principal: Principal, parts: Parts) -> Hold:
        """Take back that a legal hold should end."""
        return hold_release.withdraw(parts.database, principal, snapshot_id, hold_id)

    @get(
        "/agents/{agent_id:str}/retention",
        summary="Show what retention would remove",
        sync_to_thread=True,
        responses=documented(),
    )
    def retention(
        self,
        agent_id: AgentIdPath,
        principal: Principal,
        parts: Parts,
        only: Annotated[Literal["", "going", "kept"], Parameter(description="going or kept")] = "",
        offset: Annotated[int, Parameter(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> RetentionView:
        """Show, newest first, what the retention of the host's policy would keep and remove now. Nothing is changed."""
        told = dry_run.look(parts.database, principal, agent_id)
        chosen = [each for each in told.items if not only or each.is_going == (only == "going")]
        return RetentionView(
            agent_id=told.agent_id,
            policy_id=told.policy_id,
            policy_name=told.policy_name,
            retention=told.retention,
            time_zone=told.time_zone,
            decided_at=told.decided_at,
            kept_count=len(told.items) - told.going_count,
            going_count=told.going_count,
            items=[_item(told, each) for each in chosen[offset : offset + limit]],
        )


def _item(told: DryRun, decided: Decided) -> RetentionItem:
    snapshot = decided.snapshot
    return RetentionItem(
        snapshot_id=snapshot.id,
        archive=snapshot.archive,
        started_at=snapshot.started_at,
        standing=snapshot.standing,
        is_going=decided.is_going,
        rule=decided.rule,
        holds=told.holds.get(snapshot.id, ()),
        is_last=decided.is_last,
    )
