"""Jobs: what they are, and which way their state may go."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from saveos.protocol import AgentId, JobId, Kind, PolicyId, TenantId


class RunsOn(StrEnum):
    """Whose hands do it."""

    HOST = "host"
    APPLIANCE = "appliance"


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    WARNED = "warned"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.DONE, State.WARNED, State.FAILED, State.CANCELLED})
GOOD = frozenset({State.DONE, State.WARNED})

# Who holds a claimed host job: a daemon says with each heartbeat what it runs, a command line only runs.
OWNER_DAEMON = "daemon"
OWNER_COMMAND = "command"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A row to be done."""

    id: JobId
    tenant_id: TenantId
    agent_id: AgentId | None
    policy_id: PolicyId | None
    kind: Kind
    runs_on: RunsOn
    state: State
    order_json: str
    attempts: int
    attempts_limit: int
    not_before: datetime
    lease_until: datetime | None
    owner: str
    requested_by: str
    requested_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    error_code: str
    message: str
    warnings_count: int
    hostname: str | None = None
    error_facts_json: str = ""
    held_by: str = ""  # a code: why it is not handed out at present

    @property
    def error_facts(self) -> dict[str, Any]:
        """What a sentence about its failure needs, in any language; mostly nothing."""
        facts: dict[str, Any] = msgspec.json.decode(self.error_facts_json) if self.error_facts_json else {}
        return facts

    @property
    def is_stoppable(self) -> bool:
        """Whether a person may still stop it: half a roll-back is worse than all of it or none."""
        return self.cancel_requested_at is None and (self.kind is not Kind.ROLL_BACK or self.started_at is None)

    @property
    def order(self) -> dict[str, Any]:
        """What to do, as the feature that asked wrote it."""
        order: dict[str, Any] = msgspec.json.decode(self.order_json)
        return order


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be asked for. `due_key`: asked twice with the same key, it is made once."""

    id: JobId
    tenant_id: TenantId
    kind: Kind
    runs_on: RunsOn
    order: dict[str, Any]
    requested_by: str
    agent_id: AgentId | None = None
    policy_id: PolicyId | None = None
    priority: int = 0
    attempts_limit: int = 3
    due_key: str | None = None
    not_before: datetime | None = None  # None: now


class JobChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are looked for; what is empty excludes none. `search`: in the hostname."""

    search: str = ""
    states: tuple[State, ...] = ()
    kind: str = ""
    agent_id: str = ""


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list, newest first, and how many there are in all. `progress`: of those that run, by job id."""

    jobs: list[Job]
    progress: dict[JobId, JobProgress]
    total: int


class JobProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The last word of a running job. Rates per second; `eta_seconds` None: not known."""

    job_id: JobId
    updated_at: datetime
    phase: str
    files_count: int
    original_bytes: int
    compressed_bytes: int
    added_bytes: int
    total_files_count: int
    total_bytes: int
    current_path: str
    bytes_per_second: float
    files_per_second: float
    eta_seconds: float | None

    @property
    def fraction(self) -> float | None:
        """How much is done, 0 to 0.99; None when the total is unknown.

        Unchanged files pass by count, large ones by bytes: whichever is further is nearer to the truth.
        """
        fractions = [
            done / total
            for done, total in (
                (self.files_count, self.total_files_count),
                (self.original_bytes, self.total_bytes),
            )
            if total > 0
        ]
        return min(0.99, max(fractions)) if fractions else None


class JobLogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A kept line; `id` grows, so that a reader can ask for what is newer."""

    id: int
    at: datetime
    level: str
    line: str
