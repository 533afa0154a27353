"""Ask for the executable of a platform: there already, being built, or a job that builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.database.identifiers import new_id
from saveos.installers import bases
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn
from saveos.protocol import JobId, Kind

if TYPE_CHECKING:
    import sqlite3

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.protocol import Platform

BUILD_PRIORITY = 20  # somebody waits for the download


def ensure(database: Database, settings: Settings, principal: Principal, platform: Platform) -> str | None:
    """Return None when the executable is ready, else the id of the job that builds it. Raises PlatformUnavailable."""
    if bases.find(settings, platform) is not None:
        return None
    bases.require_buildable(platform)

    def write(connection: sqlite3.Connection) -> str:
        running = jobs.waiting_on_appliance(connection, Kind.BUILD_AGENT)
        if running is not None and running.order.get("platform") == platform.value:
            return running.id
        job = NewJob(
            id=JobId(new_id("job")),
            tenant_id=principal.tenant_id,
            kind=Kind.BUILD_AGENT,
            runs_on=RunsOn.APPLIANCE,
            order={"platform": platform.value},
            requested_by=principal.label,
            priority=BUILD_PRIORITY,
        )
        return lifecycle.request(connection, job).id

    return database.write(write)
