"""What a session may write, and when sessions have to go: limits of hosts and tenants, and the disk's reserve.

Two looks at the same thing: a session is given its room when it begins, which Borg itself keeps to the byte; and as
long as sessions write, they are looked at together every second.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.errors import QuotaExceeded
from saveos.jobs import table as jobs
from saveos.protocol import AgentId, JobId, TunnelRefusal
from saveos.repositories import quota_model, table_quotas
from saveos.repositories.quota_model import Reached, Scope
from saveos.repositories.space import FULL, RETRY_SECONDS, Watch
from saveos.tenants import facts
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.repositories.handover import Grant
    from saveos.repositories.quota_model import HostUse, TenantUse
    from saveos.repositories.space import Space

log = logging.getLogger("saveos.limits")

# A deletion writes a manifest and, per object, some bytes; what was deleted counts until the appliance compacts. So
# much may each ordered deletion add beyond any limit.
PRUNING_BYTES = 64 * 1024**2
FIRST_BYTES = 1024**2  # for the creation of a repository, before any job
DISK = TunnelRefusal(code="disk-full", message=FULL, retry_seconds=RETRY_SECONDS)


class Writing(msgspec.Struct, frozen=True, kw_only=True):
    """An open session that writes. `stored_bytes`: what was there when it began; `added_bytes`: since then."""

    agent_id: AgentId
    stored_bytes: int
    added_bytes: int
    is_pruning: bool
    job_id: str = ""

    @property
    def there_bytes(self) -> int:
        """What is there now."""
        return self.stored_bytes + self.added_bytes


class Limits:
    """Decides for the registry of sessions. Its methods are called in threads."""

    def __init__(self, settings: Settings, database: Database | None) -> None:
        """No `database`: the disk's reserve alone counts, and nobody is told."""
        self._database = database
        self._is_told = database is not None and facts.disk_full_at(database) is not None
        self._watch = Watch(settings, is_full=self._is_told)

    def admit(self, grant: Grant, writing: Sequence[Writing]) -> Grant:
        """Return the grant with its room. `writing`: the other sessions. Raises DiskFull, QuotaExceeded."""
        self._watch.require(is_pruning=grant.is_pruning)
        if self._database is None:
            return grant
        connection = self._database.read
        host = table_quotas.host(connection, grant.agent_id)
        tenant = table_quotas.tenant(connection, host.tenant_id) if host else None
        if host is None or tenant is None:
            return grant
        others = [one for one in writing if one.agent_id != grant.agent_id]
        room = quota_model.room(host, tenant, _grown(connection, tenant, others))
        if room is not None and grant.is_pruning:
            room = max(room, PRUNING_BYTES - table_quotas.written_by(connection, host.agent_id, grant.job_id))
        elif room is not None and not grant.job_id:
            room = max(room, FIRST_BYTES)
        if room is not None and room <= 0:
            raise QuotaExceeded(quota_model.reached(host, tenant).message)
        return msgspec.structs.replace(grant, room_bytes=room, stored_bytes=host.used_bytes)

    def over(self, writing: Sequence[Writing]) -> dict[AgentId, TunnelRefusal]:
        """Return which of these have to go, and why."""
        space = self._watch.look()
        self._tell(space)
        if space.is_full:
            return {one.agent_id: DISK for one in writing if space.is_lost or not one.is_pruning}
        if self._database is None:
            return {}
        reached = _beyond(self._database.read, [one for one in writing if not one.is_pruning])
        self._explain({one.job_id: reached[one.agent_id] for one in writing if one.agent_id in reached})
        return {
            agent_id: TunnelRefusal(code=QuotaExceeded.code, message=found.message)
            for agent_id, found in reached.items()
        }

    def _explain(self, reached: dict[str, Reached]) -> None:
        """Keep with the jobs which limit ends them: when they report, less is there, and it would not be seen."""
        if reached and self._database is not None:

            def write(connection: sqlite3.Connection) -> None:
                for job_id, found in reached.items():
                    jobs.explain(connection, JobId(job_id), found.message, found.facts)

            self._database.write(write)

    def _tell(self, space: Space) -> None:
        """Tell once that backups stop, and once that they go on; again until it is written down."""
        if self._database is None or space.is_full == self._is_told:
            return
        try:
            self._database.write(lambda connection: _keep(connection, space))
        except Exception:
            log.exception("That the disk is full, or no longer, could not be written down; it is tried again.")
            return
        self._is_told = space.is_full
        log.warning("Backups %s: %d bytes are free.", "wait" if space.is_full else "go on", space.free_bytes)


def _keep(connection: sqlite3.Connection, space: Space) -> None:
    facts.set_disk_full(connection, clock.now() if space.is_full else None)
    for tenant_id in tenants.tenant_ids(connection):
        if space.is_full:
            raising.raise_alert(connection, tenant_id, None, AlertKind.DISK_FULL, free_bytes=space.free_bytes)
        else:
            raising.clear(connection, tenant_id, None, AlertKind.DISK_FULL)


def _beyond(connection: sqlite3.Connection, writing: Sequence[Writing]) -> dict[AgentId, Reached]:
    """Return the hosts that are beyond their limit, one that was lowered perhaps, or all of a tenant beyond its own."""
    found: dict[AgentId, Reached] = {}
    by_tenant: dict[str, list[tuple[Writing, HostUse]]] = {}
    for one in writing:
        host = table_quotas.host(connection, one.agent_id)
        if host is None:
            continue
        by_tenant.setdefault(host.tenant_id, []).append((one, host))
        if host.hard_bytes and one.there_bytes > host.hard_bytes:
            found[one.agent_id] = Reached(scope=Scope.HOST, limit_bytes=host.hard_bytes, used_bytes=one.there_bytes)
    for tenant_id, there in by_tenant.items():
        tenant = table_quotas.tenant(connection, tenant_id)
        if tenant is None or not tenant.hard_bytes:
            continue
        used = tenant.used_bytes + _grown(connection, tenant, [one for one, _host in there])
        if used > tenant.hard_bytes:
            reached = Reached(scope=Scope.TENANT, limit_bytes=tenant.hard_bytes, used_bytes=used)
            found |= {one.agent_id: reached for one, _host in there}
    return found


def _grown(connection: sqlite3.Connection, tenant: TenantUse, writing: Sequence[Writing]) -> int:
    """Return what sessions of a tenant have added and no measurement has counted yet."""
    grown = 0
    for one in writing:
        host = table_quotas.host(connection, one.agent_id, tenant.tenant_id)
        if host is not None:
            grown += max(0, one.there_bytes - host.used_bytes)
    return grown
