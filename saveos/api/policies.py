"""/api/v1/policies: what is backed up, when and how long it is kept; and which policy a host is under."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post, put
from litestar.params import Parameter

from saveos.agents import enrolment
from saveos.api.agents import AgentIdPath, AgentView
from saveos.api.agents import view as agent_view
from saveos.api.problems import documented
from saveos.errors import Conflict
from saveos.identity.principals import Principal
from saveos.installers import updates
from saveos.parts import Parts
from saveos.policies import editing
from saveos.policies.model import Policy, Terms, Use
from saveos.protocol import PolicyId
from saveos.snapshots import backup

PolicyIdPath = Annotated[str, Parameter(max_length=64, description="Id of a policy")]


class PolicyView(Policy, frozen=True, kw_only=True):
    """A policy as it is shown. `agents_count`: the hosts under it, without the revoked ones."""

    agents_count: int


class PolicyList(msgspec.Struct, frozen=True, kw_only=True):
    """All policies, by name."""

    items: list[PolicyView]


class PolicyChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The policy that a host is to be under."""

    policy_id: Annotated[PolicyId, msgspec.Meta(max_length=64)]


def view(use: Use) -> PolicyView:
    """Return a policy as it is shown."""
    return PolicyView(**msgspec.structs.asdict(use.policy), agents_count=use.agents_count)


class Policies(Controller):
    """What people do with policies."""

    path = "/api/v1"
    tags = ("policies",)

    @get("/policies", summary="List policies", sync_to_thread=True, responses=documented())
    def find(self, principal: Principal, parts: Parts) -> PolicyList:
        """List the policies by name."""
        return PolicyList(items=[view(use) for use in editing.find(parts.database, principal)])

    @post("/policies", summary="Make a policy", sync_to_thread=True, responses=documented(409))
    def create(self, data: Terms, principal: Principal, parts: Parts) -> PolicyView:
        """Make a policy; no host is under it yet."""
        return view(Use(policy=editing.create(parts.database, principal, data), agents_count=0))

    @get("/policies/{policy_id:str}", summary="Show a policy", sync_to_thread=True, responses=documented())
    def get_one(self, policy_id: PolicyIdPath, principal: Principal, parts: Parts) -> PolicyView:
        """Show a policy."""
        return view(editing.get(parts.database, principal, policy_id))

    @put("/policies/{policy_id:str}", summary="Change a policy", sync_to_thread=True, responses=documented(409))
    def update(self, policy_id: PolicyIdPath, data: Terms, principal: Principal, parts: Parts) -> PolicyView:
        """Replace a policy's terms; what is left out falls back to its default. Its hosts' next backups move along."""
        editing.update(parts.database, principal, policy_id, data)
        return view(editing.get(parts.database, principal, policy_id))

    @delete(
        "/policies/{policy_id:str}",
        summary="Delete a policy",
        status_code=204,
        sync_to_thread=True,
        responses=documented(409),
    )
    def delete(self, policy_id: PolicyIdPath, principal: Principal, parts: Parts) -> None:
        """Delete a policy that no host is under and that is not the default."""
        editing.delete(parts.database, principal, policy_id)

    @post(
        "/policies/{policy_id:str}/duplicate",
        summary="Duplicate a policy",
        sync_to_thread=True,
        responses=documented(409),
    )
    def duplicate(self, policy_id: PolicyIdPath, principal: Principal, parts: Parts) -> PolicyView:
        """Make another policy with the same terms and a name of its own."""
        return view(Use(policy=editing.duplicate(parts.database, principal, policy_id), agents_count=0))

    @put(
        "/policies/{policy_id:str}/default",
        summary="Make a policy the default",
        sync_to_thread=True,
        responses=documented(),
    )
    def make_default(self, policy_id: PolicyIdPath, principal: Principal, parts: Parts) -> PolicyView:
        """Let new hosts begin under this policy."""
        editing.make_default(parts.database, principal, policy_id)
        return view(editing.get(parts.database, principal, policy_id))

    @put(
        "/agents/{agent_id:str}/policy",
        summary="Put an agent under a policy",
        sync_to_thread=True,
        responses=documented(409),
    )
    def assign(self, agent_id: AgentIdPath, data: PolicyChoice, principal: Principal, parts: Parts) -> AgentView:
        """Put a host under a policy, from its next backup on."""
        hostname = enrolment.get(parts.database, principal, agent_id).hostname
        if not backup.assign_policy(parts.database, principal, [agent_id], data.policy_id):
            message = f"{hostname} has been revoked: no policy holds for it."
            raise Conflict(message)
        return agent_view(enrolment.get(parts.database, principal, agent_id), updates.offers(parts.settings))
