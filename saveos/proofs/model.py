"""What is known of a repository's soundness, and of the restores that proved it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from saveos.protocol import AgentId, DrillStatement, JobId, LocatedArchive, TenantId


class FoundBy(StrEnum):
    """Who saw a damage first."""

    CHECK = "check"  # the appliance, reading its disk
    VERIFY = "verify"  # the host, with its key
    DRILL = "drill"


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a repository that is not what was written.

    `place`: an object's id in hex, or words for bytes that no object lies in. `what`: checksum, missing, unreadable,
    index, decryption. `located`: the archives that need it, of those that were there at `located_at`; None: its host
    has not told yet. Without a moment it is to be located, again if something is known.
    """

    id: str
    tenant_id: TenantId
    agent_id: AgentId
    place: str
    what: str
    segment: int  # -1: not known
    found_at: datetime
    seen_at: datetime  # the last time
    found_by: FoundBy
    located_at: datetime | None
    located: tuple[LocatedArchive, ...] | None
    cleared_at: datetime | None
    cleared_why: str
    hostname: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How far a repository is checked: on the disk by the appliance, and decrypted by its host.

    `segment`: the last one read in this pass. `is_asked`: another one is to begin. `began_at`, `verify_began_at`: of
    the pass under way. `marker`: of the host's pass, the last object's id. `*_bytes` and `*_count`: of the pass under
    way, else of the last one.
    """

    agent_id: AgentId
    tenant_id: TenantId
    generation: int = 0  # of the repository, when the pass began
    segment: int = -1
    began_at: datetime | None = None
    read_bytes: int = 0
    objects_count: int = 0
    checked_at: datetime | None = None  # the end of the last whole pass
    is_asked: bool = False
    not_before: datetime | None = None  # the last check could not be done
    marker: str = ""
    verify_began_at: datetime | None = None
    verify_read_bytes: int = 0
    verify_objects_count: int = 0
    verified_at: datetime | None = None


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """A whole reading of a repository. `kind`: check or verify."""

    agent_id: AgentId
    kind: str
    began_at: datetime
    ended_at: datetime
    read_bytes: int
    objects_count: int
    damages_count: int


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """A restore drill that its host signed. `statement_text` is what was signed; `chain_pem`: leaf, intermediate."""

    id: str
    tenant_id: TenantId
    agent_id: AgentId
    job_id: JobId
    received_at: datetime
    nonce: str
    statement_text: str
    signature: str
    thumbprint: str
    files_count: int
    original_bytes: int
    mismatches_count: int
    restore_seconds: float
    chain_pem: str = ""
    hostname: str = ""

    @property
    def is_good(self) -> bool:
        """Whether it proves something, and nothing against it."""
        return self.files_count > 0 and not self.mismatches_count

    @property
    def statement(self) -> DrillStatement:
        """What the host says."""
        return msgspec.json.decode(self.statement_text, type=DrillStatement)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """One host's proofs: how far its repository is checked, what is damaged now, its last drills, newest first.

    `evidence`: what the alert about the damage says.
    """

    check: Check
    damages: list[Damage]
    drills: list[Drill]
    sound_count: int  # snapshots that need nothing damaged
    snapshots_count: int
    evidence: dict[str, Any] = {}
