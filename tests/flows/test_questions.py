"""A person who waits asks a host: the real agent, idle and at work, and hosts that lie."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.host import WireHost
from tests.support.processes import alive, processes
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOON_SECONDS = 10.0  # a host that is not woken asks again after half a minute; how fast it is, no test says
WAKE_SECONDS = 5.0  # of the half minute that it would wait
SLOW = 2_000_000
ENDLESS = "re:(x+x+)+y"  # on a long name of x alone: longer than the universe


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("questions")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def proxy(appliance: Appliance) -> Iterator[Proxy]:
    proxy = Proxy(appliance.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tree with something to leave out, and a name on which a bad expression never ends."""
    tree = tmp_path_factory.mktemp("asked") / "tree"
    (tree / "cache").mkdir(parents=True)
    (tree / "work").mkdir()
    for number in range(20):
        (tree / "cache" / f"{number}").write_bytes(bytes(1000))
        (tree / "work" / f"{number}").write_bytes(bytes(10))
    (tree / "work" / "image.iso").write_bytes(bytes(50_000))
    (tree / ("x" * 200)).touch()
    return tree


@pytest.fixture(scope="module")
def served(
    appliance: Appliance, proxy: Proxy, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAgent]:
    """A host whose daemon serves and whose first backup is done."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served", address=proxy.address)
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture
def wire(appliance: Appliance, tmp_path: Path) -> WireHost:
    """A host that speaks by hand, heard of just now."""
    host = WireHost.enrolled(appliance, tmp_path / "wire")
    host.heartbeat()
    return host


def ask(appliance: Appliance, agent_id: str, what: str, **asked: Any) -> str:
    made = appliance.call("POST", f"/api/v1/agents/{agent_id}/{what}", asked).expect(202)
    return str(made["question_id"])


def read(appliance: Appliance, question_id: str) -> dict[str, Any]:
    asked: dict[str, Any] = appliance.call("GET", f"/api/v1/questions/{question_id}").expect(200)
    return asked


def answered(appliance: Appliance, question_id: str, seconds: float = 30) -> dict[str, Any]:
    asked: dict[str, Any] = wait_until(
        lambda: (asked := read(appliance, question_id))["state"] == "answered" and asked, seconds, "an answer"
    )
    answer: dict[str, Any] = asked["answer"]
    return answer


def list_folder(agent: RealAgent, path: str) -> tuple[dict[str, Any], float]:
    """Return the listing and how long it took."""
    began = time.monotonic()
    answer = answered(agent.appliance, ask(agent.appliance, agent.id, "folders", path=path))
    return answer["folder"], time.monotonic() - began


def counters(agent: RealAgent) -> list[int]:
    """Return the processes that count for a host."""
    mark = f"BORG_BASE_DIR={agent.folder}/".encode()
    return [process.pid for process in processes() if "try-excludes" in process.words and mark in process.environment]


def try_without_end(agent: RealAgent, tree: Path) -> tuple[str, int]:
    """Ask for a count that never ends; return the question, and the process that counts."""
    question_id = ask(agent.appliance, agent.id, "excludes", sources=[str(tree)], excludes=[ENDLESS])
    (counter,) = wait_until(lambda: counters(agent), 10, "the count to begin")
    return question_id, counter


def test_folder_of_an_idle_host_opens_at_once(served: RealAgent, tree: Path) -> None:
    folder, seconds = list_folder(served, str(tree))

    assert [("cache", "folder"), ("work", "folder"), ("x" * 200, "file")] == [
        (entry["name"], entry["kind"]) for entry in folder["entries"]
    ]
    assert (str(tree), False, "") == (folder["path"], folder["is_cut"], folder["error"])
    assert seconds < SOON_SECONDS


def test_folder_of_a_host_at_work_opens_at_once(served: RealAgent, proxy: Proxy, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(30_000_000))
    with proxy.slowed(SLOW):
        job_id = served.back_up(tmp_path / "large")
        served.await_progress(job_id)

        folder, seconds = list_folder(served, str(tree))
        excludes = {"sources": [str(tree)], "excludes": ["*.iso"]}
        tried = answered(served.appliance, ask(served.appliance, served.id, "excludes", **excludes))

        assert "running" == served.appliance.job(job_id)["state"]
    assert 3 == len(folder["entries"])
    assert seconds < SOON_SECONDS
    assert 1 == tried["excludes"]["skipped_files_count"]
    assert "done" == served.appliance.wait_for_job(job_id)["state"]


def test_roots_are_where_a_person_begins(served: RealAgent) -> None:
    folder, _ = list_folder(served, "")

    assert {"etc", "usr"} <= {entry["name"] for entry in folder["entries"]}


def test_folder_that_does_not_exist_is_said_not_to(served: RealAgent, tree: Path) -> None:
    folder, _ = list_folder(served, str(tree / "gone"))

    assert ("not-found", []) == (folder["error"], folder["entries"])


def test_folder_with_a_hundred_thousand_entries_is_cut(served: RealAgent, tmp_path: Path) -> None:
    for number in range(100_000):
        os.close(os.open(tmp_path / f"{number:06d}", os.O_CREAT | os.O_WRONLY))

    folder, seconds = list_folder(served, str(tmp_path))

    assert (2000, True) == (len(folder["entries"]), folder["is_cut"])
    assert "000000" == folder["entries"][0]["name"]
    assert seconds < SOON_SECONDS


def test_excludes_are_counted_on_the_host(served: RealAgent, tree: Path) -> None:
    asked = {"sources": [str(tree)], "excludes": ["*.iso", f"sh:{tree}/cache"]}

    tried = answered(served.appliance, ask(served.appliance, served.id, "excludes", **asked))["excludes"]

    assert {
        "files_count": 21, "original_bytes": 200, "skipped_files_count": 21, "skipped_bytes": 70_000,
        "examples": [str(tree / "work" / "image.iso"), str(tree / "cache")],
        "is_final": True, "bad_pattern": "", "message": "",
    } == tried  # fmt: skip


def test_excludes_of_a_source_that_is_not_there_say_so(served: RealAgent, tree: Path) -> None:
    some = {"sources": [str(tree), "/no/such/folder"]}
    none = {"sources": ["/no/such/folder"]}

    tried = [
        answered(served.appliance, ask(served.appliance, served.id, "excludes", **asked))["excludes"]
        for asked in (some, none)
    ]

    assert [42, 0] == [one["files_count"] for one in tried]
    assert "/no/such/folder" in tried[0]["message"]
    assert tried[1]["message"]


def test_pattern_that_borg_refuses_is_named(served: RealAgent, tree: Path) -> None:
    asked = {"sources": [str(tree)], "excludes": ["*.iso", "re:("]}

    tried = answered(served.appliance, ask(served.appliance, served.id, "excludes", **asked))["excludes"]

    assert "re:(" == tried["bad_pattern"]


def test_withdrawn_count_ends_on_the_host_and_leaves_it_answering(served: RealAgent, tree: Path) -> None:
    question_id, counter = try_without_end(served, tree)
    wait_until(lambda: read(served.appliance, question_id)["answer"], 10, "the counts so far")

    served.appliance.call("DELETE", f"/api/v1/questions/{question_id}").expect(204)

    wait_until(lambda: not alive(counter), 10, "the count to end")
    assert "withdrawn" == read(served.appliance, question_id)["state"]
    assert list_folder(served, str(tree))[1] < SOON_SECONDS


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_count_ends_with_the_daemon(served: RealAgent, tree: Path, how: str) -> None:
    _, counter = try_without_end(served, tree)

    getattr(served, how)()

    try:
        wait_until(lambda: not alive(counter), 10, "the count to end")
    finally:
        served.start_daemon()
        wait_until(lambda: list_folder(served, str(tree)), 30, "the host to be back")


def test_waiting_host_hears_a_question_at_once(wire: WireHost) -> None:
    seconds = []
    for _ in range(3):  # the best of them: other tests may have the machine
        heard: list[tuple[dict[str, Any], float]] = []
        poll = threading.Thread(
            target=lambda heard=heard: heard.append((wire.heartbeat(wait_seconds=30), time.monotonic()))
        )
        poll.start()
        time.sleep(0.5)
        question_id = ask(wire.appliance, wire.id, "folders", path="/srv")
        asked_at = time.monotonic()
        poll.join(timeout=10)
        answer, heard_at = heard[0]
        asked = [{name: value for name, value in question.items() if value} for question in answer["questions"]]
        assert [{"question_id": question_id, "list_folder": {"path": "/srv"}}] == asked
        seconds.append(heard_at - asked_at)

    assert min(seconds) < WAKE_SECONDS


def test_question_is_kept_for_the_next_poll_when_a_host_hung_up(wire: WireHost) -> None:
    context = wire.appliance.context(wire.folder / "agent.pem", wire.folder / "agent.key")
    body = b'{"wait_seconds": 30}'
    head = f"POST /api/v1/agents/heartbeat HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {wire.token}\r\n"
    with wire.appliance.connect("agent.saveos.internal", context) as poll:
        poll.sendall(f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(0.5)
    time.sleep(0.2)

    question_id = ask(wire.appliance, wire.id, "folders")
    time.sleep(0.5)

    assert [question_id] == [question["question_id"] for question in wire.heartbeat()["questions"]]


def test_working_daemon_hears_a_question_with_its_progress_and_a_command_does_not(
    appliance: Appliance, tmp_path: Path
) -> None:
    host = WireHost.enrolled(appliance, tmp_path / "host")
    host.make_ready()
    daemons = host.heartbeat()["assignment"]["job_id"]
    commands = host.call("POST", "/api/v1/agents/self/jobs", {"claim": True, "sources": ["/etc"]}).expect(201)["job_id"]
    question_id = ask(appliance, host.id, "folders")

    heard = [
        host.call("POST", f"/api/v1/jobs/{job_id}/progress", {}).expect(200)["questions"]
        for job_id in (commands, daemons, daemons)
    ]

    assert [[], [question_id], []] == [[question["question_id"] for question in questions] for questions in heard]


def test_offline_and_revoked_hosts_are_not_asked(appliance: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(appliance, tmp_path / "host")
    offline = appliance.call("POST", f"/api/v1/agents/{host.id}/folders", {"path": "/"})
    host.heartbeat()
    appliance.call("DELETE", f"/api/v1/agents/{host.id}").expect(200)

    revoked = appliance.call("POST", f"/api/v1/agents/{host.id}/excludes", {})

    assert (409, "host-offline") == (offline.status, offline.body["code"])
    assert (409, "conflict") == (revoked.status, revoked.body["code"])


def test_answer_of_another_host_is_refused(wire: WireHost, tmp_path: Path) -> None:
    question_id = ask(wire.appliance, wire.id, "folders", path="/")
    wire.heartbeat()
    other = WireHost.enrolled(wire.appliance, tmp_path / "other")
    path, lie = f"/api/v1/agents/self/answers/{question_id}", {"folder": {"path": "/", "entries": []}}

    refused = other.call("POST", path, lie)
    unknown = wire.appliance.call("POST", path, lie)
    own = wire.call("POST", path, {"folder": {"path": "/", "entries": [{"name": "<script>", "kind": "folder"}]}})

    assert [404, 401, 200] == [refused.status, unknown.status, own.status]
    entries = answered(wire.appliance, question_id)["folder"]["entries"]
    assert ["<script>"] == [entry["name"] for entry in entries]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"excludes": {"is_final": True}},
        {"folder": {"entries": [{"name": "n"}] * 2001}},
        {"folder": {"entries": [{"name": "n" * 2000}] * 600}},
        {"folder": {"entries": [{"name": "n" * 3000}]}},
        {"folder": {"entries": [{"name": "n", "kind": "door"}]}},
        {"folder": {"entries": [{"name": "n", "size_bytes": -1}]}},
        {"folder": {"path": "p" * 5000}},
        b'{"folder": {"path": "\\ud800"}}',
        b'{"folder": {"entries": [{"name": "n", "modified_at": "99999-01-01T00:00:00Z"}]}}',
    ],
    ids=["nothing", "other", "many", "large", "long name", "kind", "size", "long path", "half a letter", "far time"],
)
def test_answer_beyond_bounds_is_refused(wire: WireHost, said: dict[str, Any] | bytes) -> None:
    question_id = ask(wire.appliance, wire.id, "folders", path="/")
    wire.heartbeat()

    answer = wire.call("POST", f"/api/v1/agents/self/answers/{question_id}", said)

    assert (400, "invalid-request") == (answer.status, answer.body["code"])
    assert read(wire.appliance, question_id)["answer"] is None


def test_ninth_open_question_is_one_too_many(wire: WireHost) -> None:
    for _ in range(8):
        ask(wire.appliance, wire.id, "folders")

    refused = wire.appliance.call("POST", f"/api/v1/agents/{wire.id}/folders", {})

    assert (429, "too-many-requests") == (refused.status, refused.body["code"])


def test_viewer_may_not_ask(wire: WireHost) -> None:
    question_id = ask(wire.appliance, wire.id, "folders")
    with database(wire.appliance) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")

    try:
        answers = [
            wire.appliance.call("POST", f"/api/v1/agents/{wire.id}/folders", {}),
            wire.appliance.call("POST", f"/api/v1/agents/{wire.id}/excludes", {}),
            wire.appliance.call("GET", f"/api/v1/questions/{question_id}"),
            wire.appliance.call("DELETE", f"/api/v1/questions/{question_id}"),
        ]
    finally:
        with database(wire.appliance) as connection:
            connection.execute("UPDATE users SET role = 'administrator'")

    assert [403] * 4 == [answer.status for answer in answers]
