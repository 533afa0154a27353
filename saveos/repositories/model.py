"""A Borg repository on this appliance: one per agent."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from saveos.agents.model import KeyMode
from saveos.protocol import AgentId, TenantId, Wire

LABEL_FORMAT = "saveos-repository-1"


class RepositoryState(StrEnum):
    """Whether its key is safe."""

    NEW = "new"  # the host may create it and save its key
    READY = "ready"  # the sealed key is here; the key in the repository can no longer be changed


class Purpose(StrEnum):
    """For whom a host's key is sealed."""

    RECOVERY = "recovery"  # for whoever has the recovery code
    MANAGED = "managed"  # for the appliance


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
    upkeep_job: str = ""  # the appliance's own job that works on it: no host may write meanwhile
    frozen_at: datetime | None = None  # since then nothing of it is removed for good
    frozen_why: str = ""
    settled_segment: int = -1  # the commit when the newest snapshot was recorded: what snapshots need lies up to here
    manifest_bytes: int = 0  # of that commit; 0: not known
    manifest_compression: str = ""  # as Borg writes it; with another one the size is another, too
    generation: int = 0  # grows with each roll-back: what the host knows of it is of no use then
    retained_at: datetime | None = None  # when retention was carried out last
    compacted_at: datetime | None = None
    quarantine_bytes: int = 0  # what checkpoints hold that the repository itself does not
    away_at: datetime | None = None  # since then it is only in the offsite copy: to be fetched before it is used


class Seal(Wire, frozen=True, kw_only=True):
    """A host's key as it sealed it to a recovery key; base64, both."""

    public_key: str
    sealed: str


class Label(Wire, frozen=True, kw_only=True):
    """What stands in a file beside a repository. `repository_id`: Borg's, hex."""

    format: str = LABEL_FORMAT
    tenant_id: str
    tenant: str
    agent_id: str
    hostname: str
    repository_id: str
    seals: tuple[Seal, ...] = ()


class CheckpointWhy(StrEnum):
    """Why a checkpoint was kept."""

    RETENTION = "retention"  # before snapshots were removed
    HOSTILE = "hostile-changes"  # what was before a host did something that no order explains
    ROLL_BACK = "roll-back"  # what stood there before a roll-back
    OFFSITE = "offsite"  # fetched back from the offsite copy


class CheckpointState(StrEnum):
    """Whether it is whole."""

    MAKING = "making"
    MADE = "made"


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository was at a commit. `moment`: the commit's segment; `made_at`: of what it shows, in time."""

    id: str
    tenant_id: TenantId
    agent_id: AgentId
    moment: int
    made_at: datetime
    why: CheckpointWhy
    job_id: str
    expires_at: datetime
    state: CheckpointState = CheckpointState.MAKING
    own_bytes: int = 0  # what it holds alone, when it was measured last


class HostKey(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a host's key. `is_held`: the appliance can open it; `was_managed`: it could once."""

    mode: KeyMode
    is_held: bool
    was_managed: bool


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a recovery code may be sent, sealed: HPKE base mode, X25519, HKDF-SHA256, AES-256-GCM, one message.

    `public_key`: 32 bytes, base64. The HPKE info is `info`; what is sealed is the code as text.
    """

    unlock_id: str
    public_key: str
    info: str


class Unlock(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that are unlocked. `missed_ids`: asked for, but this code does not open them."""

    unlock_id: str
    opened_by: str
    agent_ids: tuple[AgentId, ...]
    opened_at: datetime
    ends_at: datetime
    missed_ids: tuple[AgentId, ...] = ()
