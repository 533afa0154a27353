"""Listings from hosts that lie: nothing of them is believed, and it stays with the one who sent it."""

from __future__ import annotations

import base64
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import config
from saveos.protocol import LISTING_PART_BYTES
from saveos.snapshots import indexing
from tests.support.appliance import Appliance, wait_until
from tests.support.catalogues import World
from tests.support.host import WireHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LISTINGS = "/api/v1/agents/self/listings"
ROOT = b"srv\0i 0 ? 0 -1\n"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("listings")) as appliance:
        appliance.set_up()
        yield appliance


@pytest.fixture
def host(appliance: Appliance, tmp_path: Path) -> WireHost:
    """A host whose first backup is done; its listing is wanted."""
    host = WireHost.enrolled(appliance, tmp_path / "wire")
    host.make_ready()
    back_up(host)
    return host


def back_up(host: WireHost) -> str:
    """Report the backup that the appliance asks for, and return the archive's name."""
    assignment = wait_until(lambda: host.heartbeat()["assignment"], 10, "the backup to be asked for")
    archive = str(assignment["backup"]["archive"])
    host.report_made(assignment, files_count=1).expect(204)
    return archive


def wanted(host: WireHost) -> dict[str, Any]:
    told: dict[str, Any] = host.call("GET", LISTINGS).expect(200)
    return told


def send(host: WireHost, data: bytes, **said: Any) -> Any:
    part = {"archive": wanted_archive(host), "is_last": True, "data": base64.b64encode(data).decode(), **said}
    return host.call("POST", LISTINGS, part)


def wanted_archive(host: WireHost) -> str:
    return str(wanted(host)["archives"][-1])


def folder(host: WireHost, path: str = "") -> dict[str, Any]:
    snapshot = host.appliance.snapshots(host.id)[0]["id"]
    page: dict[str, Any] = host.appliance.call("GET", f"/api/v1/snapshots/{snapshot}/files?path={path}").expect(200)
    return page


def await_state(host: WireHost, state: str) -> dict[str, Any]:
    return wait_until(lambda: (page := folder(host))["state"] == state and page, 20, f"the snapshot to be {state}")


def test_listing_is_wanted_until_it_is_here(host: WireHost) -> None:
    before = host.heartbeat()["listing_wanted"]
    archive = wanted_archive(host)

    send(host, zlib.compress(ROOT + b"srv\x01<b>\0f 5 0 644 0\n")).expect(204)

    page = await_state(host, "indexed")
    assert before is True
    assert [("srv", "folder", 5, 1)] == [
        (one["name"], one["kind"], one["size_bytes"], one["files_count"]) for one in page["entries"]
    ]
    assert ["srv/<b>"] == [one["path"] for one in folder(host, "srv")["entries"]]
    assert (archive, []) == (wanted(host)["head"], wanted(host)["archives"])
    assert host.heartbeat()["listing_wanted"] is False


@pytest.mark.parametrize(
    "lines",
    [
        b"..\0f 1 0 644 0\n",
        ROOT + b"srv\x01..\0f 1 0 644 0\n",
        ROOT + b"srv\x01\0f 1 0 644 0\n",
        b"\0f 1 0 644 0\n",
        b"a/b\0f 1 0 644 0\n",
        b"a\0b\0f 1 0 644 0\n",
        b"nowhere\x01a\0f 1 0 644 0\n",
        b"a\0f 1 0 644 0\na\x01b\0f 1 0 644 0\n",
        b"b\0f 1 0 644 0\na\0f 1 0 644 0\n",
        b"a\0f 1 0 644 0\na\0f 1 0 644 0\n",
        b"a\0f -1 0 644 0\n",
        b"a\0f 99999999999999999999999 0 644 0\n",
        b"a\0f 1 0 777777 0\n",
        b"".join(b"%b\0f %d 0 644 0\n" % (name, 2**62 - 1) for name in (b"a", b"b", b"c")),
        b"a\0x 1 0 644 0\n",
        b"a\0f 1 0 644\n",
        b"a\0f 1 0 644 0",
        b"\x02a\0f 1 0 644 0\n",
        b"a" * 5000 + b"\0f 1 0 644 0\n",
        b"a" * 100_000_000,
        b"not even a line",
    ],
    ids=range(21),
)
def test_listing_that_no_host_has_is_of_no_use(host: WireHost, lines: bytes) -> None:
    send(host, zlib.compress(lines)).expect(204)

    assert [] == await_state(host, "missing")["entries"]


@pytest.mark.parametrize("data", [b"", b"no zlib", zlib.compress(ROOT)[:-5], zlib.compress(ROOT) + b"more"])
def test_stream_that_cannot_be_inflated_is_of_no_use(host: WireHost, data: bytes) -> None:
    send(host, data).expect(204)

    await_state(host, "missing")


def test_next_snapshot_after_a_useless_listing_comes_whole(host: WireHost) -> None:
    send(host, b"no zlib").expect(204)
    await_state(host, "missing")
    host.appliance.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)
    back_up(host)

    told = wanted(host)
    send(host, zlib.compress(ROOT)).expect(204)

    assert ("", 1) == (told["head"], len(told["archives"]))
    assert ["srv"] == [entry["name"] for entry in await_state(host, "indexed")["entries"]]


def test_parts_out_of_turn_are_refused(host: WireHost) -> None:
    send(host, zlib.compress(ROOT), number=1).expect(409)
    send(host, zlib.compress(ROOT), base="of somebody else").expect(409)
    send(host, zlib.compress(ROOT), is_sealed=True).expect(409)
    send(host, zlib.compress(ROOT), archive="of somebody else").expect(404)
    send(host, b"", is_last=False).expect(400)
    send(host, bytes(LISTING_PART_BYTES + 1)).expect(400)
    send(host, zlib.compress(ROOT), number=1000).expect(400)


def test_parts_of_a_listing_that_ended_nowhere_are_dropped(appliance: Appliance, host: WireHost) -> None:
    catalogues = config.load({"data": str(appliance.data)}, {}).catalogues
    send(host, b"half", is_last=False).expect(204)
    host.appliance.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)
    archive = back_up(host)
    before = sorted(path.name for path in catalogues.glob(f"*/{host.id}.incoming/*"))

    send(host, b"half", archive=archive, is_last=False).expect(204)

    after = sorted(path.name for path in catalogues.glob(f"*/{host.id}.incoming/*"))
    assert [snapshot["id"] for snapshot in appliance.snapshots(host.id)] == [*after, *before]


def test_listing_of_another_host_cannot_be_sent(appliance: Appliance, host: WireHost, tmp_path: Path) -> None:
    other = WireHost.enrolled(appliance, tmp_path / "other")
    other.make_ready()

    part = {"archive": wanted_archive(host), "is_last": True, "data": base64.b64encode(zlib.compress(ROOT)).decode()}
    other.call("POST", LISTINGS, part).expect(404)

    assert "waiting" == folder(host)["state"]


def test_people_cannot_send_listings(appliance: Appliance) -> None:
    appliance.call("POST", LISTINGS, {"archive": "a"}).expect(401)
    appliance.call("GET", LISTINGS).expect(401)


def test_archive_that_is_gone_is_not_asked_for_again(host: WireHost) -> None:
    send(host, b"", error="snapshot-missing").expect(204)

    assert [] == wanted(host)["archives"]
    assert "missing" == folder(host)["state"]


def test_listing_in_many_parts_survives_a_killed_appliance(appliance: Appliance, host: WireHost) -> None:
    names = b"".join(b"srv\x01%06d\0f 1 0 644 0\n" % number for number in range(30_000))
    stream = zlib.compress(ROOT + names)
    cuts = [stream[at : at + 20_000] for at in range(0, len(stream), 20_000)]
    archive = wanted_archive(host)
    for number, data in enumerate(cuts):
        send(host, data, archive=archive, number=number, is_last=number == len(cuts) - 1).expect(204)

    appliance.kill()
    appliance.start()

    await_state(host, "indexed")
    assert ["000000", "000001"] == [entry["name"] for entry in folder(host, "srv")["entries"][:2]]
    assert 30_000 == folder(host)["entries"][0]["files_count"]


@pytest.mark.parametrize("way", ["gone", "rotten", "of an older form"])
def test_lost_catalogue_is_asked_for_at_the_next_start(appliance: Appliance, host: WireHost, way: str) -> None:
    send(host, zlib.compress(ROOT)).expect(204)
    await_state(host, "indexed")
    settings = config.load({"data": str(appliance.data)}, {})
    appliance.stop()
    for path in settings.catalogues.rglob(f"{host.id}.db*"):
        if way == "gone" or path.suffix != ".db":
            path.unlink()
        elif way == "rotten":
            path.write_bytes(b"rotten" * 1000)
        else:
            sqlite3.connect(path).execute("PRAGMA user_version=1").connection.close()

    appliance.start()

    wait_until(lambda: wanted(host)["archives"], 60, "the listing to be asked for")
    assert ("waiting", []) == (folder(host)["state"], folder(host)["entries"])


@pytest.mark.faults
def test_killed_indexing_leaves_no_half_state(tmp_path: Path) -> None:
    world = World.made(tmp_path / "data")
    agent = world.add_host("h")
    trees = [{b"d/%06d" % number: b"f %d 0 644 0" % (number + k) for number in range(20_000)} for k in range(2)]
    world.back_up(agent, {b"d/first": b"f 1 0 644 0"})
    kills = 0
    for tree in trees:
        snapshot, archive = world.add_snapshot(agent)
        lines = b"d\0i 0 ? 0 -1\n" + b"".join(
            b"d\x01%b\0%b\n" % (path[2:], facts) for path, facts in sorted(tree.items())
        )
        order = world.order(agent, snapshot, archive, zlib.compress(lines))
        for patience in (0.25, 0.4, 0.6, 60):
            process = subprocess.Popen(
                [sys.executable, "-m", "saveos.snapshots.indexing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(order))
            process.stdin.close()
            deadline = time.monotonic() + patience
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
        done = indexing.perform(order)

        assert ("", 20_001) == (done.code, done.entries_count)
    assert kills > 0
    world.close()
