"""/api/v1/agents/…/protection: what keeps a host's snapshots from that host, and the way back."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.params import Parameter
from msgspec import Meta

from saveos.api.agents import AgentIdPath
from saveos.api.jobs import JobView, view
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.snapshots import checkpoints, pruning, roll_back
from saveos.snapshots.checkpoints import Protection
from saveos.snapshots.roll_back import RollBack

CheckpointIdPath = Annotated[str, Parameter(max_length=64, description="The id of a checkpoint")]


class RollBackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The name of the host, typed: it is this one that is meant."""

    hostname: Annotated[str, Meta(min_length=1, max_length=253)]


class Protections(Controller):
    """What stands between a hostile host and its snapshots."""

    path = "/api/v1/agents/{agent_id:str}"
    tags = ("agents",)

    @get("/protection", summary="Show a host's protection", sync_to_thread=True, responses=documented())
    def show(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> Protection:
        """Show whether a repository is frozen, its checkpoints, and what they hold on disk."""
        return checkpoints.of_host(parts.database, principal, agent_id)

    @get(
        "/checkpoints/{checkpoint_id:str}",
        summary="Foresee rolling back",
        sync_to_thread=True,
        responses=documented(),
    )
    def foresee(
        self, agent_id: AgentIdPath, checkpoint_id: CheckpointIdPath, principal: Principal, parts: Parts
    ) -> RollBack:
        """Show which snapshots would go and which would come back, if the repository became what this checkpoint is."""
        return roll_back.foresee(parts.database, principal, agent_id, checkpoint_id)

    @post(
        "/checkpoints/{checkpoint_id:str}/roll-back",
        summary="Roll a repository back",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def roll_back(
        self,
        agent_id: AgentIdPath,
        checkpoint_id: CheckpointIdPath,
        data: RollBackRequest,
        principal: Principal,
        parts: Parts,
    ) -> JobView:
        """Let the repository be what it was: snapshots of then are back, later ones go. It can be undone likewise."""
        job = checkpoints.request_roll_back(
            parts.database, principal, agent_id, checkpoint_id, data.hostname, parts.endings
        )
        return view(job, None)

    @post(
        "/protection/let-go-on",
        summary="Let retention go on",
        status_code=204,
        sync_to_thread=True,
        responses=documented(409),
    )
    def let_go_on(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> None:
        """Say that what froze the repository was meant."""
        checkpoints.let_go_on(parts.database, principal, agent_id)

    @post(
        "/retention/run",
        summary="Carry retention out",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def retain(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> JobView:
        """Carry a host's retention out now, whatever its maintenance window is."""
        return view(pruning.request(parts.database, principal, agent_id), None)
