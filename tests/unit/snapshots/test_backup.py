"""When a snapshot began: never before its job did, whatever its host says."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn, State
from saveos.policies import defaults
from saveos.protocol import AgentId, ArchiveFacts, JobId, JobReport, Kind, Outcome, TenantId
from saveos.snapshots import backup, table
from saveos.tenants import users
from tests.support.big_fleet import plant

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

YEAR = 365 * 86400.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "saveos.db")
    made = Database(tmp_path / "saveos.db")
    users.create_administrator(made, "anna@example.org", "correct horse battery", "en", defaults.give_default)
    plant(tmp_path / "saveos.db", 1, 1)
    yield made
    made.close()


def snapshot_of(connection: sqlite3.Connection, duration: float) -> tuple[datetime, datetime]:
    """Back up for an hour, claim this duration; return when the job and its snapshot began."""
    agent = connection.execute("SELECT id, tenant_id FROM agents").fetchone()
    order = {"backup": {"archive": "x"}}
    job = NewJob(
        id=JobId("job_x"),
        tenant_id=TenantId(agent["tenant_id"]),
        agent_id=AgentId(agent["id"]),
        kind=Kind.BACKUP,
        runs_on=RunsOn.HOST,
        order=order,
        requested_by="system:schedule",
    )
    lifecycle.request(connection, job)
    began = clock.now()
    claimed = jobs.claim_for_host(connection, AgentId(agent["id"]), began + timedelta(minutes=5))
    assert claimed is not None
    assert claimed.started_at is not None
    facts = ArchiveFacts(name="x", archive_id="0" * 64, duration_seconds=duration)
    clock.set_source(lambda: began + timedelta(hours=1))
    try:
        backup.record_end(connection, claimed, State.DONE, JobReport(outcome=Outcome.DONE, archive=facts))
    finally:
        clock.set_source(None)
    newest = table.newest(connection, agent["id"])
    assert newest is not None
    return claimed.started_at, newest.started_at


@pytest.mark.parametrize(("duration", "seconds_after"), [(YEAR, 0), (3600, 0), (600, 3000)])
def test_snapshot_began_after_its_job(database: Database, duration: float, seconds_after: float) -> None:
    job_began, began = database.write(lambda connection: snapshot_of(connection, duration))

    assert abs(began - job_began - timedelta(seconds=seconds_after)) < timedelta(seconds=1)
    assert began >= job_began
