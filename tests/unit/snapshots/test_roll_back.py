"""What a roll-back changes among the snapshots: there, back again, and back once more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.database.identifiers import new_id
from saveos.errors import IllegalTransition, InvalidRequest, NotAllowed, NotFound
from saveos.identity.principals import Actor, Principal, Role
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn, State
from saveos.protocol import AgentId, JobId, Kind
from saveos.repositories import keeping, maintenance, quarantine, table_checkpoints
from saveos.repositories import table as repositories
from saveos.repositories.model import Checkpoint, CheckpointState, CheckpointWhy
from saveos.snapshots import checkpoints, roll_back, table, table_anomalies, table_protection
from tests.support.big_fleet import plant
from tests.ui import board

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from saveos.jobs.model import Job
    from saveos.parts import Parts
    from saveos.snapshots.model import Snapshot


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("roll-back")) as made:
        plant(made.settings.database, 1, 4)
        yield made


class Host:
    """The one host with four snapshots, and a clock that goes as it is told."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.database = parts, parts.database
        self.principal, _cookie = board.sign_in(parts)
        row = self.database.read.execute("SELECT id, tenant_id FROM agents").fetchone()
        self.id, self.tenant_id = AgentId(row["id"]), row["tenant_id"]
        self.now = datetime.now(UTC)
        self.database.write(self._add_repository)
        clock.set_source(lambda: self.now)

    def _add_repository(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at) VALUES ('rep_1', ?, ?, 'ready', '')",
            (self.tenant_id, self.id),
        )

    def later(self) -> datetime:
        self.now += timedelta(minutes=10)
        return self.now

    def keep(self, why: CheckpointWhy = CheckpointWhy.RETENTION, job_id: str = "") -> Checkpoint:
        """Keep a checkpoint of now."""
        made = Checkpoint(
            id=new_id("chk"),
            tenant_id=self.tenant_id,
            agent_id=self.id,
            moment=1,
            made_at=self.later(),
            why=why,
            job_id=job_id,
            expires_at=self.now + timedelta(days=14),
            state=CheckpointState.MADE,
        )
        self.database.write(lambda connection: table_checkpoints.insert(connection, made))
        return made

    def remove(self, *archive_ids: str) -> None:
        self.later()
        self.database.write(
            lambda connection: table_protection.remove(connection, self.id, archive_ids, "retention", "job_r")
        )

    def lose(self, *archive_ids: str) -> None:
        self.later()
        self.database.write(lambda connection: table_protection.set_lost(connection, self.id, archive_ids, self.now))

    def roll_back(self, checkpoint: Checkpoint) -> Checkpoint:
        """Do it as the worker does; what was foretold has to happen. Return what stood there before."""
        foreseen = roll_back.foresee(self.database, self.principal, self.id, checkpoint.id)
        before = set(self.good())
        job = self.begin()
        spare = self.keep(CheckpointWhy.ROLL_BACK, job.id)
        self.later()
        for _ in range(2):  # a kill in between
            count = self.database.write(lambda connection: checkpoints.settle_roll_back(connection, job, checkpoint, 1))
        self.database.write(lambda connection: jobs.end(connection, job.id, State.DONE, "", "", 0))
        now = set(self.good())
        assert (foreseen.comes_back.count, foreseen.goes.count) == (len(now - before), len(before - now))
        assert {one.archive_id for one in foreseen.comes_back.snapshots} == now - before
        assert count == 0
        return spare

    def begin(self, checkpoint_id: str = "chk") -> Job:
        made = NewJob(
            id=JobId(new_id("job")),
            tenant_id=self.tenant_id,
            agent_id=self.id,
            kind=Kind.ROLL_BACK,
            runs_on=RunsOn.APPLIANCE,
            order={"checkpoint": checkpoint_id},
            requested_by="user:anna",
        )
        return self.database.write(lambda connection: lifecycle.request(connection, made))

    def snapshots(self) -> list[Snapshot]:
        return table.of_agent(self.database.read, self.id)

    def good(self) -> list[str]:
        """Return the archives of its good snapshots, newest first."""
        return [
            one.archive_id for one in sorted(self.snapshots(), key=lambda one: one.started_at) if one.standing == "good"
        ][::-1]


@pytest.fixture
def host(parts: Parts) -> Iterator[Host]:
    yield Host(parts)
    clock.set_source(None)


def test_roll_back_is_undone_and_done_again(host: Host) -> None:
    first, second, third, fourth = host.good()
    checkpoint = host.keep()
    host.remove(third)
    host.lose(fourth)

    spare = host.roll_back(checkpoint)
    assert [first, second, third, fourth] == host.good()

    again = host.roll_back(spare)
    assert [first, second] == host.good()

    host.roll_back(again)
    assert [first, second, third, fourth] == host.good()


def test_roll_back_to_a_moment_at_which_something_was_away_leaves_it_away(host: Host) -> None:
    first, second, third, fourth = host.good()
    before = host.keep()
    host.remove(third)
    between = host.keep()
    host.remove(fourth)
    host.roll_back(before)
    host.remove(second)

    host.roll_back(between)

    assert [first, second, fourth] == host.good()


def test_roll_back_to_a_moment_at_which_something_was_lost_leaves_it_lost(host: Host) -> None:
    first, second, third, fourth = host.good()
    host.lose(third)
    host.lose(second)
    between = host.keep()
    host.remove(third)
    host.lose(fourth)

    host.roll_back(between)

    assert [first, fourth] == host.good()
    assert {second, third} == {one.archive_id for one in host.snapshots() if one.standing == "lost"}


def test_what_was_suspect_before_it_was_lost_comes_back_suspect(host: Host) -> None:
    newest = host.good()[0]
    checkpoint = host.keep()
    suspect = next(one.id for one in host.snapshots() if one.archive_id == newest)
    host.database.write(lambda connection: table_anomalies.set_suspect(connection, suspect))
    host.lose(newest)

    job = host.begin()
    host.database.write(lambda connection: checkpoints.settle_roll_back(connection, job, checkpoint, 1))

    assert ["suspect"] == [one.standing for one in host.snapshots() if one.archive_id == newest]


def test_foresee_knows_neither_other_hosts_nor_half_made_checkpoints(host: Host) -> None:
    checkpoint = host.keep()
    with pytest.raises(NotFound):
        roll_back.foresee(host.database, host.principal, "agt_other", checkpoint.id)
    host.database.write(lambda connection: connection.execute("UPDATE checkpoints SET state = 'making'").rowcount)
    with pytest.raises(NotFound):
        roll_back.foresee(host.database, host.principal, host.id, checkpoint.id)


def test_running_compaction_is_told_to_stop_and_keeps_the_repository_until_it_has(host: Host) -> None:
    ended: list[str] = []
    endings = {Kind.COMPACT: lambda _connection, job, _state, _report: ended.append(job.id)}

    def begin(connection: sqlite3.Connection, kind: Kind, *, runs: bool) -> JobId:
        made = NewJob(
            id=JobId(new_id("job")),
            tenant_id=host.tenant_id,
            agent_id=host.id,
            kind=kind,
            runs_on=RunsOn.APPLIANCE,
            order={},
            requested_by="system:retention",
        )
        lifecycle.request(connection, made)
        if runs:
            jobs.claim(connection, made.id, "appliance", clock.now() + timedelta(hours=1))
        return made.id

    running = host.database.write(lambda connection: begin(connection, Kind.COMPACT, runs=True))
    waiting = host.database.write(lambda connection: begin(connection, Kind.COMPACT, runs=False))

    host.database.write(lambda connection: checkpoints.cancel_writes(connection, host.id, endings))

    found = {one: jobs.get(host.database.read, one) for one in (running, waiting)}
    assert [State.RUNNING, State.CANCELLED] == [job.state for job in found.values() if job is not None]
    assert all(job is not None and job.cancel_requested_at is not None for job in found.values())
    assert [waiting] == ended


def test_roll_back_is_stopped_by_those_who_may_ask_for_it_and_only_until_it_begins(host: Host) -> None:
    operator = Principal(actor=Actor.USER, id="usr_2", tenant_id=host.tenant_id, role=Role.OPERATOR)
    job = host.begin()
    with pytest.raises(NotAllowed):
        lifecycle.cancel(host.database, operator, job.id, {})
    assert lifecycle.cancel(host.database, host.principal, job.id, {}).state is State.CANCELLED

    begun = host.begin()
    host.database.write(lambda connection: jobs.claim(connection, begun.id, "appliance", clock.now()))
    host.database.write(lambda connection: jobs.requeue(connection, begun.id, clock.now(), "cut off"))
    with pytest.raises(IllegalTransition):
        lifecycle.cancel(host.database, host.principal, begun.id, {})


def test_checkpoint_is_kept_while_its_repository_is_to_go_back_to_it(host: Host) -> None:
    checkpoint = host.keep()
    settings = host.parts.settings
    place = quarantine.place(settings, host.tenant_id, host.id, checkpoint.id)
    place.mkdir(parents=True)
    job = host.begin(checkpoint.id)
    maintenance.let_go(host.database, settings, checkpoint)
    assert place.is_dir()

    lifecycle.cancel(host.database, host.principal, job.id, {})
    maintenance.let_go(host.database, settings, checkpoint)

    assert not place.exists()
    assert table_checkpoints.get(host.database.read, checkpoint.id) is None


def test_what_is_left_of_checkpoints_that_nobody_knows_is_removed(host: Host) -> None:
    kept = host.keep()
    folder = quarantine.place(host.parts.settings, host.tenant_id, host.id, "")
    for name in (kept.id, "chk_unknown", "chk_half.making"):
        (folder / name / "data").mkdir(parents=True)
    repository = repositories.of_agent(host.database.read, host.id)
    assert repository is not None

    maintenance.clear(host.database, host.parts.settings, repository)

    assert [kept.id] == [path.name for path in folder.iterdir()]


def test_days_are_for_administrators_and_within_a_year(host: Host) -> None:
    keeping.choose_days(host.database, host.principal, 0)
    assert 0 == keeping.days(host.database, host.principal)
    for wrong in (-1, 366):
        with pytest.raises(InvalidRequest):
            keeping.choose_days(host.database, host.principal, wrong)
    operator = Principal(actor=Actor.USER, id="usr_2", tenant_id=host.tenant_id, role=Role.OPERATOR)
    with pytest.raises(NotAllowed):
        keeping.choose_days(host.database, operator, 3)

    assert 0 == keeping.days(host.database, operator)
