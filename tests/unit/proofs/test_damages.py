"""What damage a host has located, what it is asked again, and how snapshots stand meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.proofs import damages, table, table_drills, turns, verifications
from saveos.proofs.model import FoundBy
from saveos.protocol import AgentId, JobReport, LocatedArchive, Outcome, TenantId, VerifyFacts, VerifyOrder
from saveos.repositories import table as repositories
from saveos.snapshots import guarding, table_anomalies, table_protection
from tests.support.catalogues import World

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from saveos.jobs.model import Job
    from saveos.proofs.model import Damage

TENANT = TenantId("ten_1")
OBJECT, OTHER, THIRD = "ab" * 32, "cd" * 32, "ef" * 32


class Host:
    """One host with a repository and three snapshots; its clock goes as it is told."""

    def __init__(self, world: World) -> None:
        self.world, self.database = world, world.database
        self.id = AgentId(world.add_host("atelier"))
        self.write(lambda connection: repositories.insert(connection, TENANT, self.id))
        self.write(lambda connection: connection.execute("UPDATE agents SET kinds = 'drill verify'"))
        for _number in range(3):
            self.back_up()

    def write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return self.database.write(work)

    def pass_time(self, **span: float) -> None:
        later = clock.now() + timedelta(**span)
        clock.set_source(lambda: later)

    def back_up(self) -> str:
        """Make a snapshot that has ended now; return its archive's id."""
        snapshot, _archive = self.world.add_snapshot(self.id)
        now = clock.to_text(clock.now())
        self.write(
            lambda connection: connection.execute("UPDATE snapshots SET ended_at = ? WHERE id = ?", (now, snapshot))
        )
        return self.archives()[-1][1]

    def archives(self) -> list[tuple[str, str]]:
        rows = self.database.read.execute("SELECT archive, archive_id FROM snapshots ORDER BY id").fetchall()
        return [(row[0], row[1]) for row in rows]

    def located(self, number: int, *files: str, objects: tuple[str, ...] = ()) -> LocatedArchive:
        name, archive_id = self.archives()[number]
        return LocatedArchive(name=name, archive_id=archive_id, files_count=len(files), files=files, objects=objects)

    def find(self, *places: str, by: FoundBy = FoundBy.CHECK) -> None:
        found = [(place, "checksum", 3) for place in places]
        self.write(lambda connection: damages.keep(connection, TENANT, self.id, found, by))

    def ask(self) -> Job:
        def write(connection: sqlite3.Connection) -> Job:
            job = verifications.queue(connection, self.id, TENANT, 0)
            connection.execute(
                "UPDATE jobs SET state = 'running', started_at = ? WHERE id = ?", (clock.to_text(clock.now()), job.id)
            )
            found = jobs.get(connection, job.id)
            assert found is not None
            return found

        return self.write(write)  # type: ignore[no-any-return]

    def tell(self, job: Job, **facts: Any) -> None:
        def write(connection: sqlite3.Connection) -> None:
            jobs.end(connection, job.id, State.DONE, "", "", 0)
            report = JobReport(
                outcome=Outcome.DONE, verified=VerifyFacts(is_located=bool(facts.get("damaged")), **facts)
            )
            verifications.record_end(connection, job, State.DONE, report)

        self.write(write)

    def fail(self, job: Job) -> None:
        self.write(lambda connection: jobs.end(connection, job.id, State.FAILED, "damaged", "", 0))

    def damages(self) -> dict[str, Damage]:
        return {damage.place: damage for damage in table.open_damages(self.database.read, self.id)}

    def needed(self, place: str) -> list[str] | None:
        """Return the archives that are known to need an object."""
        known = self.damages()[place].located
        return None if known is None else [archive.archive_id for archive in known]

    def standings(self) -> list[str]:
        rows = self.database.read.execute("SELECT standing FROM snapshots ORDER BY id").fetchall()
        return [row[0] for row in rows]

    def is_asked(self) -> bool:
        """Whether the clock's tick would ask the host to locate something, at an hour for nothing else."""
        now = clock.now()
        self.write(lambda connection: connection.execute("UPDATE agents SET seen_at = ?", (clock.to_text(now),)))
        (turn,) = table_drills.turns(self.database.read, now - timedelta(minutes=1), now - turns.DRILL_AGAIN)
        return turns.is_to_locate(turn, now)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    clock.set_source(lambda: now)
    world = World.made(tmp_path / "data")
    yield Host(world)
    world.close()
    clock.set_source(None)


def test_what_is_located_belongs_to_the_object_that_is_needed(host: Host) -> None:
    host.find(OBJECT, OTHER)
    first, second = host.located(0, "a", objects=(OBJECT,)), host.located(1, "b", objects=(OTHER,))

    host.tell(host.ask(), damaged=(OBJECT, OTHER), located=(first, second))

    assert ([first.archive_id], [second.archive_id]) == (host.needed(OBJECT), host.needed(OTHER))
    host.write(lambda connection: damages.clear(connection, TENANT, host.id, [OBJECT], "sound again"))
    assert ["good", "damaged", "good"] == host.standings()


def test_agent_that_does_not_tell_them_apart_tells_of_all_it_was_asked(host: Host) -> None:
    host.find(OBJECT, OTHER)
    first = host.located(0, "a")

    host.tell(host.ask(), damaged=(OBJECT, OTHER), located=(first,))

    assert ([first.archive_id], [first.archive_id]) == (host.needed(OBJECT), host.needed(OTHER))


def test_what_was_not_asked_for_is_still_to_be_located(host: Host) -> None:
    host.find(OBJECT)
    job = host.ask()
    host.pass_time(minutes=1)
    host.find(OTHER)

    host.tell(job, damaged=(OBJECT,), located=(host.located(0, "a"),))

    assert host.needed(OTHER) is None
    assert host.is_asked()


def test_later_answer_about_another_object_leaves_what_is_known(host: Host) -> None:
    host.find(OBJECT)
    first, second = host.located(0, "a"), host.located(1, "b")
    host.tell(host.ask(), damaged=(OBJECT,), located=(first,))

    host.tell(host.ask(), sound=(OBJECT,), damaged=(OTHER,), located=(second,))

    assert ([first.archive_id], [second.archive_id]) == (host.needed(OBJECT), host.needed(OTHER))
    assert ["damaged", "damaged", "good"] == host.standings()


def test_answer_that_did_not_see_all_archives_adds_to_what_is_known(host: Host) -> None:
    host.find(OBJECT)
    first, third = host.located(0, "a"), host.located(2, "c")
    host.tell(host.ask(), damaged=(OBJECT,), located=(first,))

    host.tell(host.ask(), damaged=(OBJECT,), located=(third,), unseen_archives_count=1)

    assert {first.archive_id, third.archive_id} == set(host.needed(OBJECT) or ())


def test_snapshots_that_came_after_are_located_too_and_nothing_is_forgotten_meanwhile(host: Host) -> None:
    host.find(OBJECT)
    first = host.located(0, "a")
    host.pass_time(minutes=1)
    host.tell(host.ask(), damaged=(OBJECT,), located=(first,))
    host.pass_time(hours=2)
    assert not host.is_asked()

    host.back_up()

    assert host.is_asked()
    assert [first.archive_id] == host.needed(OBJECT)
    fourth = host.located(3, "a")
    host.tell(host.ask(), damaged=(OBJECT,), located=(first, fourth))
    assert ["damaged", "good", "good", "damaged"] == host.standings()
    host.pass_time(hours=2)
    assert not host.is_asked()


def test_snapshot_that_was_made_while_its_host_looked_is_not_taken_as_seen(host: Host) -> None:
    host.find(OBJECT)
    host.pass_time(minutes=1)
    job = host.ask()
    host.pass_time(minutes=10)
    host.back_up()
    host.pass_time(minutes=10)

    host.tell(job, damaged=(OBJECT,), located=(host.located(0, "a"),))

    assert host.is_asked()


@pytest.mark.parametrize("answer", ["sound", "gone"])
def test_host_that_finds_nothing_wrong_has_answered_and_is_not_asked_without_end(host: Host, answer: str) -> None:
    host.find(OBJECT)
    host.pass_time(minutes=1)

    host.tell(host.ask(), **{answer: (OBJECT,)})

    assert host.needed(OBJECT) == []
    host.pass_time(hours=2)
    assert not host.is_asked()


def test_host_whose_parts_fail_is_asked_less_and_less_often(host: Host) -> None:
    host.find(OBJECT)
    host.pass_time(minutes=1)
    count = 0

    for _half_hour in range(48):
        if host.is_asked():
            host.fail(host.ask())
            count += 1
        host.pass_time(minutes=30)

    assert 3 <= count <= 6


def test_what_was_located_longest_ago_is_asked_for_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifications, "LOCATE_LIMIT", 2)
    host.find(OBJECT, OTHER, THIRD)
    asked = []

    for _turn in range(3):
        host.pass_time(hours=1)
        job = host.ask()
        order = VerifyOrder(locate=tuple(job.order["verify"]["locate"]))
        asked.append(set(order.locate))
        host.tell(job, damaged=order.locate)

    assert len(asked[0] | asked[1]) == len(asked[1] | asked[2]) == 3


def test_damaged_snapshot_whose_changes_were_meant_is_damaged(host: Host) -> None:
    host.write(
        lambda connection: connection.execute("UPDATE snapshots SET standing = 'suspect' WHERE id = 'snp_000002'")
    )
    host.find(OBJECT)
    host.tell(host.ask(), damaged=(OBJECT,), located=(host.located(1, "a"),))
    assert ["good", "suspect", "good"] == host.standings()

    guarding.say_meant(host.database, host.world.principal, host.id, damages.tell)

    assert ["good", "damaged", "good"] == host.standings()
    alert = alerts.open_of_kind(host.database.read, TENANT, host.id, AlertKind.DAMAGE)
    assert alert is not None
    assert (2, 3) == (alert.evidence["good_snapshots"], alert.evidence["snapshots"])


@pytest.mark.parametrize("is_mended", [False, True])
def test_lost_snapshot_that_is_found_stands_as_is_known_by_then(host: Host, *, is_mended: bool) -> None:
    first = host.located(0, "a")
    moment = clock.to_text(clock.now())

    def lose(connection: sqlite3.Connection) -> None:
        table_protection.set_lost(connection, host.id, [first.archive_id], clock.now())

    if is_mended:  # damaged when it was lost, and mended since
        host.find(OBJECT)
        host.tell(host.ask(), damaged=(OBJECT,), located=(first,))
        host.write(lose)
        host.write(lambda connection: damages.clear(connection, TENANT, host.id, [OBJECT], "sound again"))
    else:
        host.write(lose)
        host.find(OBJECT)
        host.tell(host.ask(), damaged=(OBJECT,), located=(first,))
    assert "lost" == host.standings()[0]

    host.write(lambda connection: table_protection.set_found(connection, host.id, moment))

    assert ("good" if is_mended else "damaged") == host.standings()[0]


def test_lost_snapshot_that_was_suspect_and_is_damaged_comes_back_as_suspect(host: Host) -> None:
    first, moment = host.located(0, "a"), clock.to_text(clock.now())
    host.write(lambda connection: table_anomalies.set_suspect(connection, "snp_000001"))
    host.write(lambda connection: table_protection.set_lost(connection, host.id, [first.archive_id], clock.now()))
    host.find(OBJECT)
    host.tell(host.ask(), damaged=(OBJECT,), located=(first,))

    host.write(lambda connection: table_protection.set_found(connection, host.id, moment))

    assert "suspect" == host.standings()[0]


def test_roll_back_leaves_what_is_known_and_has_the_host_asked_about_what_came_back(host: Host) -> None:
    """A snapshot that was removed as damaged and mended since is good; one that is damaged came back as good."""
    first, second = host.located(0, "a"), host.located(1, "b")
    moment = clock.to_text(clock.now())
    host.find(OBJECT, OTHER)
    host.tell(
        host.ask(),
        damaged=(OBJECT, OTHER),
        located=(
            LocatedArchive(name=first.name, archive_id=first.archive_id, objects=(OBJECT,)),
            LocatedArchive(name=second.name, archive_id=second.archive_id, objects=(OTHER,)),
        ),
    )

    def remove(connection: sqlite3.Connection) -> None:
        ids = [first.archive_id, second.archive_id]
        table_protection.remove(connection, host.id, ids, "retention", "job_r")

    host.write(remove)
    host.write(lambda connection: damages.clear(connection, TENANT, host.id, [OBJECT], "sound again"))
    host.write(
        lambda connection: connection.execute(
            "UPDATE removed_snapshots SET row_json = json_set(row_json, '$.standing', 'good')"
            " WHERE snapshot_id = 'snp_000002'"
        )
    )
    host.pass_time(hours=1)
    host.write(lambda connection: table_protection.bring_back(connection, host.id, moment))

    host.write(lambda connection: damages.rolled_back(connection, TENANT, host.id))

    assert ["good", "damaged", "good"] == host.standings()
    assert [second.archive_id] == host.needed(OTHER)
    assert host.is_asked()
