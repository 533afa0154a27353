"""Which repository a host's session gets: its own, or for a restore that runs, that of the host which lends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agents import table as agents
from saveos.agents.model import AgentIdentity, AgentState
from saveos.database.connection import connect
from saveos.database.migrations import migrate
from saveos.errors import NotAllowed
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn, State
from saveos.protocol import AgentId, JobId, Kind, Lender, RestoreOrder, TenantId, TunnelMode
from saveos.repositories.access import _lent
from saveos.tenants.table import insert_tenant

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

OWN, OTHER = TenantId("ten_own"), TenantId("ten_other")
LENDER, BORROWER, THIEF = AgentId("agt_lender"), AgentId("agt_borrower"), AgentId("agt_thief")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Two tenants, three hosts, one restore of the lender's snapshot that runs on the borrower."""
    path = tmp_path / "saveos.db"
    migrate(path)
    connection = connect(path)
    connection.execute("PRAGMA foreign_keys = OFF")  # policies are of no matter here
    for tenant in (OWN, OTHER):
        insert_tenant(connection, tenant, tenant, bytes(32))
    for agent_id, tenant in ((LENDER, OWN), (BORROWER, OWN), (THIEF, OTHER)):
        values = {"id": agent_id, "tenant_id": tenant, "hostname": agent_id, "platform": "linux", "policy_id": "pol"}
        agents.insert(connection, values | {"agent_version": "", "address": "", "enrolled_at": "2026-11-25T00:00:00Z"})
    lend(connection, "job_lent", BORROWER, OWN)
    yield connection
    connection.close()


def lend(connection: sqlite3.Connection, job_id: str, agent_id: AgentId, tenant: TenantId) -> None:
    order = RestoreOrder(archive="a", target="/t", lender=Lender(agent_id=LENDER))
    job = NewJob(
        id=JobId(job_id), tenant_id=tenant, agent_id=agent_id, kind=Kind.RESTORE, runs_on=RunsOn.HOST,
        order={"restore": msgspec.to_builtins(order)}, requested_by="test", priority=1,
    )  # fmt: skip
    jobs.insert(connection, job)
    connection.execute("UPDATE jobs SET state = 'running' WHERE id = ?", (job_id,))


def host(agent_id: AgentId, tenant: TenantId = OWN) -> AgentIdentity:
    return AgentIdentity(
        agent_id=agent_id, tenant_id=tenant, hostname="", serial="1", is_renewal_due=False, state=AgentState.READY
    )


def test_restore_that_runs_reads_the_lenders_repository(database: sqlite3.Connection) -> None:
    assert LENDER == _lent(database, host(BORROWER), TunnelMode.READ, "job_lent")


def test_restore_that_runs_never_writes_there(database: sqlite3.Connection) -> None:
    with pytest.raises(NotAllowed):
        _lent(database, host(BORROWER), TunnelMode.WRITE, "job_lent")


def test_restore_that_has_ended_reads_nothing_more(database: sqlite3.Connection) -> None:
    jobs.end(database, JobId("job_lent"), State.DONE, "", "", 0)

    with pytest.raises(NotAllowed):
        _lent(database, host(BORROWER), TunnelMode.READ, "job_lent")


@pytest.mark.parametrize("job_id", ["job_lent", "job_unknown", "", None])
def test_another_host_gets_its_own_repository_alone(database: sqlite3.Connection, job_id: str | None) -> None:
    assert _lent(database, host(LENDER), TunnelMode.READ, job_id) is None
    assert _lent(database, host(THIEF, OTHER), TunnelMode.READ, job_id) is None


def test_host_of_another_tenant_is_lent_nothing_whatever_its_order_says(database: sqlite3.Connection) -> None:
    lend(database, "job_stolen", THIEF, OTHER)

    with pytest.raises(NotAllowed):
        _lent(database, host(THIEF, OTHER), TunnelMode.READ, "job_stolen")
