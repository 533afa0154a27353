"""How far a check is, what it found, and what clears it; and what a host says beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.errors import Conflict
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.proofs import checks, damages, table, verifications
from saveos.proofs.model import FoundBy
from saveos.protocol import AgentId, JobReport, Kind, LocatedArchive, Outcome, TenantId, VerifyFacts
from saveos.repositories.checking_words import Found, Said
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.proofs.model import Check

TENANT = TenantId("ten_1")
OBJECT, OTHER = "ab" * 32, "cd" * 32
LOOSE = "segment 3, byte 8"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    clock.set_source(lambda: now)
    yield World.made(tmp_path / "data")
    clock.set_source(None)


@pytest.fixture
def host(world: World) -> AgentId:
    agent_id = AgentId(world.add_host("atelier"))
    add_repository(world, agent_id)
    for _number in range(3):
        world.add_snapshot(agent_id)
    return agent_id


def add_repository(world: World, agent_id: str, days: int = 30) -> None:
    world.database.write(
        lambda connection: connection.execute(
            "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at) VALUES (?, ?, ?, 'ready', ?)",
            (f"rep_{agent_id}", TENANT, agent_id, clock.to_text(clock.now() - timedelta(days=days))),
        )
    )


def pass_time(**span: float) -> None:
    later = clock.now() + timedelta(**span)
    clock.set_source(lambda: later)


def begin(world: World, host: AgentId) -> tuple[int, tuple[str, ...]]:
    return world.database.write(lambda connection: checks.begin(connection, host, TENANT))


def hear(world: World, host: AgentId, **said: Any) -> Check:
    return world.database.write(lambda connection: checks.advance(connection, host, TENANT, Said(**said)))


def found(place: str, what: str = "checksum") -> tuple[Found, ...]:
    return (Found(place=place, what=what, segment=3),)


def places(world: World, host: AgentId) -> list[str]:
    return [damage.place for damage in table.open_damages(world.database.read, host)]


def alert(world: World, host: AgentId) -> dict[str, Any] | None:
    known = alerts.open_of_kind(world.database.read, TENANT, host, AlertKind.DAMAGE)
    return known.evidence if known else None


def standings(world: World) -> list[str]:
    return [row[0] for row in world.database.read.execute("SELECT standing FROM snapshots ORDER BY id").fetchall()]


def archive_ids(world: World) -> list[tuple[str, str]]:
    rows = world.database.read.execute("SELECT archive, archive_id FROM snapshots ORDER BY id").fetchall()
    return [(row[0], row[1]) for row in rows]


def verified(world: World, host: AgentId, **facts: Any) -> None:
    """Let the host do a verification and say this."""

    def write(connection: Any) -> None:
        job = verifications.queue(connection, host, TENANT, 0)
        report = JobReport(outcome=Outcome.DONE, verified=VerifyFacts(**facts))
        verifications.record_end(connection, job, State.DONE, report)

    world.database.write(write)


def test_check_goes_on_where_it_was_and_ends(world: World, host: AgentId) -> None:
    assert begin(world, host) == (-1, ())
    hear(world, host, segment=4, read_bytes=100, objects_count=7)
    assert begin(world, host) == (4, ())
    hear(world, host, segment=6, read_bytes=50, objects_count=2)

    ended = hear(world, host, segment=6, is_end=True)

    assert (ended.checked_at, ended.began_at, ended.segment) == (clock.now(), None, -1)
    (done,) = table.passes(world.database.read, TENANT, clock.now() - timedelta(days=1), clock.now() + timedelta(1))
    assert (done.kind, done.read_bytes, done.objects_count, done.damages_count) == ("check", 150, 9, 0)


def test_check_of_a_repository_that_was_rolled_back_begins_anew(world: World, host: AgentId) -> None:
    begin(world, host)
    hear(world, host, segment=4)
    world.database.write(lambda connection: connection.execute("UPDATE repositories SET generation = 1"))

    with pytest.raises(Conflict):
        hear(world, host, segment=6, is_end=True)

    assert begin(world, host) == (-1, ())
    assert hear(world, host, segment=6, is_end=True).checked_at == clock.now()


def test_damage_opens_one_alert_that_ends_when_all_is_sound(world: World, host: AgentId) -> None:
    begin(world, host)
    hear(world, host, segment=3, damages=found(OBJECT))
    hear(world, host, segment=4, damages=found(OTHER))
    evidence = alert(world, host)
    assert evidence is not None
    assert (evidence["host"], evidence["objects"], evidence["is_located"]) == ("atelier", 2, False)
    hear(world, host, segment=4, is_end=True)

    assert begin(world, host) == (-1, (OBJECT, OTHER))
    hear(world, host, sound=(OBJECT,))
    assert places(world, host) == [OTHER]
    hear(world, host, sound=(OTHER,))

    assert (places(world, host), alert(world, host)) == ([], None)


def test_bytes_that_nothing_needs_are_damage_without_a_snapshot_until_a_pass_does_not_find_them(
    world: World, host: AgentId
) -> None:
    for is_there in (True, True, False):
        pass_time(days=7)
        begin(world, host)
        pass_time(minutes=1)
        hear(world, host, segment=3, damages=found(LOOSE) if is_there else ())
        hear(world, host, segment=4, is_end=True)

        assert places(world, host) == ([LOOSE] if is_there else [])
        evidence = alert(world, host)
        assert (evidence is not None) == is_there
        assert evidence is None or (evidence["objects"], evidence["loose_bytes"], evidence["good_snapshots"]) == (
            0,
            1,
            3,
        )


def test_host_locates_what_is_damaged_and_the_others_stay_good(world: World, host: AgentId) -> None:
    begin(world, host)
    hear(world, host, segment=3, damages=found(OBJECT))
    name, archive_id = archive_ids(world)[1]
    located = LocatedArchive(name=name, archive_id=archive_id, files_count=1, files=("srv/a",))

    verified(world, host, damaged=(OBJECT,), is_located=True, archives_count=3, located=(located,))

    assert standings(world) == ["good", "damaged", "good"]
    evidence = alert(world, host)
    assert evidence is not None
    assert (evidence["archives"], evidence["files"], evidence["is_located"]) == ([name], ["srv/a"], True)
    assert (evidence["good_snapshots"], evidence["snapshots"]) == (2, 3)
    assert evidence["snapshots_at"] == ["2026-01-01T02:00:00.000000Z"]
    begin(world, host)
    hear(world, host, sound=(OBJECT,))
    assert standings(world) == ["good", "good", "good"]


def test_what_the_appliance_sees_itself_no_host_talks_away(world: World, host: AgentId) -> None:
    begin(world, host)
    hear(world, host, segment=3, damages=found(OBJECT))

    verified(world, host, sound=(OBJECT,))

    assert places(world, host) == [OBJECT]


def test_what_only_decrypting_shows_a_check_does_not_clear_but_its_host_does(world: World, host: AgentId) -> None:
    verified(world, host, damaged=(OBJECT,))
    assert [damage.found_by for damage in table.open_damages(world.database.read, host)] == [FoundBy.VERIFY]

    assert begin(world, host) == (-1, ())
    hear(world, host, segment=9, is_end=True)
    assert places(world, host) == [OBJECT]
    verified(world, host, gone=(OBJECT,))

    assert places(world, host) == []


def test_host_that_tells_without_end_is_kept_within_bounds() -> None:
    many = [LocatedArchive(name=f"{n}", archive_id=f"{n:064x}", files=("x" * 16_000,) * 100) for n in range(3)]

    kept = damages.bounded(many)

    assert [archive.name for archive in kept] == ["0", "1", "2"]
    assert sum(len(path) for archive in kept for path in archive.files) <= damages.LOCATED_BYTES


def test_verification_goes_through_a_repository_part_by_part(world: World, host: AgentId) -> None:
    verified(world, host, marker=OBJECT, objects_count=10, read_bytes=100)
    pass_time(days=1)
    verified(world, host, marker="", objects_count=5, read_bytes=50)

    check = table.check_of(world.database.read, host, TENANT)

    assert (check.marker, check.verified_at) == ("", clock.now())
    (done,) = table.passes(world.database.read, TENANT, clock.now() - timedelta(days=9), clock.now() + timedelta(1))
    assert (done.kind, done.objects_count, done.read_bytes) == ("verify", 15, 150)


def test_repositories_are_checked_one_after_the_other_each_within_a_week(world: World, host: AgentId) -> None:
    other = AgentId(world.add_host("bureau"))
    add_repository(world, other, days=20)
    asked = []

    for _turn in range(4):
        assert world.database.write(checks.queue_due)
        assert not world.database.write(checks.queue_due)  # one at a time
        job = jobs.waiting_on_appliance(world.database.read, Kind.CHECK)
        assert job is not None
        assert job.agent_id is not None
        asked.append(job.agent_id)
        begin(world, job.agent_id)
        hear(world, job.agent_id, segment=1, is_end=True)
        world.database.write(lambda connection, ended=job: jobs.end(connection, ended.id, State.DONE, "", "", 0))
        pass_time(hours=1)
        if len(asked) == 2:
            assert not world.database.write(checks.queue_due)
            pass_time(days=7)

    assert asked == [host, other, host, other]


def test_check_that_cannot_be_done_lets_the_others_have_their_turn(world: World, host: AgentId) -> None:
    other = AgentId(world.add_host("bureau"))
    add_repository(world, other, days=20)
    world.database.write(lambda connection: table.ask_for_check(connection, host, TENANT))

    def fail() -> str | None:
        assert world.database.write(checks.queue_due)
        job = jobs.waiting_on_appliance(world.database.read, Kind.CHECK)
        assert job is not None

        def write(connection: Any) -> None:
            jobs.end(connection, job.id, State.FAILED, "repository-missing", "", 0)
            checks.record_end(connection, job, State.FAILED, JobReport(outcome=Outcome.FAILED))

        world.database.write(write)
        return job.agent_id

    assert [fail(), fail()] == [host, other]
    assert not world.database.write(checks.queue_due)
    pass_time(hours=6)
    assert fail() == host


def ask(world: World, host: AgentId) -> None:
    world.database.write(lambda connection: table.ask_for_check(connection, host, TENANT))


def next_host(world: World) -> str | None:
    now = clock.now()
    found = table.next_to_check(world.database.read, now, now - checks.PERIOD, now - checks.FIRST_AFTER)
    return found[0] if found else None


def test_check_that_is_asked_for_while_one_is_under_way_reads_all_from_then_on(world: World, host: AgentId) -> None:
    ask(world, host)
    begin(world, host)
    hear(world, host, segment=3)

    ask(world, host)  # what was read before this may have changed since
    hear(world, host, segment=4, is_end=True)

    assert next_host(world) == host
    begin(world, host)
    hear(world, host, segment=4, is_end=True)
    assert next_host(world) is None


def test_check_that_is_asked_for_before_anything_is_read_is_the_one_that_begins(world: World, host: AgentId) -> None:
    begin(world, host)

    ask(world, host)
    hear(world, host, segment=4, is_end=True)

    assert next_host(world) is None


def test_check_that_is_asked_for_while_one_fails_comes_after_the_others_had_their_turn(
    world: World, host: AgentId
) -> None:
    other = AgentId(world.add_host("bureau"))
    add_repository(world, other, days=20)
    ask(world, host)
    assert world.database.write(checks.queue_due)
    job = jobs.waiting_on_appliance(world.database.read, Kind.CHECK)
    assert job is not None
    begin(world, host)
    hear(world, host, segment=3)
    ask(world, host)

    world.database.write(
        lambda connection: checks.record_end(connection, job, State.FAILED, JobReport(outcome=Outcome.FAILED))
    )

    assert next_host(world) == other
    pass_time(hours=6)
    assert begin(world, host)[0] == 3  # it goes on, and then all is read once more
    hear(world, host, segment=4, is_end=True)
    assert next_host(world) == host


def test_repository_that_is_back_is_missing_no_more(world: World, host: AgentId) -> None:
    begin(world, host)
    world.database.write(lambda connection: checks.note_missing(connection, host, TENANT))
    evidence = alert(world, host)
    assert evidence is not None
    assert evidence["is_missing"]

    begin(world, host)
    hear(world, host, segment=1)

    assert alert(world, host) is None
