"""The list that hosts are told: its serial, where it arrives, what hosts say of it, and who may change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.agents import addresses, moving
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import Conflict, HasMoved, InvalidRequest, NotAllowed
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.protocol import Heartbeat, TenantId
from saveos.tenants import facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN, NEW = ("192.0.2.1:8000", "old.example.org:8000"), "192.0.2.2:8000"
TENANT = TenantId("tnt_1")
BY = system(TENANT, "test")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    on_machine(monkeypatch, tmp_path, "one")
    migrate(tmp_path / "saveos.db")
    database = Database(tmp_path / "saveos.db")
    addresses.keep_own(database, OWN)
    yield database
    database.close()


def on_machine(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Be on a machine of this name from now on."""
    path = folder / f"machine-{name}"
    path.write_text(name)
    monkeypatch.setattr(addresses, "MACHINE_ID", path)


def serial(database: Database) -> int:
    return addresses.told(database.read).serial


def test_list_is_the_own_addresses_then_the_further_ones(database: Database) -> None:
    before = serial(database)

    shown = moving.change(database, BY, [NEW, "NEW.example.org:08001", NEW, "[2001:DB8::2]:8000"])

    assert (*OWN, NEW, "new.example.org:8001", "[2001:db8::2]:8000") == shown.addresses
    assert before < shown.serial
    assert (*OWN, "10.0.0.1:8000", *shown.further) == addresses.for_stamp(database.read, [*OWN, "10.0.0.1:8000"])


def test_same_change_and_same_start_are_no_new_list(database: Database) -> None:
    before = moving.change(database, BY, [NEW]).serial

    moving.change(database, BY, [NEW])
    addresses.keep_own(database, OWN)

    assert before == serial(database)


def test_serial_is_later_than_that_of_any_older_state(database: Database) -> None:
    assert abs(serial(database) - clock.now().timestamp()) < 3600


@pytest.mark.parametrize("is_elsewhere", [True, False], ids=["another machine", "other addresses"])
def test_another_place_is_a_later_list(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_elsewhere: bool
) -> None:
    before = serial(database)
    if is_elsewhere:
        on_machine(monkeypatch, tmp_path, "two")

    addresses.keep_own(database, OWN if is_elsewhere else ["192.0.2.3:8000"])

    assert before < serial(database)


def test_further_addresses_are_bounded(database: Database) -> None:
    with pytest.raises(InvalidRequest):
        moving.change(database, BY, [f"192.0.2.{number}:1" for number in range(moving.FURTHER_LIMIT + 1)])


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":8000", "host:0", "host:65536", "::1:8000", "0.0.0.0:8000", "a b:1", "host:8x", "[::]:1"],
)
def test_address_that_is_none_changes_nothing(database: Database, text: str) -> None:
    before = addresses.told(database.read)

    for change in (lambda: moving.change(database, BY, [text]), lambda: moving.mark_moved(database, BY, text)):
        with pytest.raises(InvalidRequest):
            change()

    assert before == addresses.told(database.read)


def test_moved_appliance_keeps_its_serial_and_changes_nothing(database: Database) -> None:
    before = serial(database)

    shown = moving.mark_moved(database, BY, NEW)

    assert (before, (NEW, *OWN), NEW) == (shown.serial, shown.addresses, facts.moved_to(database.read))
    with pytest.raises(HasMoved):
        addresses.require_here(database.read)
    with pytest.raises(Conflict):
        moving.change(database, BY, [])
    _told, listed = addresses.answer_to(database.read, Heartbeat(addresses_serial=before))
    assert (NEW, *OWN) == listed  # also to who holds the list: it is another one now


def test_moved_appliance_that_gets_another_address_is_still_moved(database: Database) -> None:
    before = moving.mark_moved(database, BY, NEW).serial

    addresses.keep_own(database, ["192.0.2.77:8000"])

    assert (before, NEW) == (serial(database), facts.moved_to(database.read))


@pytest.mark.parametrize("is_elsewhere", [True, False], ids=["another machine", "the address it moved to"])
def test_moved_appliance_arrives(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_elsewhere: bool
) -> None:
    before = moving.mark_moved(database, BY, NEW).serial
    if is_elsewhere:
        on_machine(monkeypatch, tmp_path, "two")

    addresses.keep_own(database, ["172.16.0.1:8000"] if is_elsewhere else [NEW])

    addresses.require_here(database.read)
    assert before < serial(database)


def test_appliance_cannot_move_to_itself(database: Database) -> None:
    with pytest.raises(InvalidRequest):
        moving.mark_moved(database, BY, OWN[0])


def test_who_holds_the_list_is_not_told_it_again(database: Database) -> None:
    now = serial(database)

    assert () == addresses.answer_to(database.read, Heartbeat(addresses_serial=now))[1]
    assert OWN == addresses.answer_to(database.read, Heartbeat())[1]


def test_serial_that_no_appliance_can_have_said_counts_for_nothing(database: Database) -> None:
    now = serial(database)

    assert addresses.is_ahead(database.read, now + 1)
    assert not addresses.is_ahead(database.read, now)
    assert not addresses.is_ahead(database.read, 2**62)


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.VIEWER])
def test_only_administrators_move_house(database: Database, role: Role) -> None:
    person = Principal(actor=Actor.USER, id="usr_1", tenant_id=TENANT, role=role)

    moving.show(database, person)
    for verb, words in ((moving.change, ([NEW],)), (moving.mark_moved, (NEW,)), (moving.serve_here, ())):
        with pytest.raises(NotAllowed):
            verb(database, person, *words)  # type: ignore[operator]


def test_changes_are_in_the_audit_log(database: Database) -> None:
    moving.change(database, BY, [NEW])
    moving.mark_moved(database, BY, NEW)
    moving.serve_here(database, BY)

    rows = database.read.execute("SELECT action FROM audit ORDER BY id").fetchall()
    assert ["addresses-changed", "appliance-moved", "appliance-serves-here"] == [row["action"] for row in rows]
