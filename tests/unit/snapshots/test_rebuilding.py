"""What becomes of a host's listings and its catalogue when something else happens at the same time."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import zlib
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from saveos.agent import listings
from saveos.agents.model import AgentIdentity, AgentState
from saveos.errors import Conflict
from saveos.protocol import AgentId, ListingPart, TenantId
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_memory, catalogue_search, indexing, names, rebuilding, receiving, table_listings
from saveos.snapshots.catalogue_model import Scope, SearchQuery
from saveos.snapshots.names import Names
from saveos.snapshots.table_listings import Want
from saveos.snapshots.unsealing import Unsealing
from saveos.worker.indexing import KILLS_LIMIT, Indexer, Killed
from tests.support.appliance import wait_until
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.snapshots.indexing import Ending, Order

LINES = [b"secret\0f 1 0 644 0\n"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.made(tmp_path / "data")
    yield world
    world.close()


class Host:
    """A host that hands listings over, and the appliance that indexes them in this process."""

    def __init__(self, world: World, name: str = "h") -> None:
        self.world, self.id = world, world.add_host(name)
        self.indexer = Indexer(world.settings, world.database)
        self.indexer._run = indexing.perform  # type: ignore[method-assign]
        self.lines: dict[str, list[bytes]] = {}  # by archive

    @property
    def identity(self) -> AgentIdentity:
        wanted = bool(table_listings.wanted(self.world.database.read, self.id))
        return AgentIdentity(
            agent_id=AgentId(self.id),
            tenant_id=TenantId(self.world.tenant),
            hostname="h",
            serial="",
            is_renewal_due=False,
            state=AgentState.READY,
            is_listing_wanted=wanted,
        )

    def send(self, archive: str, lines: list[bytes], base: str = "", *, is_sealed: bool = False) -> None:
        data = zlib.compress(b"".join(lines))
        for number, piece in enumerate((data[:5], data[5:])):
            part = ListingPart(
                archive=archive, base=base, number=number, data=piece, is_last=number == 1, is_sealed=is_sealed
            )
            receiving.take(self.world.database, self.world.settings, self.identity, part)

    def back_up(self, lines: list[bytes]) -> str:
        archive = self.world.add_snapshot(self.id)[1]
        self.world.database.write(lambda connection: table_listings.want(connection, self.id, Want.NEWEST))
        self.lines[archive] = lines
        return archive

    def hand_over(self) -> list[tuple[str, str]]:
        """Send all that is wanted, as hosts do; return archives and bases."""
        wanted = receiving.wanted(self.world.database, self.identity)
        sent, base = [], wanted.head
        for archive in wanted.archives:
            lines = self.lines[archive]
            lines = list(listings.difference(self.lines[base], lines)) if base else lines
            self.send(archive, lines, base, is_sealed=wanted.is_sealed)
            sent.append((archive, base))
            base = archive
        return sent

    def counts(self) -> dict[str, int]:
        return table_listings.counts(self.world.database.read, self.id)

    def index(self) -> None:
        """Bring in what waits."""
        while listing := table_listings.waiting(self.world.database.read, ""):
            self.indexer._index(listing)

    def files(self) -> list[str]:
        """Return what is there of it that can be read: no locks, and no empty folders."""
        paths = (self.world.settings.catalogues / self.world.tenant).rglob("*")
        return [path.name for path in paths if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def host(world: World) -> Host:
    return Host(world)


def choose(world: World, chosen: Names) -> None:
    names.choose(world.database, world.settings, world.principal, chosen)


def meanwhile(monkeypatch: pytest.MonkeyPatch, host: Host, happens: Callable[[], object]) -> None:
    """Let something happen once, right before a catalogue that is new gets its name."""
    seal = indexing.table.seal
    making = files.catalogue(host.world.settings, host.world.tenant, host.id).with_suffix(".making")

    def sealed(connection: object) -> None:
        monkeypatch.setattr(indexing.table, "seal", seal)
        seal(connection)  # type: ignore[arg-type]
        made = making.read_bytes()
        happens()
        making.write_bytes(made)

    monkeypatch.setattr(indexing.table, "seal", sealed)


def found(world: World, text: str, scope: Scope = Scope.ALL) -> list[str]:
    """Return the paths that a search finds."""
    query = SearchQuery(text=text, scope=scope)
    page = catalogue_search.search(world.database, world.settings, world.principal, query)
    return [hit.path for hit in page.hits]


def open_files() -> list[str]:
    """Return what this process has open."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        except FileNotFoundError:
            continue  # the look itself
    return links


def test_removed_catalogue_is_not_kept_open(world: World) -> None:
    agent = world.add_host("h")
    world.back_up(agent, {b"name": b"f 1 0 644 0"})
    assert ["name"] == found(world, "name")

    files.remove(world.settings, world.tenant, agent)

    assert [] == [name for name in open_files() if name.startswith(str(world.settings.catalogues))]


def test_names_sealed_while_the_first_listing_is_indexed_leave_nothing_readable(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.send(world.add_snapshot(host.id)[1], LINES)

    meanwhile(monkeypatch, host, lambda: choose(world, Names.SEALED))
    host.index()

    assert ([], []) == (host.files(), found(world, "secret"))


def test_names_sealed_while_a_listing_is_indexed_by_a_process_that_dies_leave_nothing_readable(
    host: Host, world: World
) -> None:
    host.send(world.add_snapshot(host.id)[1], LINES)

    def run(order: Order) -> Ending:
        choose(world, Names.SEALED)
        Path(order.catalogue).touch()
        raise RuntimeError("It was killed.")

    host.indexer._run = run  # type: ignore[method-assign]
    host.index()

    assert [] == host.files()


@pytest.mark.parametrize("is_last", [False, True])
def test_part_that_is_on_its_way_when_names_are_sealed_is_not_kept(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch, *, is_last: bool
) -> None:
    archive = world.add_snapshot(host.id)[1]
    disk_usage = receiving.shutil.disk_usage

    def asked(path: Path) -> object:
        choose(world, Names.SEALED)
        return disk_usage(path)

    monkeypatch.setattr(receiving.shutil, "disk_usage", asked)
    part = ListingPart(archive=archive, data=zlib.compress(b"".join(LINES)), is_last=is_last)
    with pytest.raises(Conflict, match="the other way"):
        receiving.take(world.database, world.settings, host.identity, part)

    assert ([], {"": 1}) == (host.files(), table_listings.counts(world.database.read, host.id))


def test_what_a_killed_appliance_left_readable_is_deleted_at_the_next_start(
    host: Host, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.send(world.add_snapshot(host.id)[1], LINES)
    host.index()
    for name in (f"{host.id}.making", f"{host.id}.making-journal", "agt_gone.db"):
        (world.settings.catalogues / world.tenant / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", lambda *_of: None)
        patch.setattr(files, "remove_readable", lambda *_of: None)
        choose(world, Names.SEALED)
    before = host.files()

    rebuilding.ask_for_lost(world.database, world.settings)

    assert (4, []) == (len(before), host.files())


def test_catalogue_whose_listings_are_forgotten_is_deleted_at_the_next_start(host: Host, world: World) -> None:
    host.send(world.add_snapshot(host.id)[1], LINES)
    host.index()
    world.database.write(lambda connection: table_listings.forget_all(connection, host.id))

    rebuilding.ask_for_lost(world.database, world.settings)

    assert ([], []) == (host.files(), found(world, "secret"))


def test_difference_to_a_listing_that_is_of_no_use_is_asked_for_anew_and_nothing_else(host: Host) -> None:
    good = host.back_up([b"a\0f 1 0 644 0\n"])
    host.hand_over()
    host.index()
    bad = host.back_up([b"..\0f 1 0 644 0\n"])
    after = [host.back_up([b"b\0f 1 0 644 0\n"]), host.back_up([b"c\0f 1 0 644 0\n"])]
    first = host.hand_over()
    host.index()
    second = host.hand_over()
    host.index()
    third = host.hand_over()

    assert [(bad, good), (after[0], bad), (after[1], after[0])] == first
    assert [(after[0], good), (after[1], after[0])] == second
    assert ([], {"indexed": 3, "failed": 1}) == (third, host.counts())
    assert ["c"] == found(host.world, "*", Scope.LATEST)


def test_first_listing_that_is_of_no_use_is_not_asked_for_again(host: Host) -> None:
    bad, good = host.back_up([b"..\0f 1 0 644 0\n"]), host.back_up([b"b\0f 1 0 644 0\n"])
    world = host.world
    rebuilding.rebuild(world.database, world.settings, world.principal, host.id)

    rounds = []
    for _round in range(3):
        rounds.append(host.hand_over())
        host.index()

    assert [[(bad, ""), (good, bad)], [(good, "")], []] == rounds
    assert {"indexed": 1, "failed": 1} == host.counts()


def test_rebuild_while_the_first_listing_is_indexed_takes_one_round(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = host.world
    host.back_up([b"a\0f 1 0 644 0\n"])
    host.back_up([b"x\0f 1 0 644 0\n"])
    host.hand_over()  # the newest one alone
    meanwhile(monkeypatch, host, lambda: rebuilding.rebuild(world.database, world.settings, world.principal, host.id))
    host.index()

    sent = host.hand_over()
    host.index()

    assert (2, {"indexed": 2}, []) == (len(sent), host.counts(), host.hand_over())
    assert ["x"] == found(world, "*", Scope.LATEST)


def test_catalogue_that_lacks_what_it_should_hold_is_made_anew(host: Host) -> None:
    world = host.world
    bad = host.back_up([b"..\0f 1 0 644 0\n"])
    host.hand_over()
    host.index()
    for name in (b"a", b"b"):
        host.back_up([b"%b\0f 1 0 644 0\n" % name])
        host.hand_over()
        host.index()
    path = files.catalogue(world.settings, world.tenant, host.id)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM moments WHERE k = 2")
    connection.close()
    host.back_up([b"c\0f 1 0 644 0\n"])
    host.hand_over()
    host.index()
    left = path.exists()

    sent = host.hand_over()
    host.index()

    assert not left
    assert bad not in [archive for archive, _base in sent]
    assert ({"indexed": 3, "failed": 1}, []) == (host.counts(), host.hand_over())
    assert ["c"] == found(world, "*", Scope.LATEST)


def test_listing_whose_sizes_overflow_fails_alone_and_at_once(host: Host) -> None:
    huge = [b"%b\0f %d 0 644 0\n" % (name, 2**61) for name in (b"a", b"b", b"c")]
    host.back_up(huge[:1])
    host.hand_over()
    host.index()
    host.back_up(huge)
    host.hand_over()
    host.index()
    grown = host.back_up(huge[:2])  # what each adds is little enough, all is not
    host.hand_over()
    host.index()

    after = host.back_up([b"z\0f 1 0 644 0\n"])
    sent = host.hand_over()
    host.index()

    assert {"indexed": 2, "failed": 2} == host.counts()
    assert grown not in [archive for archive, _base in sent]
    assert [after] == [archive for archive, _base in sent]


def test_listing_that_nobody_thought_of_fails_and_is_not_tried_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.back_up(LINES)
    host.hand_over()
    monkeypatch.setattr(indexing.writer, "bring_in", lambda *_of, **_how: 1 // 0)

    host.index()

    assert {"failed": 1} == host.counts()


def test_listing_that_ends_its_process_again_and_again_fails(host: Host) -> None:
    host.back_up(LINES)
    host.hand_over()
    tries: list[Order] = []

    def run(order: Order) -> Ending:
        tries.append(order)
        raise (RuntimeError if len(tries) == 1 else Killed)("It was killed.")

    host.indexer._run = run  # type: ignore[method-assign]
    for _try in range(KILLS_LIMIT):
        with pytest.raises(RuntimeError):
            host.index()
    host.index()

    assert (KILLS_LIMIT + 1, {"failed": 1}) == (len(tries), host.counts())


def test_damaged_catalogue_is_made_anew(host: Host) -> None:
    for name in (b"a", b"b"):
        host.back_up([b"%b\0f 1 0 644 0\n" % name])
        host.hand_over()
        files.catalogue(host.world.settings, host.world.tenant, host.id).write_bytes(b"rotten" * 1000)
        host.index()

    sent = host.hand_over()
    host.index()

    assert (2, {"indexed": 2}) == (len(sent), host.counts())
    assert ["b"] == found(host.world, "*", Scope.LATEST)


@pytest.mark.parametrize("lost", ["*", "*/0000"])
@pytest.mark.parametrize("count", [1, 2])
def test_listings_whose_parts_are_lost_are_asked_for_anew(host: Host, lost: str, count: int) -> None:
    world = host.world
    for _each in range(count):
        host.back_up([b"%06d\0f 1 0 644 0\n" % number for number in range(3)])
        host.hand_over()
    for path in files.incoming(world.settings, world.tenant, host.id).glob(lost):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    host.index()

    sent = host.hand_over()
    host.index()

    assert (count, {"indexed": count}) == (len(sent), host.counts())


@pytest.mark.parametrize("lost", [0, 1])
def test_sealed_listings_that_are_lost_are_asked_for_at_the_next_start(host: Host, lost: int) -> None:
    world = host.world
    choose(world, Names.SEALED)
    for _each in range(2):
        host.back_up(LINES)
        host.hand_over()
    asked = [rebuilding.ask_for_lost(world.database, world.settings)]
    shutil.rmtree(sorted(files.sealed(world.settings, world.tenant, host.id).iterdir())[lost])

    asked.append(rebuilding.ask_for_lost(world.database, world.settings))

    assert ([0, 1], []) == (asked, host.files())
    assert 2 == len(host.hand_over())


def test_listings_of_the_other_way_are_asked_for_at_the_next_start(host: Host) -> None:
    world = host.world
    host.back_up(LINES)
    host.hand_over()
    world.database.write(lambda connection: table_listings.set_names_of_tenant(connection, world.tenant, "sealed"))

    asked = rebuilding.ask_for_lost(world.database, world.settings)

    assert (1, []) == (asked, host.files())


def test_rebuild_of_an_appliance_that_is_killed_asks_for_all(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    world = host.world
    host.back_up(LINES)
    host.hand_over()
    host.index()

    def killed(*_of: object, **_how: object) -> None:
        raise ConnectionAbortedError

    rows = table_listings.forget_all
    monkeypatch.setattr(table_listings, "forget_all", killed)
    with pytest.raises(ConnectionAbortedError):  # before anything is written
        rebuilding.rebuild(world.database, world.settings, world.principal, host.id)
    before = host.files()
    monkeypatch.setattr(table_listings, "forget_all", rows)
    remove = files.remove
    monkeypatch.setattr(files, "remove", killed)
    with pytest.raises(ConnectionAbortedError):  # right after it
        rebuilding.rebuild(world.database, world.settings, world.principal, host.id)
    monkeypatch.setattr(files, "remove", remove)
    rebuilding.ask_for_lost(world.database, world.settings)

    assert (["agt_h.db"], [], 1) == (before, host.files(), len(host.hand_over()))


def test_thread_outlives_a_look_for_what_is_lost_that_fails(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_of: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(rebuilding, "ask_for_lost", failing)
    host.back_up(LINES)
    host.hand_over()

    host.indexer.start()
    try:
        wait_until(lambda: host.counts() == {"indexed": 1}, 10, "the listing to be indexed")
    finally:
        host.indexer.stop()


def test_part_and_the_folders_that_name_it_are_written_through(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    host.back_up(LINES)
    host.hand_over()

    assert {"0000", "0001", "snp_000001", "agt_h.incoming", host.world.tenant} <= synced


def test_newest_snapshot_that_is_removed_makes_nobody_send_anything_again(host: Host) -> None:
    archives = [host.back_up([b"%b\0f 1 0 644 0\n" % name]) for name in (b"a", b"b", b"c")]
    rebuilding.rebuild(host.world.database, host.world.settings, host.world.principal, host.id)
    host.hand_over()
    host.index()
    host.world.remove(host.id, ["snp_000003"])
    latest = found(host.world, "*", Scope.LATEST)
    following = host.back_up([b"d\0f 1 0 644 0\n"])

    sent = host.hand_over()
    host.index()

    assert (["b"], [(following, archives[1])]) == (latest, sent)
    assert ({"indexed": 3}, ["d"]) == (host.counts(), found(host.world, "*", Scope.LATEST))


def test_listing_of_a_snapshot_that_is_removed_while_it_is_indexed_is_taken_back(host: Host) -> None:
    host.back_up([b"a\0f 1 0 644 0\n"])
    host.hand_over()
    host.index()
    host.back_up(LINES)
    host.hand_over()

    def run(order: Order) -> Ending:
        ending = indexing.perform(order)
        host.world.database.write(
            lambda connection: connection.execute("DELETE FROM snapshots WHERE id > 'snp_000001'")
        )
        return ending

    host.indexer._run = run  # type: ignore[method-assign]
    host.index()

    assert ([], ["a"]) == (found(host.world, "secret"), found(host.world, "*", Scope.LATEST))


def test_catalogue_of_which_every_snapshot_is_removed_is_deleted(host: Host) -> None:
    for _each in range(2):
        host.back_up(LINES)
        host.hand_over()
        host.index()

    host.world.remove(host.id, ["snp_000001", "snp_000002"])

    assert [] == host.files()


def test_removal_by_an_appliance_that_was_killed_is_ended_by_the_next_start(host: Host) -> None:
    world = host.world
    for lines in (LINES, [b"b\0f 1 0 644 0\n"]):
        host.back_up(lines)
        host.hand_over()
        host.index()
    world.database.write(lambda connection: connection.execute("DELETE FROM snapshots WHERE id = 'snp_000001'"))

    asked = rebuilding.ask_for_lost(world.database, world.settings)

    assert (0, [], ["b"]) == (asked, found(world, "secret"), found(world, "*"))


@pytest.mark.parametrize(("gone", "kept"), [(1, []), (2, []), (3, ["snp_000001", "snp_000002"])])
def test_sealed_snapshot_that_is_removed_takes_what_builds_on_it_along(host: Host, gone: int, kept: list[str]) -> None:
    choose(host.world, Names.SEALED)
    for number in range(3):
        host.back_up([b"%d\0f 1 0 644 0\n" % number])
        host.hand_over()

    host.world.remove(host.id, [f"snp_{gone:06d}"])

    folder = files.sealed(host.world.settings, host.world.tenant, host.id)
    assert kept == sorted(path.name for path in folder.glob("*"))
    assert 2 == len(kept) + len(host.hand_over())
    assert {"sealed": 2} == host.counts()


def test_removal_of_another_snapshot_waits_until_the_first_listing_is_indexed(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.back_up(LINES)
    host.back_up([b"b\0f 1 0 644 0\n"])
    host.hand_over()  # the newest one alone
    removal = Thread(target=host.world.remove, args=(host.id, ["snp_000001"]))
    making = files.catalogue(host.world.settings, host.world.tenant, host.id).with_suffix(".making")
    states: list[bool] = []

    def happens() -> None:
        removal.start()
        removal.join(0.3)
        states.extend([removal.is_alive(), making.exists()])

    meanwhile(monkeypatch, host, happens)
    host.index()
    removal.join(10)

    assert ([True, True], {"indexed": 1}, ["b"]) == (states, host.counts(), found(host.world, "*"))


def test_sealed_listing_that_is_missing_when_it_is_to_be_opened_is_asked_for_anew(host: Host) -> None:
    world = host.world
    choose(world, Names.SEALED)
    host.back_up(LINES)
    host.hand_over()
    shutil.rmtree(files.sealed(world.settings, world.tenant, host.id) / "snp_000001")
    unsealing = Unsealing(world.settings, world.database, None)  # type: ignore[arg-type] - it comes to no key

    try:
        asyncio.run(unsealing._open(world.principal, AgentId(host.id)))
    finally:
        catalogue_memory.wipe(world.settings)

    assert {"": 1} == host.counts()
    assert 1 == len(host.hand_over())
