"""Hosts under protection, and the right to become one."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from saveos.protocol import (
    AgentId,
    Answer,
    Kind,
    MachineClass,
    Platform,
    PolicyId,
    ProvisioningId,
    Question,
    QuestionId,
    TenantId,
)

SILENT_AFTER = timedelta(seconds=90)  # an agent's longest wait for an answer is 60 s
AGING_AFTER, STALE_AFTER = timedelta(days=14), timedelta(days=30)  # of a proof that backups can be restored


class AgentState(StrEnum):
    """How far a host has come."""

    ENROLLED = "enrolled"  # it has an identity; its repository and sealed key are being made
    READY = "ready"
    REVOKED = "revoked"


class KeyMode(StrEnum):
    """Who can open a host's key."""

    SEALED = "sealed"  # whoever has the recovery code
    MANAGED = "managed"  # the appliance too, at any time


class Proof(StrEnum):
    """How fresh the proof is that a host's backups can be restored."""

    PROVEN = "proven"
    YOUNG = "young"  # there is none yet, and the host is new
    AGING = "aging"
    STALE = "stale"


Hours = Annotated[int, Meta(ge=1, le=24 * 366)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """For how many hours after it was due a backup may be missing, for each class of machine."""

    server: Hours = 24
    workstation: Hours = 3 * 24
    laptop: Hours = 14 * 24

    def of(self, machine_class: MachineClass) -> int:
        """Return the hours of a class."""
        hours: int = getattr(self, machine_class.value)
        return hours


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Our program enrolled on one host."""

    id: AgentId
    tenant_id: TenantId
    hostname: str
    platform: Platform
    state: AgentState
    policy_id: PolicyId
    agent_version: str
    system: str
    time_zone: str
    address: str
    clock_skew_seconds: float  # the host's clock minus ours
    enrolled_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None
    next_backup_at: datetime | None
    last_backup_at: datetime | None = None  # of its newest snapshot
    snapshots_count: int = 0
    build: str = ""  # SHA-256 of its executable without the stamp; "": from source, or an agent too old to say
    key_mode: KeyMode = KeyMode.SEALED
    proven_at: datetime | None = None  # when a restore drill last gave back what was backed up
    kinds: str = ""  # of jobs that it knows beside backup, restore and update, with spaces between
    machine: str = ""  # a MachineClass that it first said of itself, or something that this appliance does not know
    machine_class: str = ""  # as a person says; "": as it says itself
    due_at: datetime | None = None  # when a backup was due first that has not been made yet; our outages do not count

    def knows(self, kind: Kind) -> bool:
        """Return whether it can do such a job; an older agent would not even understand the word."""
        return kind.value in self.kinds.split()

    def proof_at(self, now: datetime) -> Proof:
        """Return how fresh the proof is that its backups can be restored."""
        age = now - (self.proven_at or self.enrolled_at)
        if age >= STALE_AFTER:
            return Proof.STALE
        if age >= AGING_AFTER:
            return Proof.AGING
        return Proof.PROVEN if self.proven_at is not None else Proof.YOUNG

    @property
    def lives_as(self) -> MachineClass:
        """What counts: what a person says, else what it says itself, else a server, which is missed the soonest."""
        for said in (self.machine_class, self.machine):
            if said in MachineClass.__members__.values():
                return MachineClass(said)
        return MachineClass.SERVER

    def is_online_at(self, now: datetime) -> bool:
        """Return whether it was heard of lately."""
        return self.state is not AgentState.REVOKED and self.seen_at is not None and now - self.seen_at < SILENT_AFTER


class Provisioning(msgspec.Struct, frozen=True, kw_only=True):
    """The right, valid once and for a time, to enrol one agent."""

    id: ProvisioningId
    tenant_id: TenantId
    hostname: str
    platform: Platform
    policy_id: PolicyId
    prefix: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    downloaded_at: datetime | None
    spent_at: datetime | None
    agent_id: AgentId | None
    batch_id: str = ""  # those made together share it
    withdrawn_at: datetime | None = None

    def is_open_at(self, now: datetime) -> bool:
        """Return whether a host may still enrol with it."""
        return self.spent_at is None and self.withdrawn_at is None and self.expires_at > now


class AgentCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The certificate by which a host is known. `renews_at`: from then on the host asks for the next one."""

    serial: str  # hex
    issued_at: datetime
    expires_at: datetime
    renews_at: datetime
    revoked_at: datetime | None


class AgentIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who is at the other end of an authenticated agent connection."""

    agent_id: AgentId
    tenant_id: TenantId
    hostname: str
    serial: str
    is_renewal_due: bool
    state: AgentState
    is_listing_wanted: bool = False  # of a snapshot that the catalogue lacks


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant's fleet in numbers."""

    agents_count: int
    online_count: int
    protected_count: int  # with at least one snapshot
    revoked_count: int
    snapshots_count: int
    original_bytes: int  # of each host's newest snapshot
    added_bytes: int  # of all snapshots: what the repositories took in
    jobs_running_count: int
    jobs_queued_count: int
    jobs_failed_day_count: int  # in the last 24 h


class QuestionState(StrEnum):
    """How far a question to a host is."""

    WAITING = "waiting"  # the host has not heard it
    ANSWERING = "answering"  # it has; what it said so far is there
    ANSWERED = "answered"
    EXPIRED = "expired"  # nothing was heard in time
    WITHDRAWN = "withdrawn"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a host as who asked it sees it; `answer` is what came so far. Its names are the host's words."""

    question_id: QuestionId
    agent_id: AgentId
    state: QuestionState
    asked_at: datetime
    answer: Answer | None


class AskedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A question as it is kept."""

    id: QuestionId
    tenant_id: TenantId
    agent_id: AgentId
    question_json: str
    asked_at: datetime
    taken_at: datetime | None = None
    heard_at: datetime | None = None
    answered_at: datetime | None = None
    withdrawn_at: datetime | None = None
    answer_json: str | None = None

    @property
    def question(self) -> Question:
        """Return what was asked."""
        return msgspec.json.decode(self.question_json, type=Question)

    @property
    def answer(self) -> Answer | None:
        """Return what the host has said so far."""
        return msgspec.json.decode(self.answer_json, type=Answer) if self.answer_json else None
