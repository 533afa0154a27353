"""A snapshot of one host, restored onto another of the tenant: the key travels from host to host."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.host import WireHost
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("elsewhere")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("files") / "tree"
    odd_tree.make(tree)
    return tree


def served(appliance: Appliance, folder: Path, hostname: str) -> Iterator[RealAgent]:
    agent = RealAgent.enrolled(appliance, folder, hostname=hostname)
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture(scope="module")
def owner(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    back_up_only(appliance, tree)
    yield from served(appliance, tmp_path_factory.mktemp("owner"), "owner")


@pytest.fixture(scope="module")
def other(appliance: Appliance, owner: RealAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    del owner  # the first one
    small = tmp_path_factory.mktemp("small")
    (small / "file").write_text("small")
    back_up_only(appliance, small)
    yield from served(appliance, tmp_path_factory.mktemp("other"), "other")


def asked(owner: RealAgent, other: RealAgent, target: Path, **more: Any) -> dict[str, Any]:
    snapshot_id = owner.appliance.snapshots(owner.id)[0]["id"]
    return {"snapshot_id": snapshot_id, "onto_agent_id": other.id, "target": str(target), **more}


def test_restore_onto_another_host_brings_the_tree_and_leaves_no_key(
    appliance: Appliance, owner: RealAgent, other: RealAgent, tree: Path, tmp_path: Path
) -> None:
    job = appliance.call("POST", "/api/v1/restore", asked(owner, other, tmp_path / "out")).expect(202)

    job = appliance.wait_for_job(job["id"])

    assert other.id == job["agent_id"]
    report = appliance.call("GET", f"/api/v1/jobs/{job['id']}/restore").expect(200)
    refused = [os.path.basename(entry["path"]) for entry in report["differences"] if entry["what"] == "refused"]
    assert (["device"] if os.geteuid() == 0 else []) == refused
    found = differences(tree, tmp_path / "out" / str(tree)[1:], ignore=frozenset({"mode"}))
    assert [line for line in found if b"device" not in line.encode() and "'.'" not in line] == []
    passphrase = (owner.folder / "agent" / "passphrase").read_bytes().strip()
    for path in (*appliance.data.rglob("*"), *other.folder.rglob("*")):
        assert not path.is_file() or passphrase not in path.read_bytes(), path
    with sqlite3.connect(appliance.data / "saveos.db") as database:
        kept = database.execute("SELECT question_json, answer_json FROM questions").fetchall()
    assert not [row for row in kept if "seal_key" in row[0] and json.loads(row[0])["seal_key"]]
    assert [] == list((other.folder / "agent" / "state").glob("lent-*"))


def test_host_goes_on_with_its_own_repository_after_that(
    appliance: Appliance, owner: RealAgent, other: RealAgent, tmp_path: Path
) -> None:
    appliance.wait_for_job(
        appliance.call("POST", "/api/v1/restore", asked(owner, other, tmp_path / "out", dry_run=True)).expect(202)["id"]
    )

    job = appliance.wait_for_job(other.back_up())

    assert "done" == job["state"]


def test_host_without_such_a_job_gets_neither_key_nor_repository(
    appliance: Appliance, owner: RealAgent, tmp_path: Path
) -> None:
    thief = WireHost.enrolled(appliance, tmp_path / "thief", "thief")
    certificate = (tmp_path / "thief" / "agent.pem").read_text()
    job_id = appliance.call("GET", f"/api/v1/jobs?agent_id={owner.id}").expect(200)["items"][0]["id"]

    answer = thief.call("POST", f"/api/v1/agents/self/jobs/{job_id}/key", {"certificate": certificate})

    assert 404 == answer.status


def test_certificate_of_another_connection_is_refused(appliance: Appliance, tmp_path: Path) -> None:
    one = WireHost.enrolled(appliance, tmp_path / "one", "one")
    WireHost.enrolled(appliance, tmp_path / "two", "two")
    stolen = (tmp_path / "two" / "agent.pem").read_text()

    answer = one.call("POST", "/api/v1/agents/self/jobs/job_x/key", {"certificate": stolen})

    assert 400 == answer.status


def test_host_that_keeps_its_key_lends_it_to_nobody(
    appliance: Appliance, owner: RealAgent, other: RealAgent, tmp_path: Path
) -> None:
    owner.stop()
    config = json.loads(owner.config.read_text())
    owner.config.write_text(json.dumps(config | {"keeps_key": True}))
    owner.start_daemon()
    try:
        wait_until(lambda: appliance.call("GET", f"/api/v1/agents/{owner.id}").expect(200)["is_online"], 30, "the host")
        job = appliance.call("POST", "/api/v1/restore", asked(owner, other, tmp_path / "out")).expect(202)

        job = appliance.wait_for_job(job["id"], 90)

        assert ("failed", "key-not-lent") == (job["state"], job["error_code"])
        assert not (tmp_path / "out").exists()
    finally:
        owner.stop()
        owner.config.write_text(json.dumps(config))
        owner.start_daemon()


def test_snapshot_of_a_host_that_is_gone_says_what_to_do_instead(
    appliance: Appliance, other: RealAgent, tmp_path: Path
) -> None:
    gone = WireHost.enrolled(appliance, tmp_path / "gone", "gone")
    gone.make_ready()
    first = gone.heartbeat(wait_seconds=20)["assignment"]
    gone.report_made(first).expect(204)
    body = {"snapshot_id": appliance.snapshots(gone.id)[0]["id"], "onto_agent_id": other.id, "target": "/srv/back"}
    appliance.call("DELETE", f"/api/v1/agents/{gone.id}").expect(200)

    answer = appliance.call("POST", "/api/v1/restore", body)

    assert (409, "host-offline-and-sealed") == (answer.status, answer.body["code"])
    assert "recovery code" in answer.body["detail"]
