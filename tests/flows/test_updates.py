"""Hosts that replace their own executable: the real one-file executable, a real appliance, a line that can be cut."""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import back_up_only
from tests.support.appliance import Appliance, wait_until
from tests.support.executable import ready_base
from tests.support.frozen import FrozenAgent, another, offer
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.tmpdir import TempPathFactory

pytestmark = pytest.mark.slow
GRACE_SECONDS = 20


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: TempPathFactory) -> Iterator[Appliance]:
    folder = tmp_path_factory.mktemp("updates")
    with Appliance.started(folder) as started:
        started.set_up()
        (folder / "source").mkdir()
        (folder / "source" / "file").write_text("content")
        back_up_only(started, folder / "source")
        yield started


@pytest.fixture
def line(appliance: Appliance) -> Iterator[Proxy]:
    proxy = Proxy(appliance.port)
    yield proxy
    proxy.close()


@pytest.fixture
def host(
    appliance: Appliance,
    tmp_path: Path,
    line: Proxy,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FrozenAgent]:
    """A host that serves the shipped executable, has its first backup, and is reached over a line of its own."""
    if "by-its-deadline" in request.node.name:
        monkeypatch.setenv("SAVEOS_UPDATE_GRACE_SECONDS", str(GRACE_SECONDS))
    offer(appliance, ready_base().read_bytes())
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:60].strip("-")
    agent = FrozenAgent.installed(appliance, tmp_path / "host", name, line.address)
    try:
        agent.first_backup()
        yield agent
    finally:
        line.restore() if line._listener is None else None
        agent.stop()


def shown(agent: FrozenAgent) -> dict[str, Any]:
    """Return the host as the API shows it."""
    found: dict[str, Any] = agent.appliance.call("GET", f"/api/v1/agents/{agent.id}").expect(200)
    return found


def ask(agent: FrozenAgent) -> str:
    """Ask for an update once the appliance knows that there is one; return the job's id."""
    wait_until(lambda: shown(agent)["has_update"], 30, "the appliance to know of an update")
    return str(agent.appliance.call("POST", f"/api/v1/agents/{agent.id}/update").expect(202)["id"])


def test_update_replaces_the_executable_and_the_host_goes_on(
    appliance: Appliance, host: FrozenAgent, tmp_path: Path
) -> None:
    former = host.executable.read_bytes()
    newer = another(b"newer")
    sha256 = offer(appliance, newer)

    job = appliance.wait_for_job(ask(host))

    assert ("done", "") == (job["state"], job["error_code"]), (job, host.log)
    assert newer + former[ready_base().stat().st_size :] == host.executable.read_bytes()  # with this host's stamp
    assert former == host.previous.read_bytes()
    said = [line["line"] for line in appliance.call("GET", f"/api/v1/jobs/{job['id']}/log").expect(200)["items"]]
    assert any("reaches the appliance" in line for line in said), said
    assert {"saveos-agent", "saveos-agent.previous"} == host.beside()
    assert not host.mark.exists()
    assert host.process is not None
    assert host.process.poll() is None  # a service manager has seen no end
    wait_until(lambda: shown(host)["build"] == sha256, 20, "the host to say what it is")
    assert not shown(host)["has_update"]
    answer = appliance.call("POST", f"/api/v1/agents/{host.id}/update")
    assert "up-to-date" == answer.expect(409)["code"]
    backup = appliance.wait_for_job(host.back_up())
    assert "done" == backup["state"], backup
    host.restore("latest", tmp_path / "restored")
    assert 0 == host.stop()
    assert "Failed to remove" not in host.log


def test_download_that_is_not_what_was_ordered_is_refused(appliance: Appliance, host: FrozenAgent) -> None:
    former = host.executable.read_bytes()
    newer = another(b"whole")
    offer(appliance, newer)
    wait_until(lambda: shown(host)["has_update"], 30, "the appliance to know of an update")
    base = next(path for path in (appliance.data / "bases").iterdir() if path.name.startswith("saveos-agent"))
    facts = base.stat()
    with base.open("rb+") as file:  # after the appliance has read it: whoever can do this knows no other SHA-256
        file.seek(len(newer) // 2)
        file.write(b"tampered")
    os.utime(base, ns=(facts.st_atime_ns, facts.st_mtime_ns))

    job = appliance.wait_for_job(ask(host))

    assert ("failed", "update-damaged") == (job["state"], job["error_code"]), job
    assert former == host.executable.read_bytes()
    assert {"saveos-agent"} == host.beside()
    assert "done" == appliance.wait_for_job(host.back_up())["state"]


@pytest.mark.parametrize(
    "content",
    [
        b"no executable at all" * 1000,
        b"#!/bin/sh\nexit 1\n",
        b'#!/bin/sh\necho \'{"version": "9.9.9"}\'\n',
        b"#!/bin/sh\nkill -9 $$\n",
    ],
    ids=["no-executable", "fails", "another-version", "killed"],
)
def test_executable_that_fails_its_trial_is_refused(appliance: Appliance, host: FrozenAgent, content: bytes) -> None:
    former = host.executable.read_bytes()
    offer(appliance, content)

    job = appliance.wait_for_job(ask(host))

    assert ("failed", "update-trial-failed", 1) == (job["state"], job["error_code"], job["attempts"]), job
    assert former == host.executable.read_bytes()
    assert {"saveos-agent"} == host.beside()
    assert not host.mark.exists()


def test_host_that_refuses_updates_stays_as_it_is(appliance: Appliance, host: FrozenAgent) -> None:
    former = host.executable.read_bytes()
    settings = json.loads(host.config.read_text()) | {"takes_updates": False}
    host.stop()
    host.config.write_text(json.dumps(settings))
    host.start_daemon()
    offer(appliance, another(b"unwanted"))

    job = appliance.wait_for_job(ask(host))

    assert ("failed", "update-refused") == (job["state"], job["error_code"]), job
    assert former == host.executable.read_bytes()


def test_download_that_is_cut_goes_on_where_it_was(appliance: Appliance, host: FrozenAgent, line: Proxy) -> None:
    offer(appliance, another(b"cut"))
    job_id = ask(host)
    wait_until(lambda: any(name.endswith(".new") for name in host.beside()), 30, "the download to begin")

    line.drop()

    job = appliance.wait_for_job(job_id)
    assert "done" == job["state"], (job, host.log)


@pytest.mark.parametrize("starts", [1, 4], ids=["by-its-deadline", "after-three-starts"])
def test_executable_that_reaches_no_appliance_is_taken_back(
    appliance: Appliance, host: FrozenAgent, line: Proxy, starts: int
) -> None:
    former = host.executable.read_bytes()
    newer = another(b"deaf")
    offer(appliance, newer)
    job_id = ask(host)

    _wait_for_mark(host)
    line.cut()
    wait_until(lambda: host.executable.read_bytes()[: len(newer)] == newer, 10, "the new executable to be there")
    for number in range(1, starts):
        wait_until(partial(_has_failed, host, starts=1 + number), 60, "it to fail")
        host.kill()
        host.start_daemon()
    wait_until(lambda: host.executable.read_bytes() == former, GRACE_SECONDS + 60, "the former one to be back")
    line.restore()

    job = appliance.wait_for_job(job_id)
    assert ("failed", "update-rolled-back") == (job["state"], job["error_code"]), (job, host.log)
    assert not host.mark.exists()
    assert hashlib.sha256(ready_base().read_bytes()).hexdigest() == shown(host)["build"]
    assert "done" == appliance.wait_for_job(host.back_up())["state"]


def test_kill_in_the_middle_of_an_update_leaves_a_host_that_updates_afterwards(
    appliance: Appliance, host: FrozenAgent
) -> None:
    sha256 = offer(appliance, another(b"killed"))
    job_id = ask(host)
    _wait_for_mark(host)

    host.kill()
    host.start_daemon()

    job = appliance.wait_for_job(job_id)
    assert "done" == job["state"], (job, host.log)
    wait_until(lambda: shown(host)["build"] == sha256, 20, "the host to be the new one")


def _has_failed(host: FrozenAgent, *, starts: int) -> bool:
    """Return whether the daemon that began to serve as the one of this number has found nobody."""
    return host.log.count("Serving") == starts and "Trying again" in host.log.rpartition("Serving")[2]


def _wait_for_mark(host: FrozenAgent) -> None:
    deadline = time.monotonic() + 60
    while not host.mark.exists():
        assert time.monotonic() < deadline, host.log
        time.sleep(0.01)
