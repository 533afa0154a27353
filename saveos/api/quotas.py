"""/api/v1/agents/…/quota and /api/v1/tenant/quota: what may be stored, and what is."""

from __future__ import annotations

from litestar import Controller, get, put

from saveos.api.agents import AgentIdPath
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.repositories import quotas
from saveos.repositories.quota_model import Quota
from saveos.repositories.quotas import HostQuota, Use


class Quotas(Controller):
    """Limits of storage."""

    path = "/api/v1"
    tags = ("quotas",)

    @get("/agents/{agent_id:str}/quota", summary="Show a host's limits", sync_to_thread=True, responses=documented())
    def show(self, agent_id: AgentIdPath, principal: Principal, parts: Parts) -> HostQuota:
        """Show what a host may store, what it does, and how much room is left."""
        return quotas.of_host(parts.database, principal, agent_id)

    @put("/agents/{agent_id:str}/quota", summary="Set a host's limits", sync_to_thread=True, responses=documented())
    def change(self, agent_id: AgentIdPath, data: Quota, principal: Principal, parts: Parts) -> HostQuota:
        """Set both limits, in bytes; what is left out, or 0, is none. They hold at once."""
        return quotas.set_host(parts.database, principal, agent_id, data)

    @get("/tenant/quota", summary="Show the limits of all hosts together", sync_to_thread=True, responses=documented())
    def show_all(self, principal: Principal, parts: Parts) -> Use:
        """Show what all hosts together may store and do, and each of them."""
        return quotas.of_tenant(parts.database, principal)

    @put("/tenant/quota", summary="Set the limits of all hosts together", sync_to_thread=True, responses=documented())
    def change_all(self, data: Quota, principal: Principal, parts: Parts) -> Use:
        """Set both limits of all hosts together, quarantine included; what is left out, or 0, is none."""
        return quotas.set_tenant(parts.database, principal, data)
