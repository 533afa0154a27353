"""The real executable on a clean machine: one file in, a protected host out, and nothing left when it goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from saveos.installers import stamp
from tests.components.clean_host import CleanHost, clean_host
from tests.support import odd_tree, trees
from tests.support.appliance import Appliance, wait_until
from tests.support.frozen import another, offer

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTNAME = "clean-1"
AGENT = "/root/saveos-agent"
UNIT = "saveos-agent.service"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CleanHost]:
    with clean_host(tmp_path_factory.mktemp("host"), HOSTNAME) as booted:
        yield booted


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("appliance")) as started:
        started.set_up()
        yield started


@pytest.mark.slow
def test_install_on_a_clean_host_protects_it_until_uninstall(appliance: Appliance, host: CleanHost, tmp_path):
    executable = tmp_path / "saveos-agent"
    made = appliance.cli("agent", "provision", HOSTNAME, "--output", str(executable), "--port", str(appliance.port))
    assert made.returncode == 0, made.stderr
    assert stamp.read_back(executable).hostname == HOSTNAME
    assert host.run(["sh", "-c", "command -v python3 borg"], check=False).stdout == ""
    host.copy_in(executable, AGENT)
    odd_tree.make(host.path / "srv" / "data")

    host.run([AGENT, "install"])

    assert host.run(["systemctl", "is-active", UNIT]).stdout.strip() == "active"
    assert host.run(["systemctl", "is-enabled", UNIT]).stdout.strip() == "enabled"
    agent = wait_until(lambda: _agent(appliance), 30, "the host to be listed")
    _first_backup_comes_by_itself(appliance, agent["id"])
    assert _journal_complaints(host) == []

    host.run([AGENT, "backup", "--wait", "/srv/data"], seconds=180)
    newest = json.loads(host.run([AGENT, "snapshots", "--json"]).stdout)[0]
    host.run([AGENT, "restore", newest["snapshot_id"], "--target", "/srv/restored"], seconds=180)

    assert trees.differences(host.path / "srv" / "data", host.path / "srv" / "restored" / "srv" / "data") == []

    host.run([AGENT, "uninstall"])

    assert host.run(["systemctl", "is-active", UNIT], check=False).stdout.strip() == "inactive"
    assert _left_behind(host) == ["/root/.config/saveos"]  # who this host is; the snapshots need its passphrase

    host.run([AGENT, "uninstall", "--purge"])

    assert _left_behind(host) == []


@pytest.mark.slow
def test_update_of_a_service_keeps_its_process_and_leaves_nothing_when_it_goes(
    appliance: Appliance, host: CleanHost, tmp_path
):
    executable = tmp_path / "saveos-agent"
    words = ("agent", "provision", "clean-2", "--output", str(executable), "--port", str(appliance.port))
    assert appliance.cli(*words).returncode == 0
    host.copy_in(executable, AGENT)
    host.run([AGENT, "install"])
    agent = wait_until(lambda: _agent(appliance, "clean-2"), 30, "the host to be listed")
    former = host.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout
    sha256 = offer(appliance, another(b"newer"))
    wait_until(lambda: _agent(appliance, "clean-2")["has_update"], 300, "the host to have an update")

    asked = appliance.call("POST", "/api/v1/agents/update", {"agent_ids": [agent["id"]]}).expect(202)

    assert asked["asked_count"] == 1
    jobs = appliance.call("GET", f"/api/v1/jobs?agent_id={agent['id']}&kind=update").expect(200)["items"]
    job = appliance.wait_for_job(jobs[0]["id"], 600)  # after its first backup
    assert (job["state"], job["error_code"]) == ("done", ""), job
    assert host.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout == former
    assert host.run(["systemctl", "show", "-P", "NRestarts", UNIT]).stdout.strip() == "0"
    wait_until(lambda: _agent(appliance, "clean-2")["build"] == sha256, 30, "the host to say what it is")
    host.run([AGENT, "backup", "--wait", "/etc"], seconds=180)
    assert len(_unpacked(host)) == 1  # what the former one had unpacked is gone already
    host.run(["systemctl", "restart", UNIT])
    wait_until(lambda: host.run(["ls", "/var/lib/saveos-agent"]).stdout.count("_MEI") == 1, 30, "one unpacked folder")
    assert _journal_complaints(host) == []

    host.run([AGENT, "uninstall", "--purge"])

    assert _left_behind(host) == []


def _unpacked(host: CleanHost) -> list[str]:
    """Return the folders that hold an unpacked executable."""
    return host.run(["find", "/var/lib/saveos-agent", "-mindepth", "2", "-name", "base_library.zip"]).stdout.split()


def _agent(appliance: Appliance, hostname: str = HOSTNAME):
    items = appliance.call("GET", "/api/v1/agents").expect(200)["items"]
    return next((agent for agent in items if agent["hostname"] == hostname), None)


def _first_backup_comes_by_itself(appliance: Appliance, agent_id: str) -> None:
    snapshots = wait_until(lambda: appliance.snapshots(agent_id), 240, "the first backup")
    assert snapshots[0]["files_count"] > 0


def _journal_complaints(host: CleanHost) -> list[str]:
    return [line for line in host.journal(UNIT).splitlines() if "Traceback" in line or "error" in line.lower()]


def _left_behind(host: CleanHost) -> list[str]:
    """Return the files of the agent that are still there, the executable that the person put there aside."""
    places = ["/etc", "/opt", "/usr/local", "/var/lib", "/run", "/root/.config", "/root/.cache"]
    found = host.run(["find", *places, "-xdev", "-iname", "*saveos*"], check=False).stdout.split()
    return [path for path in found if not path.startswith("/var/log/")]
