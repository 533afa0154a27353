"""What a host and a tenant may store, and how much of it they do. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from saveos import sizes
from saveos.protocol import AgentId, TenantId

LIMIT_BYTES = 2**60
Limit = Annotated[int, Meta(ge=0, le=LIMIT_BYTES)]


class Scope(StrEnum):
    """Whose limit it is."""

    HOST = "host"
    TENANT = "tenant"


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in bytes, 0: none. At the soft one a person is told; at the hard one backups stop."""

    soft_bytes: Limit = 0
    hard_bytes: Limit = 0

    @property
    def told_at(self) -> int:
        """From how many bytes on a person is told; 0: never."""
        return self.soft_bytes or self.hard_bytes


class HostUse(Quota, frozen=True, kw_only=True):
    """A host's limits and what its repository takes. `quarantine_bytes`: beside that; its tenant's limit counts it."""

    agent_id: AgentId
    tenant_id: TenantId
    hostname: str
    used_bytes: int
    quarantine_bytes: int


class TenantUse(Quota, frozen=True, kw_only=True):
    """A tenant's limits and what its repositories take, with what checkpoints hold alone."""

    tenant_id: TenantId
    stored_bytes: int
    quarantine_bytes: int
    used_bytes: int  # both: what counts


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that stops a backup, and how much of it is used without that backup."""

    scope: Scope
    limit_bytes: int
    used_bytes: int

    @property
    def facts(self) -> dict[str, Any]:
        """What a sentence about it needs, in any language."""
        return {"scope": self.scope.value, "limit_bytes": self.limit_bytes, "used_bytes": self.used_bytes}

    @property
    def message(self) -> str:
        """Say it in English."""
        whose = "this host" if self.scope is Scope.HOST else "all hosts together"
        used, limit = sizes.shown(self.used_bytes), sizes.shown(self.limit_bytes)
        return (
            f"The limit of {whose} is reached: {used} of {limit} are used, and this backup needs more."
            " Raise the limit; or keep fewer snapshots or leave files out, and have retention carried out, which also"
            " drops what unfinished backups left. The snapshots that are there can be restored."
        )


def room(host: HostUse, tenant: TenantUse, others_bytes: int) -> int | None:
    """Return how much a host may add, in bytes, at least 0; None: as much as it likes.

    `others_bytes`: what other hosts of the tenant have written since their repositories were measured.
    """
    rooms = []
    if host.hard_bytes:
        rooms.append(host.hard_bytes - host.used_bytes)
    if tenant.hard_bytes:
        rooms.append(tenant.hard_bytes - tenant.used_bytes - others_bytes)
    return max(0, min(rooms)) if rooms else None


def reached(host: HostUse, tenant: TenantUse) -> Reached:
    """Return which of the two limits leaves less; a host's own if neither is there any more."""
    host_left = host.hard_bytes - host.used_bytes if host.hard_bytes else None
    tenant_left = tenant.hard_bytes - tenant.used_bytes if tenant.hard_bytes else None
    if tenant_left is not None and (host_left is None or tenant_left < host_left):
        return Reached(scope=Scope.TENANT, limit_bytes=tenant.hard_bytes, used_bytes=tenant.used_bytes)
    return Reached(scope=Scope.HOST, limit_bytes=host.hard_bytes, used_bytes=host.used_bytes)
