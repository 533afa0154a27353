"""An appliance moves to another place with its hosts behind it; impostors wait on the way."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from saveos.installers import stamp
from tests.support.agent import RealAgent, assert_restored, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.authority import SmallAuthority
from tests.support.host import WireHost, certificate_request, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/api/v1/addresses"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance.started(tmp_path / "old", "--address", "127.0.0.1") as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One for the tests after which it stands where it stood."""
    with Appliance.started(tmp_path_factory.mktemp("moving"), "--address", "127.0.0.1") as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


def tree_of(folder: Path) -> Path:
    tree = folder / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"leaf-{number}").write_text(f"{number}\n" * 20)
    return tree


@contextlib.contextmanager
def served(agent: RealAgent) -> Iterator[None]:
    agent.start_daemon()
    try:
        yield
    finally:
        agent.stop()


def holders(appliance: Appliance) -> int:
    return int(appliance.call("GET", PATH).expect(200)["holders_count"])


def is_online(appliance: Appliance, agent: RealAgent) -> Any:
    return appliance.call("GET", f"/api/v1/agents/{agent.id}").expect(200)["is_online"]


def at(agent: RealAgent) -> str:
    return str(json.loads((agent.folder / "agent" / "addresses.json").read_text())["at"])


def jobs_of(appliance: Appliance, agent_id: str, state: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = appliance.call("GET", f"/api/v1/jobs?agent_id={agent_id}&state={state}").expect(200)[
        "items"
    ]
    return found


class Impostor:
    """Answers on an address with a certificate that is none of our appliance's."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Listen."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.tried = 0
        self.trusted = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _peer = self._listener.accept()
            except OSError:
                return
            raw.settimeout(10)
            try:
                with self._context.wrap_socket(raw, server_side=True) as wrapped:
                    self.trusted += bool(wrapped.recv(1))
            except OSError:
                pass
            self.tried += 1

    def close(self) -> None:
        """End."""
        self._listener.close()


def test_hosts_follow_an_appliance_past_impostors_to_another_place(appliance: Appliance, tmp_path: Path) -> None:
    tree = tree_of(tmp_path)
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path / "host")
    credentials = agent.folder / "agent" / "credentials" / "1"
    stranger = SmallAuthority(tmp_path / "stranger").issue("server", "agent.saveos.internal")
    impostors = [
        Impostor(stranger.certificate_path, stranger.key_path),
        Impostor(credentials / "agent.pem", credentials / "agent.key"),  # of the same authority, but a host's
    ]
    new = Appliance(tmp_path / "new" / "data", appliance.flags, port=free_port())
    further = [*(impostor.address for impostor in impostors), f"127.0.0.1:{new.port}"]
    with served(agent):
        assert agent.first_backup()["state"] == "done"
        shown = appliance.call("PUT", PATH, {"further": further}).expect(200)
        assert [f"127.0.0.1:{appliance.port}", *further] == shown["addresses"]
        wait_until(lambda: holders(appliance) == 1, 60, "the host to hold the list")
        assert (agent.folder / "agent" / "addresses.json").stat().st_mode & 0o777 == 0o600

        appliance.stop()
        new.data.parent.mkdir()
        shutil.move(appliance.data, new.data)
        new.token = appliance.token
        new.start()
        agent.appliance = new
        try:
            wait_until(lambda: at(agent) == f"127.0.0.1:{new.port}", 120, "the host to arrive")
            wait_until(lambda: holders(new) == 1, 60, "the host to hold the new list")
            assert is_online(new, agent)
            (tree / "new").write_text("after the move\n")
            job = new.wait_for_job(agent.back_up())
            assert job["state"] == "done", job
            snapshot = new.snapshots(agent.id)[0]
            assert snapshot["job_id"] == job["id"]
            agent.restore(snapshot["id"], tmp_path / "restored")
            assert_restored(tree, tmp_path / "restored")
        finally:
            new.stop()
            for impostor in impostors:
                impostor.close()
    assert [True, True] == [impostor.tried > 0 for impostor in impostors]
    assert [0, 0] == [impostor.trusted for impostor in impostors]


def test_hosts_leave_an_appliance_that_has_moved_and_are_given_nothing_by_it(
    appliance: Appliance, tmp_path: Path
) -> None:
    tree = tree_of(tmp_path)
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path / "host")
    new = Appliance(tmp_path / "new" / "data", appliance.flags, port=free_port(), token=appliance.token)
    with served(agent):
        assert agent.first_backup()["state"] == "done"
        appliance.stop()
        agent.stop()
        new.data.parent.mkdir()
        shutil.copytree(appliance.data, new.data)
        appliance.start()
        new.start()
        agent.start_daemon()
        try:
            wait_until(lambda: jobs_of(appliance, agent.id, "running") or holders(appliance), 60, "the host to be back")

            moved = appliance.call("PUT", f"{PATH}/moved", {"address": f"127.0.0.1:{new.port}"}).expect(200)

            assert f"127.0.0.1:{new.port}" == moved["addresses"][0]
            asked = appliance.call("POST", "/api/v1/backup", {"agent_id": agent.id}).expect(202)["id"]
            wait_until(lambda: at(agent) == f"127.0.0.1:{new.port}", 90, "the host to arrive")
            wait_until(lambda: holders(new) == 1, 60, "the host to hold the new list")
            job = appliance.job(asked)
            assert ("queued", "moved") == (job["state"], job["held_by"])
            agent.appliance = new
            assert new.wait_for_job(agent.back_up())["state"] == "done"
        finally:
            new.stop()


def test_host_of_a_later_appliance_gets_no_work_until_somebody_decides(shared: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared, tmp_path / "wire")
    host.make_ready()
    serial = host.enrolment["addresses_serial"]
    shared.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)

    behind = host.heartbeat(addresses_serial=serial + 5)
    refused = host.call("POST", "/api/v1/agents/self/jobs", {"kind": "backup", "addresses_serial": serial + 5})

    assert (None, serial) == (behind["assignment"], behind["addresses_serial"])
    assert (409, "has-moved") == (refused.status, refused.body["code"])
    assert 1 == shared.call("GET", PATH).expect(200)["ahead_count"]
    decided = shared.call("DELETE", f"{PATH}/moved").expect(200)
    assert decided["serial"] > serial + 5
    assert host.heartbeat(addresses_serial=serial + 5)["assignment"] is not None


def test_host_that_says_nothing_of_addresses_is_served_as_ever(shared: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared, tmp_path / "wire")
    host.make_ready()
    shared.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)

    assert host.heartbeat()["assignment"] is not None
    assert host.id in [one["agent_id"] for one in shared.call("GET", PATH).expect(200)["waiting"]]


def test_appliance_that_has_moved_enrols_renews_and_recovers_nobody(shared: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared, tmp_path / "wire")
    made = shared.call("POST", "/api/v1/agents/provision", {"hostname": "late"}).expect(201)
    csr = certificate_request()[1]
    shared.call("PUT", f"{PATH}/moved", {"address": "new.example.org:8000"}).expect(200)

    refused = [register(shared, made["token"], csr), host.call("POST", "/api/v1/agents/renew", {"csr": csr})]

    assert [(409, "has-moved")] * 2 == [(answer.status, answer.body["code"]) for answer in refused]
    said = host.heartbeat()
    assert ("new.example.org:8000", True, False) == (said["addresses"][0], said["has_moved"], said["escrow_wanted"])
    shared.call("DELETE", f"{PATH}/moved").expect(200)
    register(shared, made["token"], csr).expect(201)  # and the token was not spent by the refusal


def test_address_that_is_none_changes_nothing(shared: Appliance) -> None:
    before = shared.call("GET", PATH).expect(200)

    answers = [
        shared.call("PUT", PATH, {"further": ["nowhere"]}),
        shared.call("PUT", f"{PATH}/moved", {"address": "nowhere"}),
        shared.call("PUT", PATH, {"further": [f"192.0.2.{number}:1" for number in range(9)]}),
    ]

    assert [(400, "invalid-request")] * 3 == [(answer.status, answer.body["code"]) for answer in answers]
    assert before == shared.call("GET", PATH).expect(200)


def test_command_line_adds_shows_moves_and_comes_back(shared: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared, tmp_path / "wire")
    new = "192.0.2.20:8000"

    added = json.loads(shared.cli("address", "add", new).stdout)
    host.heartbeat(addresses_serial=added["serial"])
    shown = json.loads(shared.cli("address", "list").stdout)
    moved = json.loads(shared.cli("address", "moved", new).stdout)
    refused = shared.cli("address", "remove", new)
    back = json.loads(shared.cli("address", "here").stdout)
    removed = json.loads(shared.cli("address", "remove", new).stdout)
    wrong = shared.cli("address", "add", "nowhere")

    assert (1, [new]) == (shown["holders_count"], shown["further"])
    assert host.id not in [one["agent_id"] for one in shown["waiting"]]
    assert (new, new) == (moved["moved_to"], moved["addresses"][0])
    assert (1, "conflict") == (refused.returncode, json.loads(refused.stdout)["error"]["code"])
    assert ("", [new], []) == (back["moved_to"], back["further"], removed["further"])
    assert 2 == wrong.returncode
    assert "no address" in wrong.stderr


def test_download_carries_the_further_addresses(shared: Appliance, tmp_path: Path) -> None:
    shared.call("PUT", PATH, {"further": ["192.0.2.20:8000"]}).expect(200)
    made = shared.call("POST", "/api/v1/agents/provision", {"hostname": "web"}).expect(201)

    content = shared.call("GET", f"/download/agent/linux?provisioning={made['provisioning']['id']}").expect(200)

    (tmp_path / "agent").write_bytes(content)
    stamped = stamp.read_back(tmp_path / "agent")
    assert stamped is not None
    assert (f"127.0.0.1:{shared.port}", "192.0.2.20:8000") == stamped.addresses
