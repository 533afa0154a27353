"""Sealed names, opened in memory while a host is unlocked: the real agent, Borg, keyholder and appliance."""

from __future__ import annotations

import base64
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos import config
from saveos.repositories.keyholding import CODE_SUITE
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_memory
from tests.support.agent import RealAgent, back_up_only
from tests.support.appliance import Appliance, wait_until
from tests.support.processes import children

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "distinctive-ledger-of-anna.odt"


class Sealed:
    """A host of a tenant that seals names, with two snapshots: the file of that name came with the second."""

    def __init__(self, agent: RealAgent, tree: Path) -> None:
        self.agent, self.appliance, self.tree = agent, agent.appliance, tree
        self.settings = config.load({"data": str(agent.appliance.data)}, {})
        self.second, self.first = [each["id"] for each in self.appliance.snapshots(agent.id)]

    def folder(self, snapshot_id: str = "") -> Any:
        where = f"/api/v1/snapshots/{snapshot_id or self.second}/files"
        return self.appliance.call("GET", f"{where}?path={str(self.tree).lstrip('/')}").expect(200)

    def is_open(self) -> bool:
        return bool(self.folder()["state"] == "indexed")

    def open(self) -> None:
        wait_until(self.is_open, 60, "the names to be opened")

    def unlock(self, minutes: float = 5) -> str:
        offer = self.appliance.call("POST", "/api/v1/keys/unlocks").expect(201)
        public = X25519PublicKey.from_public_bytes(base64.b64decode(offer["public_key"]))
        code = CODE_SUITE.encrypt(self.appliance.recovery_code.encode(), public, offer["info"].encode())
        body = {
            "sealed_code": base64.b64encode(code).decode(),
            "agent_ids": [self.agent.id],
            "minutes": minutes,
        }
        path = f"/api/v1/keys/unlocks/{offer['unlock_id']}/open"
        return str(self.appliance.call("POST", path, body).expect(200)["unlock_id"])

    def lock(self, unlock_id: str) -> None:
        self.appliance.call("DELETE", f"/api/v1/keys/unlocks/{unlock_id}").expect(204)

    def leaks(self) -> list[str]:
        """Every file that tells the name: in the data folder, and in memory."""
        folder = catalogue_memory.folder(self.settings)
        places = [self.appliance.data, *([folder] if folder else [])]
        return [str(path) for place in places for path in place.rglob("*") if path.is_file() and _tells(path)]


def _tells(path: Path) -> bool:
    try:
        return NAME.encode() in path.read_bytes()
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    folder = tmp_path_factory.mktemp("sealed")
    tree = folder / "tree"
    tree.mkdir()
    (tree / "plain.txt").write_text("first\n")
    with Appliance.started(folder / "appliance") as appliance:
        appliance.set_up()
        appliance.call("PUT", "/api/v1/names", {"names": "sealed"}).expect(200)
        back_up_only(appliance, tree)
        agent = RealAgent.enrolled(appliance, folder / "host")
        agent.start_daemon()
        assert agent.first_backup()["state"] == "done"
        (tree / "plain.txt").write_text("second and longer\n")
        (tree / NAME).write_text("figures\n")
        assert appliance.wait_for_job(agent.back_up())["state"] == "done"
        made = Sealed(agent, tree)
        wait_until(lambda: made.folder()["state"] == "sealed", 60, "the listings to come in")
        yield made
        agent.stop()


def test_unlock_opens_folders_search_versions_and_changes_until_it_is_locked(sealed: Sealed) -> None:
    call, path = sealed.appliance.call, str(sealed.tree / "plain.txt").lstrip("/")
    search = f"/api/v1/search?text=ledger&agent_id={sealed.agent.id}"
    assert ("sealed", []) == (sealed.folder()["state"], sealed.folder()["entries"])
    assert 1 == call("GET", search).expect(200)["skipped_hosts"]

    unlock_id = sealed.unlock()
    at_once = sealed.folder()["state"]
    sealed.open()
    newer, older = sealed.folder(), sealed.folder(sealed.first)
    found = call("GET", search).expect(200)
    versions = call("GET", f"/api/v1/agents/{sealed.agent.id}/versions?path={path}").expect(200)["items"]
    changes = call("GET", f"/api/v1/snapshots/{sealed.second}/changes?since={sealed.first}").expect(200)
    state = call("GET", f"/api/v1/agents/{sealed.agent.id}/catalogue").expect(200)["state"]
    told = [path for path in sealed.leaks() if path.startswith(str(sealed.appliance.data))]
    memory = catalogue_memory.folder(sealed.settings)
    assert memory is not None
    modes = {path.stat().st_mode & 0o077 for path in [memory, *memory.rglob("*")]}
    sealed.lock(unlock_id)
    left = sealed.leaks()

    assert "waiting" == at_once
    assert [[NAME, "plain.txt"], ["plain.txt"]] == [
        [each["name"] for each in page["entries"]] for page in (newer, older)
    ]
    assert [NAME] == [hit["path"].rpartition("/")[2] for hit in found["hits"]]
    assert 0 == found["skipped_hosts"]
    assert [len("second and longer\n"), len("first\n")] == [version["size_bytes"] for version in versions]
    assert {NAME, "plain.txt"} <= {each["path"].rpartition("/")[2] for each in changes["changes"]}
    assert "indexed" == state
    assert ([], {0}) == (told, modes)
    assert [] == left
    assert ("sealed", 1) == (sealed.folder()["state"], call("GET", search).expect(200)["skipped_hosts"])


def test_snapshot_that_comes_while_names_are_open_joins_them(sealed: Sealed) -> None:
    unlock_id = sealed.unlock()
    sealed.open()

    assert sealed.appliance.wait_for_job(sealed.agent.back_up())["state"] == "done"
    third = sealed.appliance.snapshots(sealed.agent.id)[0]["id"]
    wait_until(lambda: sealed.folder(third)["state"] == "indexed", 60, "the third snapshot to be opened")

    assert [NAME, "plain.txt"] == [each["name"] for each in sealed.folder(third)["entries"]]
    sealed.lock(unlock_id)


def test_lock_while_names_are_being_opened_leaves_nothing(sealed: Sealed) -> None:
    for pause in (0.0, 0.2, 0.5, 0.9):
        unlock_id = sealed.unlock()
        assert "waiting" == sealed.folder()["state"]
        time.sleep(pause)

        sealed.lock(unlock_id)
        wait_until(lambda: sealed.folder()["state"] == "sealed", 10, "the opening to be cut")

        memory = catalogue_memory.folder(sealed.settings)
        assert memory is not None
        assert [] == [path for path in memory.rglob("*") if path.is_file()]


def test_unlock_that_expires_closes_the_names(sealed: Sealed) -> None:
    sealed.unlock(minutes=8 / 60)
    sealed.open()

    wait_until(lambda: not sealed.is_open(), 30, "the unlock to expire")

    assert ("sealed", []) == (sealed.folder()["state"], sealed.leaks())


def test_killed_keyholder_closes_the_names(sealed: Sealed) -> None:
    unlock_id = sealed.unlock()
    sealed.open()
    assert sealed.appliance.process is not None

    for pid in children(sealed.appliance.process.pid, "saveos.repositories.keyholder", unlock_id):
        os.kill(pid, 9)
    wait_until(lambda: not sealed.is_open(), 10, "the names to be closed")

    assert [] == sealed.leaks()


def test_killed_appliance_leaves_nothing_after_its_next_start(sealed: Sealed) -> None:
    sealed.unlock()
    sealed.open()
    assert [] != sealed.leaks()

    sealed.appliance.kill()
    sealed.appliance.start()

    assert ("sealed", []) == (sealed.folder()["state"], sealed.leaks())
    sealed.unlock()
    sealed.open()
    sealed.appliance.stop()
    assert [] == sealed.leaks()
    assert catalogue_memory.folder(sealed.settings) is None
    sealed.appliance.start()


def test_listing_that_was_changed_is_refused_and_the_names_stay_sealed(sealed: Sealed) -> None:
    parts = sorted(sealed.settings.catalogues.rglob(f"{sealed.agent.id}.sealed/*/0000"))
    whole = parts[-1].read_bytes()
    parts[-1].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    unlock_id = sealed.unlock()
    try:
        path = f"/api/v1/snapshots/{sealed.second}/files"
        wait_until(lambda: sealed.appliance.call("GET", path).status == 503, 30, "the listing to be refused")
    finally:
        parts[-1].write_bytes(whole)
        sealed.lock(unlock_id)

    assert ("sealed", []) == (sealed.folder()["state"], sealed.leaks())


def test_managed_host_opens_by_itself_and_closes_when_it_is_sealed_again(sealed: Sealed) -> None:
    path = f"/api/v1/agents/{sealed.agent.id}/key"
    sealed.appliance.call("PUT", path, {"mode": "managed"}).expect(200)
    wait_until(sealed.is_open, 90, "the host to hand its key over and the names to be opened")

    sealed.appliance.call("PUT", path, {"mode": "sealed"}).expect(200)
    wait_until(lambda: not sealed.is_open(), 30, "the names to be closed")

    assert [] == sealed.leaks()


def test_people_of_another_tenant_see_nothing_of_what_is_open(sealed: Sealed) -> None:
    unlock_id = sealed.unlock()
    sealed.open()
    tenant = next(sealed.settings.catalogues.glob("ten_*")).name

    found = files.to_read(sealed.settings, "ten_other", sealed.agent.id)

    assert files.to_read(sealed.settings, tenant, sealed.agent.id).exists()
    assert not found.exists()
    sealed.lock(unlock_id)
