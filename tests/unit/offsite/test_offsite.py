"""Offsite copies, as far as no store is needed: what is kept, how fast it may go, which places are places."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.database.secrets import Secret
from saveos.errors import InvalidRequest, NotAllowed, ObjectAltered
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.offsite import layout as offsite_layout
from saveos.offsite import orders as offsite_orders
from saveos.offsite import stores
from saveos.offsite import table as table_offsite
from saveos.offsite import table_states as table_offsite_states
from saveos.offsite.hands import Pace, PacedBody, Stopped, each
from saveos.offsite.keeping import generations_to_let_go, is_needed
from saveos.offsite.model import Generation, Place, Rate, Stored, rate_at
from saveos.protocol import AgentId, Kind, TenantId
from saveos.repositories import table as repositories
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PLACE = Place(endpoint="https://s3.example.org", bucket="copies", access_key_id="KEY", prefix="appliance/one")
SECRET = Secret("never shown")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.made(tmp_path / "data")
    yield world
    world.close()


@pytest.fixture
def host(world: World) -> AgentId:
    agent_id = AgentId(world.add_host("atelier"))
    world.database.write(lambda connection: repositories.insert(connection, TenantId("ten_1"), agent_id))
    return agent_id


def generation(number: int, days: float) -> Generation:
    made_at = NOW - timedelta(days=days)
    return Generation(
        number=number, made_at=made_at, moment=number, life=0, bytes=1, segments_count=1, key="", sha256=""
    )


@pytest.mark.parametrize(
    ("ages", "going"),
    [([], []), ([90], []), ([0, 13, 15], [1]), ([20, 30], [1]), ([1, 2, 3], [])],
)
def test_generations_are_kept_for_their_days_and_the_newest_always(ages: list[float], going: list[int]) -> None:
    known = [generation(len(ages) - at, age) for at, age in enumerate(ages)]

    assert going == [one.number for one in generations_to_let_go(known, NOW, timedelta(days=14))]


@pytest.mark.parametrize(
    ("first", "last", "kept", "expected"),
    [(1, 3, [3, 4], True), (1, 3, [4], False), (2, 2, [1, 3], False), (0, 0, [1], False), (1, 9, [5], True)],
)
def test_segment_is_needed_by_the_generations_between(
    first: int, last: int, kept: list[int], *, expected: bool
) -> None:
    stored = Stored(number=1, bytes=1, mtime_ns=1, sha256="", key="", first_generation=first, last_generation=last)

    assert expected is is_needed(stored, kept)


@pytest.mark.parametrize(
    ("begin", "end", "hour", "expected"),
    [(22, 6, 23, 2), (22, 6, 5, 2), (22, 6, 6, 1), (22, 6, 21, 1), (8, 18, 8, 2), (8, 18, 18, 1), (0, 0, 0, 1)],
)
def test_rate_is_that_of_the_hour(begin: int, end: int, hour: int, expected: int) -> None:
    rate = Rate(bytes_per_second=1, other_bytes_per_second=2, other_from_hour=begin, other_until_hour=end)

    assert expected == rate_at(rate, NOW.replace(hour=hour))


def test_hours_of_a_rate_are_those_of_its_zone() -> None:
    rate = Rate(other_bytes_per_second=2, other_from_hour=14, other_until_hour=15, time_zone="Europe/Paris")

    assert rate_at(rate, NOW) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("endpoint", text)
            for text in ("", "s3.example.org", "ftp://a", "https://u:p@a", "https://a/b", "https://a?b")
        ),
        *(("endpoint", text) for text in ("https://", "https://a:99999", "https://a b")),
        *(("bucket", text) for text in ("", "ab", "Copies", "a/b", "-ab", "a" * 64)),
        *(("prefix", text) for text in ("a//b", "../a", "a/..", "a b", "é", "a/" * 150 + "a")),
        ("region", "eu west"),
        ("storage_class", "A B"),
        ("access_key_id", ""),
        ("ca_pem", "no certificate"),
        ("rate", Rate(time_zone="Nowhere/Here")),
    ],
)
def test_place_that_is_none_is_refused(world: World, field: str, value: Any) -> None:
    place = msgspec.structs.replace(PLACE, **{field: value})

    with pytest.raises(InvalidRequest) as raised:
        stores.keep_store(world.database, world.settings, world.principal, place, SECRET)

    assert raised.value.context["field"] == field


@pytest.mark.parametrize("wrong", [{"keep_days": -1}, {"rate": Rate(bytes_per_second=2**60)}, {"keep_days": 10**9}])
def test_place_that_could_not_be_read_again_is_not_kept(world: World, wrong: dict[str, Any]) -> None:
    place = msgspec.structs.replace(PLACE, **wrong)

    with pytest.raises(InvalidRequest):
        stores.keep_store(world.database, world.settings, world.principal, place, SECRET)

    assert stores.own_store(world.database, world.principal) is None


def test_store_is_kept_without_its_secret(world: World) -> None:
    store = stores.keep_store(world.database, world.settings, world.principal, PLACE, SECRET)

    assert store == stores.own_store(world.database, world.principal)
    for path in world.settings.folder.rglob("*"):
        assert not path.is_file() or SECRET.value.encode() not in path.read_bytes()


def test_store_that_changes_keeps_its_secret_and_another_place_begins_anew(world: World) -> None:
    keep = lambda place, secret: stores.keep_store(  # noqa: E731
        world.database, world.settings, world.principal, place, secret
    )
    first = keep(PLACE, SECRET)

    slower = keep(msgspec.structs.replace(PLACE, rate=Rate(bytes_per_second=1)), None)
    elsewhere = keep(msgspec.structs.replace(PLACE, prefix="appliance/two"), None)

    assert first.id == slower.id != elsewhere.id
    assert 1 == world.database.read.execute("SELECT count(*) FROM offsite_stores").fetchone()[0]


def test_first_store_needs_a_secret(world: World) -> None:
    with pytest.raises(InvalidRequest) as raised:
        stores.keep_store(world.database, world.settings, world.principal, PLACE, None)

    assert raised.value.context["field"] == "secret"


def test_store_of_the_first_tenant_is_for_tenants_without_their_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.add_tenant("ten_2")
    other = system(TenantId("ten_2"))
    common = stores.keep_store(world.database, world.settings, world.principal, PLACE, SECRET)
    assert common.tenant_id is None
    assert common == table_offsite.store_of(world.database.read, "ten_2")
    assert stores.own_store(world.database, other) is None
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_more: public)

    own = stores.keep_store(world.database, world.settings, other, PLACE, SECRET)

    assert own == table_offsite.store_of(world.database.read, "ten_2")
    assert common == table_offsite.store_of(world.database.read, "ten_1")
    stores.forget_store(world.database, other)
    assert common == table_offsite.store_of(world.database.read, "ten_2")


@pytest.mark.parametrize(
    "endpoint",
    ["https://127.0.0.1", "https://10.0.0.1:9000", "https://[::1]", "http://93.184.215.14", "https://[fe80::1]"],
)
def test_other_tenants_name_public_endpoints_alone(world: World, endpoint: str) -> None:
    world.add_tenant("ten_2")
    place = msgspec.structs.replace(PLACE, endpoint=endpoint)
    administrator = Principal(actor=Actor.USER, id="usr_1", tenant_id=TenantId("ten_2"), role=Role.ADMINISTRATOR)

    for verb in (stores.keep_store, stores.try_place):
        with pytest.raises(InvalidRequest) as raised:
            verb(world.database, world.settings, administrator, place, SECRET)
        assert raised.value.context["field"] == "endpoint"


def test_only_administrators_choose_a_store(world: World) -> None:
    operator = Principal(actor=Actor.USER, id="usr_1", tenant_id=TenantId("ten_1"), role=Role.OPERATOR)

    for verb in (
        lambda: stores.keep_store(world.database, world.settings, operator, PLACE, SECRET),
        lambda: stores.own_store(world.database, operator),
        lambda: stores.forget_store(world.database, operator),
        lambda: stores.try_place(world.database, world.settings, operator, PLACE, SECRET),
        lambda: stores.take_over(world.database, world.settings, operator),
    ):
        with pytest.raises(NotAllowed):
            verb()


def test_snapshot_that_no_copy_has_asks_for_one_once(world: World, host: AgentId) -> None:
    world.add_snapshot(host)
    stores.keep_store(world.database, world.settings, world.principal, PLACE, SECRET)

    for _ in range(3):
        world.database.write(lambda connection: offsite_orders.ask(connection, TenantId("ten_1"), host))
        world.database.write(offsite_orders.queue_due)

    assert 1 == len(jobs.waiting_of(world.database.read, host, Kind.OFFSITE))


def test_store_that_is_switched_off_is_asked_for_nothing(world: World, host: AgentId) -> None:
    world.add_snapshot(host)
    place = msgspec.structs.replace(PLACE, is_enabled=False)
    stores.keep_store(world.database, world.settings, world.principal, place, SECRET)

    world.database.write(offsite_orders.queue_due)

    assert [] == jobs.waiting_of(world.database.read, host, Kind.OFFSITE)


def test_copy_is_verified_every_week_and_asked_once(world: World, host: AgentId) -> None:
    store = stores.keep_store(world.database, world.settings, world.principal, PLACE, SECRET)
    clock.set_source(lambda: NOW)
    write = world.database.write
    write(lambda connection: table_offsite.put_generation(connection, store.id, host, generation(1, 8)))
    write(lambda connection: table_offsite_states.set_state(connection, host, "ten_1", store_id=store.id))

    asked = [write(offsite_orders.queue_verifications) for _ in range(2)]

    [job] = jobs.waiting_of(world.database.read, host, Kind.OFFSITE_VERIFY)
    write(lambda connection: jobs.end(connection, job.id, State.DONE, "", "", 0))
    later = NOW + timedelta(days=2)
    clock.set_source(lambda: later)
    text = clock.to_text(NOW)
    write(lambda connection: table_offsite_states.set_state(connection, host, "ten_1", verified_at=text))
    assert [1, 0, 0] == [*asked, write(offsite_orders.queue_verifications)]
    clock.set_source(None)


def test_copies_of_one_host_take_turns_and_two_run_in_all(world: World) -> None:
    stores.keep_store(world.database, world.settings, world.principal, PLACE, SECRET)
    for name in ("a", "b", "c"):
        agent_id = AgentId(world.add_host(name))
        for request in (offsite_orders.request_copy, offsite_orders.request_verify):
            request(world.database, world.principal, agent_id)

    claimed = []
    while due := jobs.due_on_appliance(world.database.read):
        for job_id in due:
            job = world.database.write(lambda connection, job_id=job_id: jobs.claim(connection, job_id, "w", NOW))
            claimed += [job.agent_id] if job else []

    assert 2 == len(claimed) == len(set(claimed))


def test_manifest_of_a_newer_form_is_not_understood(tmp_path: Path) -> None:
    manifest = offsite_layout.Manifest(
        format="saveos-offsite-2", number=1, made_at=NOW, tenant_id="t", agent_id="a", hostname="h", engine_id="e",
        moment=1, life=0, config="", readme="", nonce="",
    )  # fmt: skip

    with pytest.raises(ObjectAltered):
        offsite_layout.decoded(offsite_layout.encoded(manifest, tmp_path / "key"))
    with pytest.raises(ObjectAltered):
        offsite_layout.decoded(b"{}")


def test_manifest_is_genuine_by_the_key_that_signed_it_alone(tmp_path: Path) -> None:
    manifest = offsite_layout.Manifest(
        number=1, made_at=NOW, tenant_id="t", agent_id="a", hostname='"mac": ""', engine_id="e", moment=1, life=0,
        config='"mac": ""', readme="", nonce="0f",
    )  # fmt: skip
    content = offsite_layout.encoded(manifest, tmp_path / "key")
    read = offsite_layout.decoded(content)

    assert offsite_layout.is_genuine(content, read, tmp_path / "key")
    assert not offsite_layout.is_genuine(content, read, tmp_path / "another key")
    for altered in (content.replace(b"0f", b"0e"), content.replace(read.mac.encode(), b""), content + b" "):
        assert not offsite_layout.is_genuine(altered, offsite_layout.decoded(altered), tmp_path / "key")


def test_hands_give_all_that_is_done_and_the_first_error() -> None:
    is_cancelled = threading.Event()

    assert {number * 2 for number in range(50)} == set(each(lambda number: number * 2, range(50), is_cancelled))
    with pytest.raises(ZeroDivisionError):
        list(each(lambda number: 1 // number, [1, 2, 0, 3], is_cancelled))


def test_hands_are_let_go_at_once_when_cancelled() -> None:
    is_cancelled, is_over = threading.Event(), threading.Event()
    threading.Timer(0.2, is_cancelled.set).start()
    begun = time.monotonic()

    with pytest.raises(Stopped):
        list(each(lambda _number: is_over.wait(30), range(9), is_cancelled))

    assert time.monotonic() - begun < 2
    is_over.set()


def test_body_is_slow_while_it_is_sent_and_quick_while_it_is_signed() -> None:
    body = PacedBody(bytes(100_000), Pace(lambda: 200_000, threading.Event()))

    begun = time.monotonic()
    assert 100_000 == len(body.read())
    assert time.monotonic() - begun < 0.1
    body.seek(0)
    body.is_sending = True
    while body.read(10_000):
        pass

    assert 0.3 < time.monotonic() - begun < 1.5
