"""A snapshot of a host that is gone, restored onto another: the recovery code takes the dead host's place."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos.agent.client import Client
from saveos.agent.failures import Failure
from saveos.agent.settings import Home
from saveos.repositories.keyholding import CODE_SUITE
from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.protocol import SealedKey


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("dead")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("files") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture(scope="module")
def dead(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A host that was killed, folder and all: its id, and the passphrase that it had."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("owner"), hostname="burnt")
    agent.start_daemon()
    agent.first_backup()
    agent_id, passphrase = agent.id, (agent.folder / "agent" / "passphrase").read_bytes().strip()
    agent.kill()
    shutil.rmtree(agent.folder)
    appliance.call("DELETE", f"/api/v1/agents/{agent_id}").expect(200)
    return agent_id, passphrase


@pytest.fixture(scope="module")
def other(
    appliance: Appliance, dead: tuple[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAgent]:
    del dead  # the first one
    small = tmp_path_factory.mktemp("small")
    (small / "file").write_text("small")
    back_up_only(appliance, small)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("other"), hostname="other")
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


def asked(appliance: Appliance, dead_id: str, other: RealAgent, target: Path) -> dict[str, Any]:
    return {"snapshot_id": appliance.snapshots(dead_id)[0]["id"], "onto_agent_id": other.id, "target": str(target)}


def unlock(appliance: Appliance, agent_id: str) -> str:
    offer = appliance.call("POST", "/api/v1/keys/unlocks").expect(201)
    public = X25519PublicKey.from_public_bytes(base64.b64decode(offer["public_key"]))
    sealed = CODE_SUITE.encrypt(appliance.recovery_code.encode(), public, offer["info"].encode())
    body = {"sealed_code": base64.b64encode(sealed).decode(), "agent_ids": [agent_id], "minutes": 5}
    appliance.call("POST", f"/api/v1/keys/unlocks/{offer['unlock_id']}/open", body).expect(200)
    return str(offer["unlock_id"])


def lent_key(borrower: RealAgent, job_id: str) -> SealedKey:
    """Ask as that host would."""
    home = Home(borrower.config)
    settings = home.load()
    assert settings is not None
    certificate = (home.credentials(settings.credentials) / "agent.pem").read_text()
    with contextlib.closing(Client.for_host(home, settings)) as client:
        return client.lent_key(job_id, certificate)


def lock(appliance: Appliance, unlock_id: str) -> None:
    appliance.call("DELETE", f"/api/v1/keys/unlocks/{unlock_id}").expect(204)


def test_restore_of_a_dead_host_asks_for_the_recovery_code(
    appliance: Appliance, dead: tuple[str, bytes], other: RealAgent, tmp_path: Path
) -> None:
    answer = appliance.call("POST", "/api/v1/restore", asked(appliance, dead[0], other, tmp_path / "out"))

    assert (409, "host-offline-and-sealed") == (answer.status, answer.body["code"])


def test_restore_of_an_unlocked_dead_host_brings_the_tree_and_leaves_no_key(
    appliance: Appliance, dead: tuple[str, bytes], other: RealAgent, tree: Path, tmp_path: Path
) -> None:
    dead_id, passphrase = dead
    unlock_id = unlock(appliance, dead_id)
    job = appliance.call("POST", "/api/v1/restore", asked(appliance, dead_id, other, tmp_path / "out")).expect(202)

    job = appliance.wait_for_job(job["id"], 60)

    lock(appliance, unlock_id)
    assert other.id == job["agent_id"]
    report = appliance.call("GET", f"/api/v1/jobs/{job['id']}/restore").expect(200)
    refused = [os.path.basename(entry["path"]) for entry in report["differences"] if entry["what"] == "refused"]
    assert (["device"] if os.geteuid() == 0 else []) == refused
    found = differences(tree, tmp_path / "out" / str(tree)[1:], ignore=frozenset({"mode"}))
    assert [line for line in found if b"device" not in line.encode() and "'.'" not in line] == []
    for path in (*appliance.data.rglob("*"), *other.folder.rglob("*")):
        assert not path.is_file() or passphrase not in path.read_bytes(), path
    with sqlite3.connect(appliance.data / "saveos.db") as database:
        lent = "SELECT actor, target, detail_json FROM audit WHERE action = 'key-lent'"
        (line,) = database.execute(lent).fetchall()
    assert (f"agent:{other.id}", dead_id) == line[:2]
    assert job["id"] in line[2]
    assert '"sealed_by":"appliance"' in line[2]


def test_key_is_not_lent_again_when_the_restore_has_ended(
    appliance: Appliance, dead: tuple[str, bytes], other: RealAgent, tmp_path: Path
) -> None:
    unlock_id = unlock(appliance, dead[0])
    body = {**asked(appliance, dead[0], other, tmp_path / "out"), "dry_run": True}
    job = appliance.wait_for_job(appliance.call("POST", "/api/v1/restore", body).expect(202)["id"])

    with pytest.raises(Failure, match="No restore that runs on this host"):
        lent_key(other, job["id"])

    lock(appliance, unlock_id)


def test_restore_whose_key_was_locked_again_says_so_and_goes_on_once_it_is_unlocked(
    appliance: Appliance, dead: tuple[str, bytes], other: RealAgent, tmp_path: Path
) -> None:
    other.stop()
    unlock_id = unlock(appliance, dead[0])
    body = asked(appliance, dead[0], other, tmp_path / "out")
    job_id = appliance.call("POST", "/api/v1/restore", body).expect(202)["id"]
    lock(appliance, unlock_id)
    other.start_daemon()
    wait_until(lambda: "recovery code" in appliance.job(job_id)["message"], 60, "the restore to say what it lacks")
    is_begun = (tmp_path / "out").exists()

    unlock_id = unlock(appliance, dead[0])

    job = appliance.wait_for_job(job_id, 60)
    lock(appliance, unlock_id)
    assert not is_begun
    assert job["state"] in ("done", "warned")
    assert (tmp_path / "out").is_dir()
