"""Which host needs a person?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.agents.model import Agent
from saveos.jobs.model import Job
from saveos.snapshots.fleet import NEEDY, Need, need_of
from saveos.snapshots.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=9)
TEXTS = {"tenant_id": "tnt_1", "agent_id": "agt_1", "policy_id": "pol_1", "job_id": "job_1"}


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def agent(**values: Any) -> Agent:
    known = {"id": "agt_1", "hostname": "web", "platform": "linux", "state": "ready", "enrolled_at": LONG_AGO}
    texts = dict.fromkeys(("agent_version", "system", "time_zone", "address"), "")
    rest = dict.fromkeys(("seen_at", "revoked_at", "next_backup_at"))
    return msgspec.convert({**TEXTS, **known, **texts, **rest, "clock_skew_seconds": 0.0, **values}, Agent)


def snapshot() -> Snapshot:
    counts = dict.fromkeys(("files_count", "original_bytes", "compressed_bytes", "added_bytes", "warnings_count"), 1)
    known = {"id": "snp_1", "archive": "a", "archive_id": "a", "kind": "full", "sources": [], "duration_seconds": 1.0}
    return msgspec.convert({**TEXTS, **counts, **known, "started_at": LONG_AGO, "ended_at": LONG_AGO}, Snapshot)


def job() -> Job:
    nothing = dict.fromkeys(("lease_until", "started_at", "ended_at", "cancel_requested_at"))
    texts = dict.fromkeys(("order_json", "owner", "requested_by", "error_code", "message"), "")
    known = {"id": "job_1", "kind": "backup", "runs_on": "host", "state": "failed", "attempts": 1, "attempts_limit": 3}
    moments = {"not_before": NOW, "requested_at": NOW, "warnings_count": 0}
    return msgspec.convert({**TEXTS, **nothing, **texts, **known, **moments}, Job)


def test_need_of_a_host_with_a_timely_snapshot_is_nothing() -> None:
    assert need_of(agent(), snapshot(), None, None, NOW + timedelta(hours=1)) is Need.NOTHING


def test_need_of_a_frozen_host_is_a_person_whatever_else_it_lacks() -> None:
    assert need_of(agent(), snapshot(), job(), job(), NOW - timedelta(seconds=1), is_frozen=True) is Need.FROZEN
    assert need_of(agent(state="revoked"), snapshot(), None, None, None, is_frozen=True) is Need.REVOKED
    assert Need.FROZEN in NEEDY


def test_need_of_a_host_without_a_schedule_is_nothing() -> None:
    assert need_of(agent(), snapshot(), None, None, None) is Need.NOTHING


def test_need_of_a_host_past_its_grace_is_late() -> None:
    assert need_of(agent(), snapshot(), None, None, NOW - timedelta(seconds=1)) is Need.LATE


def test_need_of_a_host_whose_last_backup_failed_is_failed_even_while_it_tries_again() -> None:
    assert need_of(agent(), snapshot(), job(), job(), None) is Need.FAILED


def test_need_of_a_new_host_is_starting() -> None:
    assert need_of(agent(enrolled_at=NOW - timedelta(minutes=1)), None, None, None, None) is Need.STARTING


def test_need_of_a_host_in_its_first_backup_is_starting() -> None:
    assert need_of(agent(), None, job(), None, None) is Need.STARTING


def test_need_of_a_host_that_nothing_came_from_is_never() -> None:
    assert need_of(agent(), None, None, None, None) is Need.NEVER


def test_need_of_a_revoked_host_is_no_longer_ours() -> None:
    assert need_of(agent(state="revoked"), None, None, job(), None) is Need.REVOKED
