"""A host burns and comes back elsewhere from address, fingerprint and recovery code; or from its folder alone."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from saveos.agent.recovery_code import RecoveryCode
from saveos.protocol import Challenge
from saveos.tenants import recovery
from tests.support import odd_tree
from tests.support.agent import RealAgent, put_base, stock_borg
from tests.support.appliance import Appliance
from tests.support.host import WireHost, certificate_request
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("recover")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("files") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture
def host(appliance: Appliance, tree: Path, tmp_path: Path) -> RealAgent:
    """A host with one snapshot of the tree."""
    agent = RealAgent.enrolled(appliance, tmp_path / "burnt", hostname=f"host-{tmp_path.name}"[:60].rstrip("-"))
    agent.succeed("backup", "--wait", str(tree))
    return agent


def recover(host: RealAgent, target: Path, code: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the recovery as on a rescue system: nothing of the host is known there."""
    fingerprint = host.appliance.call("GET", "/api/v1/settings").expect(200)["root_fingerprint"]
    words = RealAgent(host.appliance, target / "unused").words(
        "recover", "--address", f"127.0.0.1:{host.appliance.port}", "--fingerprint", fingerprint,
        "--target", str(target), *more,
    )  # fmt: skip
    words[words.index("--config") + 1] = "/root/.config/saveos/config.json"
    return subprocess.run(words, input=code, capture_output=True, text=True, timeout=120, check=False)


def test_burnt_host_comes_back_and_goes_on_as_itself(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    agent_id, old = host.id, host.folder / "before"
    shutil.copytree(host.folder / "agent", old / "agent")
    shutil.rmtree(host.folder / "agent")
    new = tmp_path / "new disk"
    new.mkdir()

    done = recover(host, new, host.appliance.recovery_code, "--host", agent_id, "--json")

    assert 0 == done.returncode, (done.stdout, done.stderr)
    assert [] == differences(tree, new / str(tree)[1:])
    again = RealAgent(host.appliance, tmp_path / "again")
    shutil.copytree(new / "root" / ".config" / "saveos", again.folder / "agent")
    assert agent_id == again.id
    result = again.succeed("backup", "--wait", str(new / str(tree)[1:]))
    assert result["archive"]["added_bytes"] < 1_000_000  # the contents were there
    snapshots = host.appliance.snapshots(agent_id)
    assert ["full", "incremental"] == sorted(snapshot["kind"] for snapshot in snapshots)
    assert not (new / ".saveos-recovery").exists()
    burnt = RealAgent(host.appliance, old)
    assert 0 != burnt.run("status").returncode


def test_recovery_that_was_cut_short_goes_on_without_the_code(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    code = host.appliance.recovery_code
    first = recover(host, new, code, "--host", host.id, "--snapshot", "snp_none")
    assert 0 != first.returncode

    done = recover(host, new, "", "--host", host.id)

    assert 0 == done.returncode, (done.stdout, done.stderr)
    assert [] == differences(tree, new / str(tree)[1:])


def test_recovery_names_the_hosts_when_there_are_several(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    other = RealAgent.enrolled(host.appliance, tmp_path / "other", hostname="another")
    other.succeed("backup", "--wait", str(tree / "plain.txt"))

    done = recover(host, tmp_path, host.appliance.recovery_code)

    assert 2 == done.returncode
    assert host.id in done.stderr
    assert "another" in done.stderr
    assert 0 == host.run("status").returncode  # nothing was taken


@pytest.mark.parametrize("wrong", ["fingerprint", "code", "mistyped"])
def test_recovery_with_something_wrong_takes_nothing(host: RealAgent, tmp_path: Path, wrong: str) -> None:
    code = {"code": recovery.create()[0], "mistyped": "ABCDEFG-HIJKLMN"}.get(wrong, host.appliance.recovery_code)
    more = ("--fingerprint", "AB:" * 31 + "AB") if wrong == "fingerprint" else ()

    done = recover(host, tmp_path, code, "--host", host.id, *more)

    assert 0 != done.returncode
    assert not (tmp_path / "root").exists()
    assert 0 == host.run("status").returncode


def test_challenge_is_good_for_one_host_once(host: RealAgent) -> None:
    private = recovery.private_key(host.appliance.recovery_code)
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    said = host.appliance.call("POST", "/api/v1/recovery/challenge", {"recovery_public_key": public}, token="").expect(
        200
    )
    secret = RecoveryCode(host.appliance.recovery_code).answer(Challenge(**said))
    body: dict[str, Any] = {"challenge_id": said["challenge_id"], "secret": secret, "agent_id": host.id}
    body["csr"] = certificate_request()[1]

    wrong = {**body, "secret": base64.b64encode(bytes(32)).decode()}
    assert 401 == host.appliance.call("POST", "/api/v1/recovery/host", wrong, token="").status
    assert 404 == host.appliance.call("POST", "/api/v1/recovery/host", {**body, "agent_id": "agt_no"}, token="").status
    host.appliance.call("POST", "/api/v1/recovery/host", body, token="").expect(200)
    assert 401 == host.appliance.call("POST", "/api/v1/recovery/host", body, token="").status


def test_rescue_executable_is_free_for_all_and_carries_no_stamp(appliance: Appliance) -> None:
    answer = appliance.call("GET", "/download/agent/linux/rescue", token="")

    assert 200 == answer.status


def test_folder_and_code_alone_bring_the_files_back_with_stock_borg(
    host: RealAgent, tree: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "copy of the repository"
    shutil.copytree(host.repository, repository)
    exported = host.appliance.cli("key", "export", host.id, "--json", stdin=host.appliance.recovery_code)
    passphrase = json.loads(exported.stdout)["passphrase"]
    (tmp_path / "out").mkdir()

    listed = stock_borg(repository, passphrase, tmp_path / "home", "list", "--short", "--last", "1")
    done = stock_borg(
        repository, passphrase, tmp_path / "home", "extract", "--sparse", f"::{listed.stdout.strip()}",
        folder=tmp_path / "out",
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr
    assert [] == differences(tree, tmp_path / "out" / str(tree)[1:])


def test_revoked_host_does_not_come_back(appliance: Appliance, tmp_path: Path) -> None:
    wire = WireHost.enrolled(appliance, tmp_path / "wire", "wire")
    wire.make_ready()
    appliance.call("DELETE", f"/api/v1/agents/{wire.id}").expect(200)
    host = RealAgent(appliance, tmp_path / "unused")

    done = recover(host, tmp_path, appliance.recovery_code, "--host", wire.id)

    assert "Say which host" in done.stderr
    assert wire.id not in done.stderr


def test_challenges_are_throttled(appliance: Appliance) -> None:
    key = {"recovery_public_key": base64.b64encode(bytes(range(32))).decode()}

    statuses = [appliance.call("POST", "/api/v1/recovery/challenge", key, token="").status for _ in range(9)]

    assert 429 == statuses[-1]
