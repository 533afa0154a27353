"""What comes of a backup that is out of the ordinary: a suspect snapshot, a hold on the clean one, one alert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import Conflict, NotAllowed, NotFound
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.protocol import AgentId, TenantId
from saveos.snapshots import guarding, holds, table
from saveos.snapshots.model import Standing
from tests.support import recording
from tests.support.machines import OfficeServer, in_place, wiped

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.snapshots.anomaly import Run

TENANT, AGENT = TenantId("tnt_1"), AgentId("agt_1")
US = system(TENANT)


def nothing_else(*_said: object) -> None:
    """Nothing else is known against a snapshot."""


class Case:
    """One host whose backups are recorded one day after the other."""

    def __init__(self, database: Database, now: list[datetime]) -> None:
        self.database, self._now = database, now
        self.machine = OfficeServer(1)

    def record(self, run: Run, sources: tuple[str, ...] = (), *, is_silent: bool = False) -> str:
        """Record a backup with these numbers and return the snapshot's id."""
        self._now[0] += timedelta(days=1)
        return recording.record(self.database, AGENT, run, sources, is_silent=is_silent)

    def standing(self, snapshot_id: str) -> Standing:
        found = table.get(self.database.read, snapshot_id, TENANT)
        assert found is not None
        return found.standing

    def alerts(self, *, is_open: bool = True) -> list[Any]:
        return raising.find(self.database, US, agent_id=AGENT, is_open=is_open)

    def held(self) -> set[str]:
        return {str(one) for one in holds.held_ids(self.database.read, AGENT, clock.now())}


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    now = [datetime(2026, 3, 4, 12, 0, tzinfo=UTC)]
    clock.set_source(lambda: now[0])
    migrate(tmp_path / "saveos.db")
    opened = Database(tmp_path / "saveos.db")
    seen = clock.to_text(now[0])

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenants (id, name, created_at) VALUES (?, 'ours', ?)", (TENANT, seen))
        connection.execute(
            "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
            " compression, is_default, created_at) VALUES ('pol_1', ?, 'P', '[]', '[]', '', '{}', 'lz4', 1, ?)",
            (TENANT, seen),
        )
        recording.enrol(connection, TENANT, "pol_1", AGENT, "files")

    opened.write(write)
    yield Case(opened, now)
    opened.close()
    clock.set_source(None)


def test_encryption_makes_one_alert_and_holds_the_last_clean_snapshot(case: Case) -> None:
    ids = [case.record(case.machine.first())] + [case.record(case.machine.back_up()) for _ in range(3)]
    assert [] == case.alerts()

    hit = case.record(case.machine.back_up(in_place(case.machine)))
    after = case.record(case.machine.back_up())

    (alert,) = case.alerts()
    assert AlertKind.UNUSUAL is alert.kind
    assert {ids[-1]} == case.held()
    assert (hit, ids[-1], 2) == (alert.evidence["snapshot"], alert.evidence["held"], alert.evidence["snapshots"])
    assert "broken" == alert.evidence["findings"][0]["sign"]
    assert alert.evidence["findings"][0]["count"] > 10_000
    assert [Standing.GOOD, Standing.SUSPECT, Standing.SUSPECT] == [case.standing(one) for one in (ids[-1], hit, after)]


def test_a_person_who_meant_it_makes_all_good_again(case: Case) -> None:
    for run in [case.machine.first(), *(case.machine.back_up() for _ in range(10))]:
        case.record(run)
    hit = case.record(case.machine.back_up(wiped(case.machine)))
    assert {hit} & {case.alerts()[0].evidence["snapshot"]}

    assert 1 == guarding.say_meant(case.database, US, AGENT, nothing_else)

    assert [] == case.alerts()
    assert set() == case.held()
    assert Standing.GOOD is case.standing(hit)
    assert "meant" == guarding.of_agent(case.database, US, AGENT)[0].state
    with pytest.raises(Conflict):
        guarding.say_meant(case.database, US, AGENT, nothing_else)
    assert Standing.GOOD is case.standing(case.record(case.machine.back_up()))


def test_an_alert_that_is_put_away_leaves_the_snapshot_suspect_and_the_hold(case: Case) -> None:
    case.record(case.machine.first())
    clean = case.record(case.machine.back_up())
    hit = case.record(case.machine.back_up(in_place(case.machine)))
    raising.put_away(case.database, US, case.alerts()[0].id)

    later = case.record(case.machine.back_up())

    assert [] == case.alerts()
    assert {clean} == case.held()
    assert [Standing.SUSPECT, Standing.GOOD] == [case.standing(hit), case.standing(later)]
    case.record(case.machine.back_up(in_place(case.machine, 0.5)))
    assert later in case.held()


def test_what_says_nothing_is_suspect_too_while_the_alert_is_open(case: Case) -> None:
    for run in (case.machine.first(), case.machine.back_up(), case.machine.back_up(in_place(case.machine))):
        case.record(run)

    silent = case.record(case.machine.back_up(), is_silent=True)

    assert Standing.SUSPECT is case.standing(silent)
    assert 2 == case.alerts()[0].evidence["snapshots"]


def test_alert_of_a_frozen_repository_is_not_put_away(case: Case) -> None:
    case.database.write(lambda connection: raising.raise_alert(connection, TENANT, AGENT, AlertKind.HOSTILE, before=1))
    (alert,) = case.alerts()

    with pytest.raises(Conflict):
        raising.put_away(case.database, US, alert.id)

    assert [alert] == case.alerts()


def test_a_suspect_backup_is_no_part_of_the_history(case: Case) -> None:
    case.record(case.machine.first())
    case.record(case.machine.back_up(in_place(case.machine)))
    raising.put_away(case.database, US, case.alerts()[0].id)

    case.record(case.machine.back_up(in_place(case.machine)))

    assert 1 == len(case.alerts())


def test_a_backup_of_chosen_paths_is_not_compared(case: Case) -> None:
    case.record(case.machine.first())
    chosen = case.record(case.machine.back_up(in_place(case.machine)), sources=("/srv",))

    assert [] == case.alerts()
    found = guarding.of_snapshot(case.database, US, chosen)
    assert found is not None
    assert "apart" == found.state


def test_a_first_backup_of_noise_is_told_and_there_is_nothing_to_hold(case: Case) -> None:
    case.record(case.machine.back_up(in_place(case.machine)))

    assert "" == case.alerts()[0].evidence["held"]
    assert set() == case.held()


def test_who_may_say_that_it_was_meant(case: Case) -> None:
    operator = Principal(actor=Actor.USER, id="u", tenant_id=TENANT, role=Role.OPERATOR)

    with pytest.raises(NotAllowed):
        guarding.say_meant(case.database, operator, AGENT, nothing_else)
    with pytest.raises(NotFound):
        guarding.say_meant(case.database, system(TenantId("tnt_2")), AGENT, nothing_else)
    assert guarding.of_snapshot(case.database, system(TenantId("tnt_2")), "snp_1") is None
