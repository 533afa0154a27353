"""Limits of storage: shown, set, watched, and explained to whoever runs into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.errors import InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import table as jobs
from saveos.repositories import quota_model, sizing, table, table_quotas
from saveos.repositories.quota_model import HostUse, Quota, Reached, Scope, TenantUse

if TYPE_CHECKING:
    import sqlite3

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.protocol import AgentId


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant stores, and its hosts, those that use most first."""

    tenant: TenantUse
    hosts: list[HostUse]


class HostQuota(msgspec.Struct, frozen=True, kw_only=True):
    """A host's limits and its tenant's. `room_bytes`: what it may add; None: as much as it likes."""

    host: HostUse
    tenant: TenantUse
    room_bytes: int | None


def of_host(database: Database, principal: Principal, agent_id: str) -> HostQuota:
    """Return what a host may store and does. Raises NotFound."""
    principal.require(Permission.READ)
    host = _known(table_quotas.host(database.read, agent_id, principal.tenant_id))
    tenant = _tenant(database.read, host.tenant_id)
    return HostQuota(host=host, tenant=tenant, room_bytes=quota_model.room(host, tenant, 0))


def room_of(connection: sqlite3.Connection, agent_id: str) -> int | None:
    """Return how much a host may add, as last measured; None: as much as it likes."""
    host = table_quotas.host(connection, agent_id)
    return quota_model.room(host, _tenant(connection, host.tenant_id), 0) if host else None


def of_tenant(database: Database, principal: Principal) -> Use:
    """Return what the tenant may store and does, and each of its hosts."""
    principal.require(Permission.READ)
    connection = database.read
    return Use(
        tenant=_tenant(connection, principal.tenant_id), hosts=table_quotas.hosts(connection, principal.tenant_id)
    )


def set_host(database: Database, principal: Principal, agent_id: str, quota: Quota) -> HostQuota:
    """Give a host limits; they hold at once. Raises NotFound, InvalidRequest (the soft one above the hard one)."""
    principal.require(Permission.SETTINGS)
    _require_order(quota)

    def write(connection: sqlite3.Connection) -> None:
        host = _known(table_quotas.host(connection, agent_id, principal.tenant_id))
        table_quotas.set_host(connection, host.agent_id, quota)
        _note(connection, principal, quota, host.agent_id)
        judge_host(connection, host.agent_id, is_new=True)

    database.write(write)
    return of_host(database, principal, agent_id)


def set_tenant(database: Database, principal: Principal, quota: Quota) -> Use:
    """Give the tenant limits; they hold at once. Raises InvalidRequest."""
    principal.require(Permission.SETTINGS)
    _require_order(quota)

    def write(connection: sqlite3.Connection) -> None:
        table_quotas.set_tenant(connection, principal.tenant_id, quota)
        _note(connection, principal, quota, "")
        judge_tenant(connection, principal.tenant_id, is_new=True)

    database.write(write)
    return of_tenant(database, principal)


def note_written(database: Database, settings: Settings, agent_id: AgentId) -> None:
    """Measure a repository that no session writes to any more, and tell who has to know."""
    repository = table.of_agent(database.read, agent_id)
    if repository is None:
        return
    host = _known(table_quotas.host(database.read, agent_id))
    tenant = _tenant(database.read, host.tenant_id)
    is_limited = any((host.told_at, tenant.told_at, host.hard_bytes, tenant.hard_bytes))
    sizing.measure(database, settings, repository, is_forced=is_limited)
    if is_limited:
        database.write(lambda connection: judge(connection, agent_id))


def judge(connection: sqlite3.Connection, agent_id: str) -> None:
    """Open or clear the alerts of a host and of its tenant, as they stand now."""
    judge_host(connection, agent_id)
    host = table_quotas.host(connection, agent_id)
    if host is not None:
        judge_tenant(connection, host.tenant_id)


def judge_all(connection: sqlite3.Connection) -> None:
    """Open or clear the alerts of all that have limits."""
    agent_ids, tenant_ids = table_quotas.limited(connection)
    for agent_id in agent_ids:
        judge_host(connection, agent_id)
    for tenant_id in tenant_ids:
        judge_tenant(connection, tenant_id)


def judge_host(connection: sqlite3.Connection, agent_id: str, *, is_new: bool = False) -> None:
    """Tell when a host is at its soft limit. `is_new`: what stopped it before was another limit."""
    host = _known(table_quotas.host(connection, agent_id))
    if host.told_at and host.used_bytes >= host.told_at:
        told = Reached(scope=Scope.HOST, limit_bytes=host.told_at, used_bytes=host.used_bytes)
        raising.raise_alert(connection, host.tenant_id, host.agent_id, AlertKind.QUOTA, **told.facts)
    elif is_new or table_quotas.stopped_by(connection, agent_id) != Scope.HOST:
        raising.clear(connection, host.tenant_id, host.agent_id, AlertKind.QUOTA)


def judge_tenant(connection: sqlite3.Connection, tenant_id: str, *, is_new: bool = False) -> None:
    """Tell when a tenant is at its soft limit."""
    tenant = _tenant(connection, tenant_id)
    if tenant.told_at and tenant.used_bytes >= tenant.told_at:
        told = Reached(scope=Scope.TENANT, limit_bytes=tenant.told_at, used_bytes=tenant.used_bytes)
        raising.raise_alert(connection, tenant.tenant_id, None, AlertKind.QUOTA, **told.facts)
    elif is_new or not table_quotas.stopped_hosts(connection, tenant_id):
        raising.clear(connection, tenant.tenant_id, None, AlertKind.QUOTA)


def explain(connection: sqlite3.Connection, settings: Settings, job: Job) -> None:
    """Say of a backup that a limit stopped which one it was, whatever its host says; and open the alert."""
    host = table_quotas.host(connection, job.agent_id or "")
    repository = table.of_agent(connection, job.agent_id or "")
    if host is None or repository is None:
        return
    folder = table.repository_path(settings, host.tenant_id, host.agent_id)
    if folder.exists():
        used = sizing.committed_bytes(folder)
        host = msgspec.structs.replace(host, used_bytes=used)
    tenant = _tenant(connection, host.tenant_id)
    found = quota_model.reached(host, tenant)
    if job.error_facts.get("scope") == Scope.TENANT:  # it was ended for that
        found = Reached(scope=Scope.TENANT, limit_bytes=tenant.hard_bytes, used_bytes=tenant.used_bytes)
    if not found.limit_bytes:
        return  # there is none any more
    jobs.explain(connection, job.id, found.message, found.facts)
    agent_id = host.agent_id if found.scope is Scope.HOST else None
    raising.raise_alert(connection, host.tenant_id, agent_id, AlertKind.QUOTA, **found.facts)


def _note(connection: sqlite3.Connection, principal: Principal, quota: Quota, target: str) -> None:
    record(
        connection,
        tenant_id=principal.tenant_id,
        actor=principal.label,
        action="quota-changed",
        target=target,
        soft_bytes=quota.soft_bytes,
        hard_bytes=quota.hard_bytes,
    )


def _require_order(quota: Quota) -> None:
    if quota.hard_bytes and quota.soft_bytes > quota.hard_bytes:
        raise InvalidRequest("The soft limit is above the hard one: nobody would be told in time.", field="soft_bytes")


def _known(host: HostUse | None) -> HostUse:
    if host is None:
        raise NotFound("There is no such agent.")
    return host


def _tenant(connection: sqlite3.Connection, tenant_id: str) -> TenantUse:
    tenant = table_quotas.tenant(connection, tenant_id)
    if tenant is None:
        raise NotFound("There is no such tenant.")
    return tenant
