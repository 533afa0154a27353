"""Sixty days of a small fleet under a clock of our own: which alerts there are, and which there are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.agents import heartbeat, machines
from saveos.agents import table as agents
from saveos.agents.model import AgentIdentity, AgentState, Limits
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import NotAllowed, NotFound
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.jobs import lifecycle
from saveos.protocol import AgentId, ArchiveFacts, Heartbeat, JobReport, Kind, MachineClass, Outcome, TenantId
from saveos.snapshots import backup, fleet, overdue
from saveos.snapshots.fleet import Need

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # a Sunday; summer time begins on the 29th in Paris
STEP = timedelta(minutes=15)
TENANT = TenantId("tnt_1")
US = system(TENANT)
SOMEBODY = Principal(actor=Actor.USER, id="usr_1", tenant_id=TENANT, name="anna", role=Role.OPERATOR)
ENDINGS: dict[Kind, Any] = {Kind.BACKUP: backup.record_end}


@dataclass
class Host:
    """A host that is on at some times, and takes its job when it is and the appliance is too."""

    name: str
    machine: str
    is_on: Callable[[datetime], bool]
    seconds: float = 600.0  # a backup takes
    is_broken: Callable[[datetime], bool] = lambda _now: False  # its backups fail
    job: str = ""
    busy_until: datetime = START
    archives: int = 0
    made: list[datetime] = field(default_factory=list)

    @property
    def identity(self) -> AgentIdentity:
        return AgentIdentity(
            agent_id=AgentId(self.name),
            tenant_id=TENANT,
            hostname=self.name,
            serial="",
            is_renewal_due=False,
            state=AgentState.READY,
        )

    def live(self, connection: sqlite3.Connection, now: datetime) -> None:
        """Do what a host does within a step."""
        if not self.is_on(now):
            self.job = ""  # what it had in hand is gone with it
            return
        if self.job and now >= self.busy_until:
            self._report(connection, now)
        said = Heartbeat(machine=self.machine, running_job=self.job or None)
        wanted = heartbeat.beat(connection, self.identity, said, "", 3600, ENDINGS)
        if wanted.assignment is not None:
            self.job, self.busy_until = wanted.assignment.job_id, now + timedelta(seconds=self.seconds)

    def _report(self, connection: sqlite3.Connection, now: datetime) -> None:
        job_id, self.job = self.job, ""
        if self.is_broken(now):
            report = JobReport(outcome=Outcome.FAILED, error_code="no-sources")
        else:
            self.archives += 1
            row = connection.execute("SELECT order_json FROM jobs WHERE id = ?", (job_id,)).fetchone()
            name = msgspec.json.decode(row[0])["backup"]["archive"]
            identifier = f"{abs(hash(self.name)) % 10**9:09d}{self.archives:055d}"
            facts = ArchiveFacts(name=name, archive_id=identifier, duration_seconds=self.seconds)
            report = JobReport(outcome=Outcome.DONE, archive=facts)
            self.made.append(now)
        lifecycle.finish(connection, job_id, AgentId(self.name), report, ENDINGS)  # type: ignore[arg-type]


class World:
    """An appliance and its hosts, moved on step by step."""

    def __init__(self, database: Database, now: list[datetime]) -> None:
        self.database, self._now = database, now
        self.hosts: list[Host] = []
        self.is_up: Callable[[datetime], bool] = lambda _now: True
        self.at: dict[datetime, Callable[[], object]] = {}  # what a person does, once

    def add(self, host: Host, schedule: str = "") -> Host:
        """Enrol a host."""
        self.hosts.append(host)

        def write(connection: sqlite3.Connection) -> None:
            if schedule:
                add_policy(connection, f"pol_{host.name}", schedule)
            values = {
                "id": host.name,
                "tenant_id": TENANT,
                "hostname": host.name,
                "platform": "linux",
                "policy_id": f"pol_{host.name}" if schedule else "pol_1",
                "agent_version": "",
                "address": "",
                "enrolled_at": clock.to_text(clock.now()),
            }
            agents.insert(connection, values)
            agents.set_state(connection, AgentId(host.name), AgentState.READY)
            backup.queue(connection, backup.agent_of(connection, AgentId(host.name)), "system:enrolment")

        self.database.write(write)
        return host

    def run(self, days: float) -> None:
        """Let time pass."""
        end = self._now[0] + timedelta(days=days)
        while self._now[0] < end:
            now = self._now[0]
            for moment in sorted(self.at):
                if moment <= now:
                    self.at.pop(moment)()
            if self.is_up(now):
                self.database.write(self._step)
            else:
                for host in self.hosts:
                    host.job = host.job if host.is_on(now) else ""
            self._now[0] += STEP

    def _step(self, connection: sqlite3.Connection) -> None:
        backup.queue_due(connection)
        for host in self.hosts:
            host.live(connection, clock.now())
        overdue.tick(connection)

    def alerts(self, name: str) -> list[tuple[str, str]]:
        """When each alert of a host began and ended, oldest first: ("03-05 02", "03-05 09")."""
        found = raising.find(self.database, US, agent_id=name)
        return [
            (f"{one.opened_at:%m-%d %H}", f"{one.cleared_at:%m-%d %H}" if one.cleared_at else "") for one in found[::-1]
        ]


def add_policy(connection: sqlite3.Connection, policy_id: str, schedule: str) -> None:
    connection.execute(
        "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, time_zone, retention_json,"
        " compression, is_default, created_at)"
        " VALUES (?1, ?2, ?1, '[]', '[]', ?3, 'Europe/Paris', '{}', 'lz4', ?4, ?5)",
        (policy_id, TENANT, schedule, policy_id == "pol_1", clock.to_text(clock.now())),
    )


@pytest.fixture
def now() -> Iterator[list[datetime]]:
    current = [START]
    clock.set_source(lambda: current[0])
    yield current
    clock.set_source(None)


@pytest.fixture
def world(tmp_path: Path, now: list[datetime]) -> Iterator[World]:
    migrate(tmp_path / "saveos.db")
    opened = Database(tmp_path / "saveos.db")
    seen = clock.to_text(now[0])

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenants (id, name, created_at) VALUES (?, 'ours', ?)", (TENANT, seen))
        add_policy(connection, "pol_1", "30 2 * * *")  # an hour that is not there on the 29th of March

    opened.write(write)
    yield World(opened, now)
    opened.close()


def always(_now: datetime) -> bool:
    return True


def but(*spans: tuple[datetime, datetime]) -> Callable[[datetime], bool]:
    """On, except in these spans."""
    return lambda now: not any(start <= now < end for start, end in spans)


def day(month: int, date: int, hour: int = 0) -> datetime:
    return datetime(2026, month, date, hour, tzinfo=UTC)


def test_sixty_days_of_a_fleet_give_exactly_these_alerts(world: World) -> None:
    world.is_up = but((day(3, 10, 1), day(3, 13, 9)), (day(4, 20, 0), day(4, 20, 6)))  # the appliance is down twice
    world.add(Host("steady", "server", always))
    world.add(Host("down-for-long", "server", but((day(3, 5), day(3, 9, 10)))))
    world.add(Host("down-for-an-evening", "server", but((day(3, 20), day(3, 20, 20)))))
    world.add(Host("down-with-us", "server", but((day(3, 9, 22), day(3, 13, 20)))))
    world.add(Host("office-desk", "workstation", lambda now: now.weekday() < 5 and 7 <= now.hour < 17))
    world.add(Host("desk-on-leave", "workstation", but((day(4, 1), day(4, 9, 8)))))
    world.add(Host("laptop-on-holiday", "laptop", but((day(3, 14), day(3, 27, 12)))))
    world.add(Host("laptop-in-a-drawer", "laptop", but((day(3, 14), day(4, 14, 12)))))
    world.add(Host("breaks", "server", always, is_broken=lambda now: day(4, 2) <= now < day(4, 5)))
    world.add(Host("weekly", "server", always), "0 3 * * 0")
    world.add(Host("slow", "server", always, seconds=40 * 3600))
    world.add(Host("never", "server", lambda _now: False))

    world.run(60)

    expected = {
        "steady": [],
        "down-for-long": [("03-06 01", "03-09 10")],  # due on the 5th at 1:30 UTC, a day of patience
        "down-for-an-evening": [],
        "down-with-us": [],  # nobody could ask it before the 13th
        "office-desk": [],
        "desk-on-leave": [("04-04 00", "04-09 08")],
        "laptop-on-holiday": [],
        "laptop-in-a-drawer": [("03-28 01", "04-14 12")],
        "breaks": [("04-03 00", "04-05 00")],
        "weekly": [],
        "slow": [],
        "never": [("03-02 12", "")],
    }
    assert expected == {host.name: world.alerts(host.name) for host in world.hosts}


def test_a_night_that_has_no_such_hour_and_one_that_has_it_twice_are_one_backup_each(
    world: World, now: list[datetime]
) -> None:
    host = world.add(Host("steady", "server", always))
    now[0] = day(3, 26)
    world.run(5)  # summer time begins on the 29th
    now[0] = day(10, 22)
    world.run(5)  # winter time begins on the 25th

    assert 1 == len([made for made in host.made if day(3, 29) <= made < day(3, 30)])
    assert 1 == len([made for made in host.made if day(10, 25) <= made < day(10, 26)])


def test_a_host_that_slept_over_several_runs_makes_one_soon_after_it_wakes(world: World) -> None:
    wakes = day(3, 12, 9)
    host = world.add(Host("laptop", "laptop", but((day(3, 4), wakes))))

    world.run(20)

    soon = [made for made in host.made if wakes <= made < wakes + timedelta(hours=12)]
    assert [wakes + timedelta(minutes=15)] == soon
    assert day(3, 13) <= host.made[host.made.index(soon[0]) + 1] < day(3, 13, 3)  # and then as ever


def test_what_a_person_has_put_away_stays_away_until_it_happens_again(world: World) -> None:
    world.add(Host("server", "server", but((day(3, 5), day(3, 12)), (day(3, 20), day(3, 25)))))

    def put_away() -> None:
        (alert,) = raising.find(world.database, US, is_open=True)
        raising.put_away(world.database, SOMEBODY, alert.id)

    world.at[day(3, 7)] = put_away
    world.run(26)

    assert [("03-06 01", "03-07 00"), ("03-21 01", "03-25 00")] == world.alerts("server")


def test_a_person_who_says_that_it_is_a_laptop_ends_the_alert(world: World) -> None:
    world.add(Host("books", "server", but((day(3, 5), day(3, 30)))))
    world.at[day(3, 7)] = lambda: machines.set_class(world.database, US, "books", MachineClass.LAPTOP)

    world.run(30)

    assert [("03-06 01", "03-07 00"), ("03-19 01", "03-30 00")] == world.alerts("books")


def test_what_a_machine_is_it_says_once(world: World) -> None:
    host = world.add(Host("turncoat", "server", always))
    world.run(0.1)
    host.machine = "laptop"
    world.run(0.1)

    assert MachineClass.SERVER is backup.agent_of(world.database.read, AgentId("turncoat")).lives_as


def test_a_backup_of_chosen_paths_is_not_the_one_that_is_due(world: World, now: list[datetime]) -> None:
    host = world.add(Host("server", "server", always, is_broken=lambda at: at >= day(3, 5)))
    world.run(5)
    host.is_broken = lambda _at: False

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM jobs WHERE state = 'queued'")
        agent = backup.agent_of(connection, AgentId("server"))
        backup.queue(connection, agent, "somebody", sources=("/etc",))

    world.database.write(write)
    before = len(host.made)
    world.run(0.1)

    assert before + 1 == len(host.made)
    agent = backup.agent_of(world.database.read, AgentId("server"))
    assert agent.due_at is not None
    assert day(3, 6) <= now[0]


def test_a_late_host_needs_a_person_and_one_by_hand_does_not(world: World) -> None:
    world.add(Host("late", "server", but((day(3, 5), day(5, 1)))))
    world.add(Host("by-hand", "server", but((day(3, 5), day(5, 1)))))
    world.at[day(3, 6)] = lambda: world.database.write(
        lambda connection: connection.execute("UPDATE agents SET next_backup_at = NULL WHERE id = 'by-hand'")
    )
    world.at[day(3, 3)] = lambda: world.database.write(
        lambda connection: (
            add_policy(connection, "pol_hand", ""),
            agents.set_policy(connection, AgentId("by-hand"), "pol_hand", None),
        )
    )
    world.run(8)

    needs = {host.agent.hostname: host.need for host in fleet.hosts(world.database, US)}
    assert {"late": Need.LATE, "by-hand": Need.NOTHING} == needs
    assert [] == world.alerts("by-hand")


def test_limits_are_the_tenants_own(world: World) -> None:
    world.add(Host("server", "server", but((day(3, 5), day(3, 12)))))
    machines.set_limits(world.database, US, Limits(server=72))
    world.run(20)

    assert Limits(server=72) == machines.limits(world.database, US)
    assert [("03-08 01", "03-12 00")] == world.alerts("server")


def test_who_may_change_what_a_machine_is(world: World) -> None:
    world.add(Host("server", "server", always))
    viewer = Principal(actor=Actor.USER, id="u", tenant_id=TENANT, role=Role.VIEWER)

    with pytest.raises(NotAllowed):
        machines.set_class(world.database, viewer, "server", MachineClass.LAPTOP)
    with pytest.raises(NotAllowed):
        machines.set_limits(world.database, viewer, Limits())
    with pytest.raises(NotFound):
        machines.set_class(world.database, system(TenantId("tnt_2")), "server", MachineClass.LAPTOP)


def test_every_alert_is_opened_and_cleared_once_in_the_log(world: World) -> None:
    world.add(Host("server", "server", but((day(3, 5), day(3, 12)))))
    world.run(20)

    rows = world.database.read.execute("SELECT action FROM audit WHERE action LIKE 'alert-%' ORDER BY id").fetchall()
    assert ["alert-opened", "alert-cleared"] == [row["action"] for row in rows]
    (alert,) = raising.find(world.database, US, agent_id="server")
    assert AlertKind.OVERDUE is alert.kind
    assert ("server", 24, "2026-03-05T01:30:00.000000Z") == (
        alert.evidence["machine_class"],
        alert.evidence["limit_hours"],
        alert.evidence["due_at"],
    )
