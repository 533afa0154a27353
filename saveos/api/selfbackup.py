"""/api/v1/self-backup: how the appliance's backups of itself stand, one more now, repositories back at once."""

from __future__ import annotations

import msgspec
from litestar import Controller, get, post

from saveos.api.jobs import JobView
from saveos.api.jobs import view as job_view
from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.selfbackup import orders
from saveos.selfbackup.orders import Standing
from saveos.snapshots import rehydrating


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """How many repositories are fetched back."""

    repositories_count: int


class SelfBackups(Controller):
    """Backups of the appliance itself."""

    path = "/api/v1/self-backup"
    tags = ("self-backup",)

    @get("/", summary="Show the appliance's own backups", sync_to_thread=True, responses=documented())
    def show(self, principal: Principal, parts: Parts) -> Standing:
        """Show the newest one, where it lies, and what went wrong: for whoever runs the appliance."""
        return orders.standing(parts.database, parts.settings, principal)

    @post(
        "/",
        summary="Back the appliance up now",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def make(self, principal: Principal, parts: Parts) -> JobView:
        """Make one now: database, authority, keys and settings, sealed to the recovery kit."""
        return job_view(orders.request(parts.database, principal), None)

    @post(
        "/repositories",
        summary="Fetch all repositories back",
        status_code=202,
        sync_to_thread=True,
        responses=documented(),
    )
    def fetch(self, principal: Principal, parts: Parts) -> Asked:
        """Fetch the tenant's repositories that are only in the offsite copy; else each comes when its host needs it."""
        return Asked(repositories_count=rehydrating.request_all(parts.database, principal))
