"""A Borg repository on this appliance: one per agent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from saveos.protocol import AgentId, TenantId


class RepositoryState(StrEnum):
    """Whether its key is safe."""

    NEW = "new"  # the host may create it and save its key
    READY = "ready"  # the sealed key is here; the key in the repository can no longer be changed


class Repository(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's repository."""

    id: str
    tenant_id: TenantId
    agent_id: AgentId
    state: RepositoryState
    engine_id: str  # Borg's own id, hex
    sealed_at: datetime | None
    stored_bytes: int = 0  # on disk, when it was measured last
    measured_at: datetime | None = None  # None: never yet
