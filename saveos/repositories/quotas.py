"""Limits of storage: shown, set, watched, and explained to whoever runs into one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.alerts import raising
from saveos.alerts import table as alerts
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
    from saveos.protocol import AgentId, TenantId


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
    """Tell which of its limits a host is at. `is_new`: what stopped it before was another limit."""
    host = _known(table_quotas.host(connection, agent_id))
    is_stopped = not is_new and table_quotas.stopped_by(connection, agent_id) == Scope.HOST
    _judge(connection, host, Scope.HOST, is_stopped=is_stopped)


def judge_tenant(connection: sqlite3.Connection, tenant_id: str, *, is_new: bool = False) -> None:
    """Tell which of its limits a tenant is at. `is_new`: what stopped its hosts before was another limit."""
    tenant = _tenant(connection, tenant_id)
    is_stopped = not is_new and table_quotas.stopped_hosts(connection, tenant_id) > 0
    _judge(connection, tenant, Scope.TENANT, is_stopped=is_stopped)


def _judge(connection: sqlite3.Connection, use: HostUse | TenantUse, scope: Scope, *, is_stopped: bool) -> None:
    """Tell what is reached. `is_stopped`: the last backup was, so that an alert which says so goes on."""
    agent_id = use.agent_id if isinstance(use, HostUse) else None
    told = alerts.open_of_kind(connection, use.tenant_id, agent_id, AlertKind.QUOTA)
    if is_stopped and told is not None and told.evidence.get("is_hard"):
        return
    is_hard = 0 < use.hard_bytes <= use.used_bytes
    if is_hard or 0 < use.soft_bytes <= use.used_bytes:
        limit_bytes = use.hard_bytes if is_hard else use.soft_bytes
        reached = Reached(scope=scope, limit_bytes=limit_bytes, used_bytes=use.used_bytes)
        _tell(connection, use.tenant_id, agent_id, reached, is_hard=is_hard)
    else:
        raising.clear(connection, use.tenant_id, agent_id, AlertKind.QUOTA)


def _tell(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId | None, reached: Reached, *, is_hard: bool
) -> None:
    """Open the alert on a limit; one that is open on another limit is over: whoever heard of that hears of this."""
    told = alerts.open_of_kind(connection, tenant_id, agent_id, AlertKind.QUOTA)
    said = {"is_hard": is_hard, "limit_bytes": reached.limit_bytes}
    if told is not None and any(told.evidence.get(name) != value for name, value in said.items()):
        raising.clear(connection, tenant_id, agent_id, AlertKind.QUOTA)
    raising.raise_alert(connection, tenant_id, agent_id, AlertKind.QUOTA, is_hard=is_hard, **reached.facts)


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
    _tell(connection, host.tenant_id, agent_id, found, is_hard=True)


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
