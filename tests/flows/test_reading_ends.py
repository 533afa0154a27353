"""Downloads that end too early, on either side, and hosts that lie: seen by the person, felt by nobody else."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from saveos.agents.streams import LIMIT_PER_HOST
from saveos.protocol import FRAME_HEADER, Frame
from tests.flows.test_reading import download, inside
from tests.support.agent import RealAgent, assert_all_gone, back_up_only, database, put_base
from tests.support.appliance import Answer, Appliance, wait_until
from tests.support.host import WireHost
from tests.support.processes import processes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE_BYTES = 400_000_000
MEMORY_KB = 60_000  # what a download of any size may add to the appliance
READER_KB = 150_000  # Borg itself is 40 MB of it
LEFT_SECONDS = 4.0  # a person who has gone is noticed within a second or two


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("ends")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "tree" / "large"
    path.parent.mkdir()
    with path.open("wb") as file:
        block = os.urandom(20_000_000)
        for _ in range(LARGE_BYTES // len(block)):
            file.write(block)
    return path


@pytest.fixture(scope="module")
def served(appliance: Appliance, large: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    back_up_only(appliance, large.parent)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served")
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture(scope="module")
def address(served: RealAgent, large: Path) -> str:
    snapshot_id = served.appliance.snapshots(served.id)[0]["id"]
    return f"/api/v1/snapshots/{snapshot_id}/download?path={inside(large)}"


@pytest.fixture
def wire(appliance: Appliance, tmp_path: Path) -> tuple[WireHost, str]:
    """A host that speaks by hand, and a snapshot of it."""
    host = WireHost.enrolled(appliance, tmp_path / "wire")
    host.make_ready()
    assignment = host.heartbeat()["assignment"]
    host.report_made(assignment).expect(204)
    return host, str(appliance.snapshots(host.id)[0]["id"])


def opened(appliance: Appliance, address: str) -> tuple[http.client.HTTPSConnection, http.client.HTTPResponse]:
    """Begin a download and take its first bytes."""
    connection = http.client.HTTPSConnection("127.0.0.1", appliance.port, timeout=60)
    connection.sock = appliance.connect()
    connection.request("GET", address, headers={"authorization": f"Bearer {appliance.token}"})
    response = connection.getresponse()
    assert 200 == response.status, response.read()
    assert response.read(100_000)
    return connection, response


def readers(agent: RealAgent) -> list[int]:
    """Return the processes that read for a host, and their tunnels."""
    mark = f"BORG_BASE_DIR={agent.folder}/".encode()
    return [
        process.pid
        for process in processes()
        if {"read", "tunnel"} & set(process.words) and mark in process.environment
    ]


def is_whole(response: http.client.HTTPResponse) -> bool:
    """Take what is left, and return whether it reached the end that was promised."""
    left = response.length
    try:
        while part := response.read(1_000_000):
            left = left - len(part) if left is not None else None
    except http.client.IncompleteRead:
        return False
    return not left


@pytest.mark.parametrize("form", ["file", "zip", "tar.zst"])
def test_source_that_is_killed_half_way_is_seen_by_the_person(served: RealAgent, address: str, form: str) -> None:
    connection, response = opened(served.appliance, f"{address}&form={form}")
    pids = wait_until(lambda: readers(served), 5, "the host to read")
    os.kill(pids[0], signal.SIGKILL)

    with contextlib.closing(connection):
        assert not is_whole(response)

    assert_all_gone(pids, 5)


def test_host_that_dies_half_way_is_seen_by_the_person(served: RealAgent, address: str) -> None:
    connection, response = opened(served.appliance, f"{address}&form=zip")
    pids = wait_until(lambda: readers(served), 5, "the host to read")

    served.kill()

    try:
        with contextlib.closing(connection):
            assert not is_whole(response)
        assert_all_gone(pids, 10)
    finally:
        served.start_daemon()
        wait_until(lambda: served.appliance.call("HEAD", address).status == 200, 30, "the host to be back")


def test_person_who_leaves_ends_the_reading(served: RealAgent, address: str) -> None:
    connection, _response = opened(served.appliance, address)
    pids = wait_until(lambda: readers(served), 5, "the host to read")

    connection.sock.close()
    connection.close()
    _response.close()

    assert_all_gone(pids, LEFT_SECONDS)
    assert not list((served.folder / "agent").rglob("tunnel-*.json"))


def test_large_download_takes_no_memory(served: RealAgent, address: str) -> None:
    assert served.appliance.process is not None
    pid = served.appliance.process.pid
    served.appliance.call("HEAD", address).expect(200)
    before = resident_kb(pid)

    connection, response = opened(served.appliance, address)
    reader = min(wait_until(lambda: readers(served), 5, "the host to read"))
    most, of_reader, count = before, 0, 100_000
    with contextlib.closing(connection):
        while part := response.read(1_000_000):
            count += len(part)
            most = max(most, resident_kb(pid))
            with contextlib.suppress(OSError, StopIteration):  # it has ended
                of_reader = max(of_reader, resident_kb(reader))

    assert LARGE_BYTES == count
    assert most - before < MEMORY_KB
    assert 0 < of_reader < READER_KB


def test_fifth_download_of_a_host_is_one_too_many(served: RealAgent, address: str) -> None:
    four = [opened(served.appliance, address) for _ in range(4)]

    refused = served.appliance.call("GET", address)

    for connection, _response in four:
        connection.sock.close()
        _response.close()
    assert (429, "too-many-requests") == (refused.status, refused.body["code"])
    assert_all_gone(readers(served), LEFT_SECONDS)


def resident_kb(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def frame(kind: Frame, data: bytes = b"") -> bytes:
    return FRAME_HEADER.pack(kind, len(data)) + data


def head(**said: Any) -> bytes:
    return frame(Frame.DATA, json.dumps({"kind": "file", **said}).encode() + b"\n")


class Asked:
    """A person who waits for a download of a host that speaks by hand."""

    def __init__(self, host: WireHost, snapshot_id: str) -> None:
        self.answer: Answer | None = None
        self.error: Exception | None = None
        self._call = lambda: download(host.appliance, snapshot_id, "etc/passwd")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self.question = wait_until(lambda: host.heartbeat()["questions"], 10, "the question")[0]
        self.path = f"/api/v1/agents/self/streams/{self.question['question_id']}"

    def _run(self) -> None:
        try:
            self.answer = self._call()
        except http.client.HTTPException as error:
            self.error = error

    def join(self) -> Asked:
        """Wait for the end."""
        self._thread.join(timeout=60)
        return self


def test_host_hears_what_it_is_to_read(wire: tuple[WireHost, str]) -> None:
    host, snapshot_id = wire
    asked = Asked(host, snapshot_id)

    body = (
        head(size_bytes=5, whole_bytes=5) + frame(Frame.PING) + frame(Frame.DATA, b"hello") + frame(Frame.EXIT, b"\0")
    )
    host.call("POST", asked.path, body).expect(200)

    assert {"path": "etc/passwd", "place": None} == asked.question["read"]["chosen"][0]
    answer = asked.join().answer
    assert answer is not None
    assert b"hello" == answer.expect(200)


@pytest.mark.parametrize(
    "body",
    [
        head(size_bytes=5) + frame(Frame.DATA, b"hello"),
        head(size_bytes=5) + frame(Frame.DATA, b"hello") + frame(Frame.EXIT, b"\1"),
        head(size_bytes=5) + frame(Frame.DATA, b"hell") + frame(Frame.EXIT, b"\0"),
        head(size_bytes=5) + frame(Frame.DATA, b"hello!") + frame(Frame.EXIT, b"\0"),
        head() + frame(Frame.DATA, b"hello"),
        head() + frame(Frame.DATA, b"hello") + frame(Frame.EXIT, b"\7"),
        head() + frame(Frame.DATA, b"hello") + b"\0\0",
    ],
    ids=["no end", "failed", "short", "long", "no end, no size", "failed, no size", "half a frame"],
)
def test_stream_that_is_not_whole_is_cut_off(wire: tuple[WireHost, str], body: bytes) -> None:
    host, snapshot_id = wire
    asked = Asked(host, snapshot_id)

    host.call("POST", asked.path, body)

    assert isinstance(asked.join().error, http.client.IncompleteRead)


@pytest.mark.parametrize(
    "body",
    [
        b"", frame(Frame.EXIT, b"\0"), frame(Frame.DATA, b"[]\n"), frame(Frame.DATA, b"x" * 100_000),
        frame(Frame.DATA, b'{"size_bytes": -1}\n'), head(error_code="engine-error", message="<b>no</b>"),
        frame(Frame.HELLO, b""), FRAME_HEADER.pack(0, 2**31),
    ],
    ids=["nothing", "end", "list", "no line", "size", "error", "kind", "large"],
)  # fmt: skip
def test_stream_without_a_head_is_a_problem(wire: tuple[WireHost, str], body: bytes) -> None:
    host, snapshot_id = wire
    asked = Asked(host, snapshot_id)

    host.call("POST", asked.path, body)

    answer = asked.join().answer
    assert answer is not None
    assert (502, "engine-error") == (answer.status, answer.body["code"])


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2020-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2020-01-01T00:00:00+01:00", "Tue, 31 Dec 2019 23:00:00 GMT"),
    ],
    ids=["nowhere", "before all time", "an hour ahead"],
)
def test_time_of_another_zone_takes_no_place_for_ever(
    wire: tuple[WireHost, str], said: str, expected: str | None
) -> None:
    host, snapshot_id = wire
    body = head(size_bytes=2, modified_at=said) + frame(Frame.DATA, b"ok") + frame(Frame.EXIT, b"\0")

    for _ in range(LIMIT_PER_HOST + 1):
        asked = Asked(host, snapshot_id)
        host.call("POST", asked.path, body)

        answer = asked.join().answer
        assert answer is not None
        if expected is None:
            assert (502, "engine-error") == (answer.status, answer.body["code"])
        else:
            assert (b"ok", expected) == (answer.expect(200), answer.headers["last-modified"])


def test_stream_is_fed_once_and_by_its_host_alone(wire: tuple[WireHost, str], tmp_path: Path) -> None:
    host, snapshot_id = wire
    other = WireHost.enrolled(host.appliance, tmp_path / "other")
    asked = Asked(host, snapshot_id)
    body = head(size_bytes=2) + frame(Frame.DATA, b"ok") + frame(Frame.EXIT, b"\0")

    answers = [
        other.call("POST", asked.path, body),
        host.appliance.call("POST", asked.path, body),
        host.call("POST", asked.path, body),
        host.call("POST", asked.path, body),
    ]

    assert [404, 401, 200, 404] == [answer.status for answer in answers]
    answer = asked.join().answer
    assert answer is not None
    assert b"ok" == answer.expect(200)


def test_reading_is_no_question_to_be_answered_in_words(wire: tuple[WireHost, str]) -> None:
    host, snapshot_id = wire
    asked = Asked(host, snapshot_id)

    said = host.call("POST", f"/api/v1/agents/self/answers/{asked.question['question_id']}", {})

    host.call("POST", asked.path, b"")
    asked.join()
    assert (400, "invalid-request") == (said.status, said.body["code"])


def test_host_that_is_offline_is_named_with_what_would_help(wire: tuple[WireHost, str]) -> None:
    host, snapshot_id = wire
    with database(host.appliance) as connection:
        connection.execute("UPDATE agents SET seen_at = '2026-01-01T00:00:00.000000Z' WHERE id = ?", (host.id,))

    answer = download(host.appliance, snapshot_id, "etc/passwd")

    assert (409, "host-offline-and-sealed") == (answer.status, answer.body["code"])


def test_host_that_does_not_begin_is_given_up(wire: tuple[WireHost, str]) -> None:
    host, snapshot_id = wire
    began = time.monotonic()
    asked = Asked(host, snapshot_id)

    answer = asked.join().answer

    assert answer is not None
    assert (409, "host-offline") == (answer.status, answer.body["code"])
    assert time.monotonic() - began < 25
    assert 404 == host.call("POST", asked.path, b"").status
