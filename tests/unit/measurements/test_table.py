"""Samples in a real database: kept, thinned out, read back, and shown to those who may see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock, config
from saveos.agents.pulse import Pulse
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import NotAllowed
from saveos.identity.principals import Actor, Principal, Role
from saveos.measurements import outlook, reading, storage, table
from saveos.measurements.model import GRAINS, OPEN, Name, Range, Sample, floor, thinnings
from saveos.measurements.sample import Sampler
from saveos.protocol import AgentId, TenantId
from saveos.repositories import table as repositories
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 4, 12, 0, 10, tzinfo=UTC)
OURS, THEIRS = TenantId("tnt_1"), TenantId("tnt_2")


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    return config.load({"data": str(tmp_path)}, {})


@pytest.fixture
def database(settings: config.Settings) -> Iterator[Database]:
    clock.set_source(lambda: NOW)
    migrate(settings.database)
    made = Database(settings.database)
    made.write(lambda connection: tenants.insert_tenant(connection, OURS, "Ours", b""))
    yield made
    made.close()
    clock.set_source(None)


def person(role: Role = Role.VIEWER, tenant_id: TenantId = OURS) -> Principal:
    return Principal(actor=Actor.USER, id="usr_1", tenant_id=tenant_id, role=role)


def keep(database: Database, age: timedelta, **values: float) -> None:
    sample = Sample(at=NOW - age, **values)
    database.write(lambda connection: table.insert(connection, sample))


def rows(database: Database) -> list[tuple[int, int, float | None]]:
    found = database.read.execute("SELECT step, at, jobs_queued FROM measurements ORDER BY step, at").fetchall()
    return [tuple(row) for row in found]


def thin_out(database: Database, settings: config.Settings) -> int:
    return Sampler(database, settings, Pulse(), lambda: 0).thin_out()


@pytest.mark.parametrize("seconds", [0, 29, 299, 3599])
def test_thinnings_end_at_whole_steps(seconds: int) -> None:
    for thinning in thinnings(NOW + timedelta(seconds=seconds)):
        assert 0 == thinning.before % (thinning.coarse or thinning.fine)


def test_thin_out_makes_one_mean_of_what_is_older_than_a_day(database: Database, settings: config.Settings) -> None:
    for place in range(10):
        keep(database, timedelta(hours=25, seconds=-30 * place), jobs_queued=place)
    keep(database, timedelta(hours=1), jobs_queued=7)

    gone = thin_out(database, settings)

    old, young = floor(NOW - timedelta(hours=25), 300), floor(NOW - timedelta(hours=1), 30)
    assert 10 == gone
    assert [(30, young, 7.0), (300, old, 4.5)] == rows(database)


def test_thin_out_twice_changes_nothing_more(database: Database, settings: config.Settings) -> None:
    for hours in range(24, 24 * 40):
        keep(database, timedelta(hours=hours, minutes=7), jobs_queued=hours)
    thin_out(database, settings)
    once = rows(database)

    thin_out(database, settings)

    assert once == rows(database)
    assert {300, 3600} == {step for step, _at, _value in once}


def test_thin_out_forgets_after_two_years(database: Database, settings: config.Settings) -> None:
    keep(database, timedelta(days=731), jobs_queued=1)

    thin_out(database, settings)
    thin_out(database, settings)

    assert [] == rows(database)


def test_series_leave_gaps_where_nothing_was_measured(database: Database) -> None:
    keep(database, timedelta(minutes=10), disk_used_bytes=5)
    keep(database, timedelta(0), disk_used_bytes=7)

    found = reading.series(database, person(), [Name.DISK_USED_BYTES], Range.HOUR)[Name.DISK_USED_BYTES]

    assert 120 == len(found.values)
    assert {7.0, 5.0, None} == set(found.values)
    assert (7.0, 5.0) == (found.values[-1], found.values[-21])
    assert 7.0 == found.last


def test_series_weigh_rows_by_the_time_they_stand_for(database: Database) -> None:
    start = floor(NOW - timedelta(days=2), 3600)
    put = "INSERT INTO measurements (step, at, disk_used_bytes) VALUES (?, ?, ?)"
    database.write(lambda connection: connection.executemany(put, [(300, start, 10.0), (30, start + 300, 21.0)]))

    found = reading.series(database, person(), [Name.DISK_USED_BYTES], Range.WEEK)[Name.DISK_USED_BYTES]

    assert [11.0] == [value for value in found.values if value is not None]


def test_what_all_tenants_do_is_shown_while_there_is_one_tenant(database: Database) -> None:
    assert frozenset(Name) == reading.may_see(database, person())


@pytest.mark.parametrize(
    ("who", "is_shown"),
    [
        (person(Role.ADMINISTRATOR), True),
        (person(Role.OPERATOR), False),
        (person(Role.ADMINISTRATOR, THEIRS), False),
    ],
)
def test_what_all_tenants_do_is_for_administrators_of_the_first(
    database: Database, who: Principal, *, is_shown: bool
) -> None:
    clock.set_source(lambda: NOW + timedelta(seconds=1))
    database.write(lambda connection: tenants.insert_tenant(connection, THEIRS, "Theirs", b""))

    assert (frozenset(Name) if is_shown else OPEN) == reading.may_see(database, who)
    if not is_shown:
        with pytest.raises(NotAllowed):
            reading.series(database, who, [Name.JOBS_QUEUED], Range.DAY)


def test_sampler_counts_heartbeats_and_jobs(database: Database, settings: config.Settings) -> None:
    pulse = Pulse()
    sampler = Sampler(database, settings, pulse, lambda: 3)
    for _ in range(5):
        pulse.beat()

    taken = sampler.take()

    assert 3 == taken.tunnel_sessions
    assert 0 == taken.jobs_queued
    assert taken.heartbeats_per_minute and taken.heartbeats_per_minute > 5  # noqa: PT018 - there is one, and so many
    assert 0 == sampler.take().heartbeats_per_minute
    assert 1 == len(rows(database))  # both in one half minute


def test_repository_is_measured_when_somebody_was_there(database: Database, settings: config.Settings) -> None:
    clock.set_source(None)
    agent = AgentId("agt_1")
    _protect(database, agent)
    folder = repositories.repository_path(settings, OURS, agent)
    folder.mkdir(parents=True)
    (folder / "index.1").write_bytes(bytes(1000))

    counts = [storage.measure(database, settings)]
    clock.set_source(lambda: datetime.now(UTC) + timedelta(hours=1))
    counts += [storage.measure(database, settings), storage.measure(database, settings)]

    assert [1, 1, 0] == counts  # once more in case its clock is a little off, then left alone
    found = repositories.of_agent(database.read, agent)
    assert found is not None
    assert 1000 == found.stored_bytes


def test_outlook_rests_on_snapshots_until_the_disk_has_a_history(database: Database, settings: config.Settings) -> None:
    keep(database, timedelta(0), disk_used_bytes=5)

    found = outlook.storage_outlook(database, person(), settings)

    assert found.full_at is None
    assert not found.is_from_snapshots
    assert len(found.points) == GRAINS[Range.MONTH].span.total_seconds() // GRAINS[Range.MONTH].step_seconds
    assert found.used_bytes + found.free_bytes == found.total_bytes


def _protect(database: Database, agent: AgentId) -> None:
    now = clock.to_text(clock.now())

    def write(connection: object) -> None:
        connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
            " compression, created_at) VALUES ('pol_1', ?, 'p', '[]', '[]', '', '{}', 'lz4', ?)",
            (OURS, now),
        )
        connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, enrolled_at)"
            " VALUES (?, ?, 'web', 'linux', 'ready', 'pol_1', ?)",
            (agent, OURS, now),
        )
        repositories.insert(connection, OURS, agent)  # type: ignore[arg-type]

    database.write(write)
