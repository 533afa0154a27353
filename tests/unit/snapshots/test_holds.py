"""What keeps a snapshot, and that nobody alone lets go what the law keeps."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.audit.record import newest
from saveos.database.connection import Database
from saveos.database.identifiers import new_id
from saveos.database.migrations import migrate
from saveos.errors import (
    BeingRemoved,
    Conflict,
    InvalidRequest,
    LoneAdministrator,
    NotAllowed,
    NotFound,
    SecondPersonNeeded,
)
from saveos.identity.principals import Principal, Role, system
from saveos.jobs import lifecycle
from saveos.jobs.model import NewJob, RunsOn
from saveos.policies import defaults
from saveos.protocol import JobId, Kind, TenantId
from saveos.snapshots import dry_run, hold_release, holds, listing, table
from saveos.snapshots.model import HoldKind
from saveos.tenants import table as tenants
from saveos.tenants import users
from tests.support.big_fleet import plant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from saveos.snapshots.model import Hold, Snapshot

ANNA, BERND, CLARA = "anna@example.org", "bernd@example.org", "clara@example.org"


class Keeping:
    """A database with one host of twelve snapshots, and who acts on it."""

    def __init__(self, path: Path) -> None:
        migrate(path)
        self.database = Database(path)
        self.path = path
        users.create_administrator(self.database, ANNA, "correct horse battery", "en", defaults.give_default)
        self.anna = users.user_principal(self.database, ANNA)
        plant(path, 1, 12)
        agent_id = self.database.read.execute("SELECT id FROM agents").fetchone()["id"]
        self.snapshots = table.all_of_agent(self.database.read, agent_id)

    def administrator(self, email: str) -> Principal:
        values = {"id": new_id("usr"), "tenant_id": self.anna.tenant_id, "email": email, "password_hash": "none"}
        values |= {"role": Role.ADMINISTRATOR.value, "language": "en", "created_at": clock.to_text(clock.now())}
        self.database.write(lambda connection: tenants.insert_user(connection, values))
        return users.user_principal(self.database, email)

    def operator(self) -> Principal:
        return Principal(actor=self.anna.actor, id="o", tenant_id=self.anna.tenant_id, role=Role.OPERATOR)

    def disable(self, email: str) -> None:
        self.database.write(lambda c: c.execute("UPDATE users SET is_disabled = 1 WHERE email = ?", (email,)))

    def told(self) -> list[str]:
        """Return what the audit log says of holds, oldest first."""
        entries = newest(self.database.read, self.anna.tenant_id)
        return [entry.action for entry in reversed(entries) if "hold" in entry.action or "pinned" in entry.action]

    def held(self, now: datetime | None = None) -> set[str]:
        return set(holds.held_ids(self.database.read, self.snapshots[0].agent_id, now or clock.now()))

    def legal(self, snapshot: Snapshot, until: datetime | None = None) -> Hold:
        return holds.place(self.database, self.anna, snapshot.id, "Case 4711", until)


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    made = Keeping(tmp_path / "saveos.db")
    yield made
    made.database.close()


def test_pin_keeps_a_snapshot_until_it_is_unpinned(keeping: Keeping) -> None:
    old, operator = keeping.snapshots[-1], keeping.operator()

    first = holds.pin(keeping.database, operator, old.id, " before the move ")
    again = holds.pin(keeping.database, operator, old.id)

    assert (first, "before the move", {old.id}) == (again, first.reason, keeping.held())
    assert (HoldKind.PIN,) == listing.get(keeping.database, operator, old.id).holds
    hold_release.unpin(keeping.database, operator, old.id)
    assert set() == keeping.held()
    with pytest.raises(Conflict):
        hold_release.unpin(keeping.database, operator, old.id)
    assert ["snapshot-pinned", "snapshot-unpinned"] == keeping.told()


def test_legal_hold_is_an_administrators_and_has_a_reason_and_an_end_to_come(keeping: Keeping) -> None:
    database, old = keeping.database, keeping.snapshots[-1]

    with pytest.raises(NotAllowed):
        holds.place(database, keeping.operator(), old.id, "Case 4711")
    for reason, until, field in (
        ("  ", None, "reason"),
        ("x" * 1001, None, "reason"),
        ("a\nb", None, "reason"),
        ("Case", clock.now() - timedelta(seconds=1), "until"),
        ("Case", datetime(2999, 1, 1), "until"),  # noqa: DTZ001 - the case: of no zone
        ("Case", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))), "until"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            holds.place(database, keeping.anna, old.id, reason, until)
        assert field == caught.value.context["field"]
    with pytest.raises(NotFound):
        holds.place(database, keeping.anna, "snp_none", "Case")
    assert set() == keeping.held()


def test_legal_hold_ends_by_itself(keeping: Keeping) -> None:
    old, end = keeping.snapshots[-1], clock.now() + timedelta(days=30)

    hold = keeping.legal(old, end)

    assert {old.id} == keeping.held(end - timedelta(microseconds=1))
    assert set() == keeping.held(end)
    clock.set_source(lambda: end)
    try:
        with pytest.raises(Conflict, match="over already"):
            hold_release.release(keeping.database, keeping.anna, old.id, hold.id)
        assert () == listing.get(keeping.database, keeping.anna, old.id).holds
    finally:
        clock.set_source(None)


def test_lone_administrator_cannot_even_ask(keeping: Keeping) -> None:
    old = keeping.snapshots[-1]
    hold = keeping.legal(old)

    with pytest.raises(LoneAdministrator):
        hold_release.release(keeping.database, keeping.anna, old.id, hold.id)
    keeping.administrator(BERND)
    keeping.disable(BERND)
    with pytest.raises(LoneAdministrator):
        hold_release.release(keeping.database, keeping.anna, old.id, hold.id)


def test_legal_hold_is_ended_by_two(keeping: Keeping) -> None:
    database, old, bernd = keeping.database, keeping.snapshots[-1], keeping.administrator(BERND)
    hold = keeping.legal(old)

    asked = hold_release.release(database, keeping.anna, old.id, hold.id)

    assert (f"user:{ANNA}", None, {old.id}) == (asked.release_asked_by, asked.released_at, keeping.held())
    with pytest.raises(SecondPersonNeeded, match="yourself"):
        hold_release.confirm(database, keeping.anna, old.id, hold.id)
    with pytest.raises(Conflict, match="has asked already"):
        hold_release.release(database, bernd, old.id, hold.id)
    ended = hold_release.confirm(database, bernd, old.id, hold.id)
    assert (f"user:{BERND}", set()) == (ended.released_by, keeping.held())
    assert ["hold-placed", "hold-release-asked", "hold-released"] == keeping.told()


def test_nobody_confirms_what_nobody_asked_or_what_is_taken_back(keeping: Keeping) -> None:
    database, old, bernd = keeping.database, keeping.snapshots[-1], keeping.administrator(BERND)
    hold = keeping.legal(old)

    with pytest.raises(Conflict, match="Nobody has asked"):
        hold_release.confirm(database, bernd, old.id, hold.id)
    hold_release.release(database, keeping.anna, old.id, hold.id)
    hold_release.withdraw(database, keeping.anna, old.id, hold.id)
    with pytest.raises(Conflict, match="Nobody has asked"):
        hold_release.confirm(database, bernd, old.id, hold.id)
    assert {old.id} == keeping.held()
    assert "hold-release-withdrawn" == keeping.told()[-1]


def test_account_made_to_agree_does_not_count(keeping: Keeping) -> None:
    database, old, bernd = keeping.database, keeping.snapshots[-1], keeping.administrator(BERND)
    hold = keeping.legal(old)
    hold_release.release(database, bernd, old.id, hold.id)
    made_up = keeping.administrator(CLARA)

    with pytest.raises(SecondPersonNeeded, match="younger"):
        hold_release.confirm(database, made_up, old.id, hold.id)

    assert {old.id} == keeping.held()


def test_request_of_one_who_has_left_is_void(keeping: Keeping) -> None:
    database, old, bernd = keeping.database, keeping.snapshots[-1], keeping.administrator(BERND)
    clara = keeping.administrator(CLARA)
    hold = keeping.legal(old)
    hold_release.release(database, bernd, old.id, hold.id)
    keeping.disable(BERND)

    with pytest.raises(SecondPersonNeeded, match="no administrator any more"):
        hold_release.confirm(database, keeping.anna, old.id, hold.id)
    hold_release.release(database, keeping.anna, old.id, hold.id)
    hold_release.confirm(database, clara, old.id, hold.id)

    assert set() == keeping.held()


@pytest.mark.parametrize("end", [hold_release.release, hold_release.confirm])
def test_shell_of_the_appliance_is_no_person(keeping: Keeping, end: Callable[..., Hold]) -> None:
    old, bernd = keeping.snapshots[-1], keeping.administrator(BERND)
    hold = keeping.legal(old)
    if end is hold_release.confirm:
        hold_release.release(keeping.database, bernd, old.id, hold.id)

    with pytest.raises(NotAllowed, match="two persons"):
        end(keeping.database, system(keeping.anna.tenant_id), old.id, hold.id)


def test_operator_lets_go_what_the_appliance_holds_but_no_legal_hold(keeping: Keeping) -> None:
    database, old, operator = keeping.database, keeping.snapshots[-1], keeping.operator()
    legal = keeping.legal(old)

    assert database.write(lambda connection: holds.hold_clean(connection, old, "Files changed as they never do."))
    assert not database.write(lambda connection: holds.hold_clean(connection, old, "Again."))

    assert (HoldKind.LEGAL, HoldKind.ANOMALY) == listing.get(database, operator, old.id).holds
    anomaly = next(hold for hold in holds.of_snapshot(database, operator, old.id) if hold.kind is HoldKind.ANOMALY)
    hold_release.release(database, operator, old.id, anomaly.id)
    with pytest.raises(NotAllowed):
        hold_release.release(database, operator, old.id, legal.id)
    assert [legal] == holds.in_force(database, operator)


def test_holds_of_another_tenant_do_not_exist(keeping: Keeping) -> None:
    old = keeping.snapshots[-1]
    hold = keeping.legal(old)
    stranger = Principal(actor=keeping.anna.actor, id="s", tenant_id=TenantId("other"), role=Role.ADMINISTRATOR)

    for attempt in (
        lambda: holds.pin(keeping.database, stranger, old.id),
        lambda: holds.of_snapshot(keeping.database, stranger, old.id),
        lambda: hold_release.release(keeping.database, stranger, old.id, hold.id),
        lambda: hold_release.confirm(keeping.database, stranger, old.id, hold.id),
        lambda: hold_release.withdraw(keeping.database, stranger, old.id, hold.id),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert [] == holds.in_force(keeping.database, stranger)


def test_snapshot_that_its_host_was_told_to_delete_cannot_be_kept_any_more(keeping: Keeping) -> None:
    old, kept = keeping.snapshots[-1], keeping.snapshots[-2]
    order = {"prune": {"archives": [{"name": old.archive, "archive_id": old.archive_id}]}}
    job = NewJob(
        id=JobId("job_prune"),
        tenant_id=old.tenant_id,
        agent_id=old.agent_id,
        kind=Kind.PRUNE,
        runs_on=RunsOn.HOST,
        order=order,
        requested_by="system:retention",
    )
    keeping.database.write(lambda connection: lifecycle.request(connection, job))

    with pytest.raises(BeingRemoved):
        holds.pin(keeping.database, keeping.anna, old.id)
    holds.pin(keeping.database, keeping.anna, kept.id)

    assert {kept.id} == keeping.held()


def test_snapshot_under_hold_cannot_be_deleted_and_others_take_their_past_holds_along(keeping: Keeping) -> None:
    old, other = keeping.snapshots[-1], keeping.snapshots[-2]
    keeping.legal(old, clock.now() + timedelta(days=1))
    holds.pin(keeping.database, keeping.anna, other.id)

    def delete(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
        connection.execute("DELETE FROM snapshots WHERE id = ?", (snapshot.id,))

    for each in (old, other):
        with pytest.raises(sqlite3.IntegrityError, match="a hold is in force"):
            keeping.database.write(lambda connection, each=each: delete(connection, each))
    hold_release.unpin(keeping.database, keeping.anna, other.id)
    keeping.database.write(lambda connection: delete(connection, other))

    assert {old.id} == {hold.snapshot_id for hold in holds.in_force(keeping.database, keeping.anna)}


def test_holds_of_one_snapshot_are_bounded(keeping: Keeping) -> None:
    old = keeping.snapshots[-1]
    for _ in range(holds.HOLDS_LIMIT):
        keeping.legal(old)

    with pytest.raises(Conflict, match="holds keep this snapshot already"):
        keeping.legal(old)


def test_dry_run_says_what_goes_and_what_a_hold_keeps(keeping: Keeping) -> None:
    old = keeping.snapshots[-1]
    few = '{"keep_daily": 2, "keep_weekly": 0, "keep_monthly": 0}'
    keeping.database.write(lambda c: c.execute("UPDATE policies SET retention_json = ?", (few,)))
    holds.pin(keeping.database, keeping.anna, old.id)

    told = dry_run.look(keeping.database, keeping.operator(), old.agent_id)

    kept = [decided for decided in told.items if not decided.is_going]
    assert (["daily", "daily", None], 9) == ([decided.rule for decided in kept], told.going_count)
    assert {old.id: (HoldKind.PIN,)} == told.holds
    assert kept[0].is_last
    assert datetime.now(UTC) - told.decided_at < timedelta(minutes=1)
    with pytest.raises(NotFound):
        dry_run.look(keeping.database, keeping.operator(), "agt_none")
