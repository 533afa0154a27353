"""/api/v1/alerts: what a person has to hear of; and how each backup's changes looked beside those before it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post, put
from litestar.params import Parameter

from saveos.agents import machines
from saveos.agents.model import Limits
from saveos.alerts import raising
from saveos.alerts.model import Alert
from saveos.api.agents import AgentIdPath, AgentView
from saveos.api.agents import view as agent_view
from saveos.api.problems import documented
from saveos.errors import NotFound
from saveos.identity.principals import Principal
from saveos.installers import updates
from saveos.parts import Parts
from saveos.proofs import damages
from saveos.protocol import MachineClass
from saveos.snapshots import guarding
from saveos.snapshots.table_anomalies import GuardRun

AlertIdPath = Annotated[str, Parameter(max_length=64, description="Id of an alert")]
SnapshotIdPath = Annotated[str, Parameter(max_length=64, description="Id of a snapshot")]


class AlertList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of alerts, newest first; one without `cleared_at` goes on. `next_before`: the `before` of the next one."""

    items: list[Alert]
    next_before: str | None


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """How many snapshots were suspect and are good again."""

    snapshots_count: int


class GuardRunList(msgspec.Struct, frozen=True, kw_only=True):
    """A host's backups in numbers, newest first."""

    items: list[GuardRun]


class MachineClassRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What kind of machine a host is; null: what it says itself."""

    machine_class: MachineClass | None = None


class Alerts(Controller):
    """Alerts."""

    path = "/api/v1/alerts"
    tags = ("alerts",)

    @get("/", summary="List alerts", sync_to_thread=True, responses=documented())
    def find(
        self,
        principal: Principal,
        parts: Parts,
        agent_id: Annotated[str, Parameter(max_length=64, description="Of this host alone")] = "",
        is_open: Annotated[bool, Parameter(description="Only those that go on")] = False,  # noqa: FBT002 - of a query
        before: Annotated[str, Parameter(max_length=64)] = "",
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    ) -> AlertList:
        """List alerts, those that go on and those that are over. Of one host and kind at most one is open."""
        found = raising.find(parts.database, principal, agent_id=agent_id, is_open=is_open, before=before, limit=limit)
        next_before = found[-1].id if len(found) == limit else None
        return AlertList(items=found, next_before=next_before)

    @post(
        "/{alert_id:str}/put-away",
        summary="Put an alert away",
        status_code=204,
        sync_to_thread=True,
        responses=documented(409),
    )
    def put_away(self, alert_id: AlertIdPath, principal: Principal, parts: Parts) -> None:
        """End an alert by hand: somebody has seen to it. What it froze, held or called suspect stays so."""
        raising.put_away(parts.database, principal, alert_id)


class Guard(Controller):
    """Changes of files, and the machines that they happen on."""

    path = "/api/v1"
    tags = ("agents",)

    @get("/agents/{agent_id:str}/guard", summary="Show a host's changes", sync_to_thread=True, responses=documented())
    def of_agent(
        self,
        agent_id: AgentIdPath,
        principal: Principal,
        parts: Parts,
        limit: Annotated[int, Parameter(ge=1, le=200)] = 30,
    ) -> GuardRunList:
        """Show how a host's files changed from backup to backup, and what of it was out of the ordinary."""
        return GuardRunList(items=guarding.of_agent(parts.database, principal, agent_id, limit))

    @get(
        "/snapshots/{snapshot_id:str}/guard",
        summary="Show a snapshot's changes",
        tags=["snapshots"],
        sync_to_thread=True,
        responses=documented(),
    )
    def of_snapshot(self, snapshot_id: SnapshotIdPath, principal: Principal, parts: Parts) -> GuardRun:
        """Show how the files had changed since the backup before, in numbers."""
        found = guarding.of_snapshot(parts.database, principal, snapshot_id)
        if found is None:
            raise NotFound("Nothing is known of how this snapshot's files had changed.")
        return found

    @post(
        "/agents/{agent_id:str}/changes-meant",
        summary="Say changes were meant",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def meant(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> Meant:
        """Trust a host's suspect snapshots again: nothing is held for them, and the alert is over."""
        count = guarding.say_meant(parts.database, principal, agent_id, damages.tell)
        return Meant(snapshots_count=count)

    @put(
        "/agents/{agent_id:str}/machine-class",
        summary="Name a machine's kind",
        sync_to_thread=True,
        responses=documented(),
    )
    def machine_class(
        self, agent_id: AgentIdPath, data: MachineClassRequest, principal: Principal, parts: Parts
    ) -> AgentView:
        """Say whether a host is a server, a workstation or a laptop: how long its backup may be missing."""
        agent = machines.set_class(parts.database, principal, agent_id, data.machine_class)
        return agent_view(agent, updates.offers(parts.settings))

    @get(
        "/overdue-limits", summary="Show overdue limits", tags=["settings"], sync_to_thread=True, responses=documented()
    )
    def limits(self, principal: Principal, parts: Parts) -> Limits:
        """Show for how many hours after it was due a backup may be missing, for each kind of machine."""
        return machines.limits(parts.database, principal)

    @put(
        "/overdue-limits", summary="Set overdue limits", tags=["settings"], sync_to_thread=True, responses=documented()
    )
    def set_limits(self, data: Limits, principal: Principal, parts: Parts) -> Limits:
        """Say for how many hours after it was due a backup may be missing, for each kind of machine."""
        machines.set_limits(parts.database, principal, data)
        return machines.limits(parts.database, principal)
