"""kill -9 of each process in the middle of a backup: it is taken up again and what is listed restores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from saveos import config
from saveos.installers import bases
from saveos.protocol import Platform
from tests.support.agent import assert_all_gone
from tests.support.appliance import Appliance, wait_until
from tests.support.processes import children, descendants, processes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Patient

pytestmark = pytest.mark.faults


def kill(*pids: int) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def server_of(patient: Patient) -> list[int]:
    """Return the children that serve a host's repository: the lock in it names them."""
    names = [path.name for path in (patient.agent.repository / "lock.exclusive").glob("*")]
    return [int(name.rsplit(".")[-1].split("-")[0]) for name in names]


def test_borg_on_the_host(patient: Patient) -> None:
    with patient.under_way() as job_id:
        kill(*patient.agent.borgs("create"))

    patient.recovered(job_id)


@pytest.mark.matrix
def test_borgs_server_on_the_appliance(patient: Patient) -> None:
    with patient.under_way() as job_id:
        kill(*server_of(patient))

    patient.recovered(job_id)


@pytest.mark.matrix
def test_tunnels_process_on_the_appliance(patient: Patient) -> None:
    """Running sessions go on; the next ones come from its successor."""
    appliance = patient.appliance
    assert appliance.process is not None
    with patient.under_way() as job_id:
        zygotes = children(appliance.process.pid, "saveos.repositories.tunnel")
        assert len(zygotes) == 1
        kill(*zygotes)

    assert patient.recovered(job_id)["attempts"] == 1


@pytest.mark.matrix
def test_agent_with_everything_it_started(patient: Patient) -> None:
    agent = patient.agent
    assert agent.process is not None
    with patient.under_way() as job_id:
        kill(*descendants(agent.process.pid))
        agent.kill()
    agent.start_daemon()  # as its service would

    patient.recovered(job_id)


@pytest.mark.matrix
def test_agent_alone_takes_its_borg_along(patient: Patient) -> None:
    agent = patient.agent
    assert agent.process is not None
    with patient.under_way() as job_id:
        started = descendants(agent.process.pid)
        agent.kill()
        assert_all_gone(started)
    agent.start_daemon()

    patient.recovered(job_id)


def test_appliance(patient: Patient) -> None:
    appliance = patient.appliance
    assert appliance.process is not None
    with patient.under_way() as job_id:
        started = descendants(appliance.process.pid)
        appliance.kill()
        assert_all_gone(started)
        appliance.start()

    patient.recovered(job_id)


@pytest.mark.matrix
def test_appliance_and_agent_at_once(patient: Patient) -> None:
    """A power cut of the house."""
    appliance, agent = patient.appliance, patient.agent
    assert agent.process is not None
    with patient.under_way() as job_id:
        kill(*descendants(agent.process.pid))
        agent.kill()
        appliance.kill()
        appliance.start()
        agent.start_daemon()

    patient.recovered(job_id)


def test_borg_in_the_middle_of_a_restore(patient: Patient, tmp_path: Path) -> None:
    """It is not shown as done, and the same restore asked for again is whole."""
    agent, appliance = patient.agent, patient.appliance
    patient.change()
    assert appliance.wait_for_job(agent.back_up())["state"] == "done"
    newest = appliance.snapshots(agent.id)[0]
    asked = {"snapshot_id": newest["id"], "target": str(tmp_path / "taken")}
    job_id = appliance.call("POST", "/api/v1/restore", asked).expect(202)["id"]
    killed = wait_until(lambda: agent.borgs("restore"), 30, "Borg to extract")
    kill(*killed)

    job = appliance.wait_for_job(job_id)

    assert (job["state"], job["attempts"] > 1) == ("done", True), job
    patient.assert_protected()


@pytest.mark.matrix
def test_appliance_in_the_middle_of_a_build(tmp_path: Path) -> None:
    """The worker's task dies with the appliance; the next start takes the job up again and ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAVEOS_LEASE_SECONDS", "8")
        with Appliance.started(tmp_path) as appliance:
            appliance.set_up()
            for base in (appliance.data / "bases").iterdir():
                base.unlink()
            appliance.call("POST", "/api/v1/agents/provision", {"hostname": "new"}).expect(201)
            listed = "/api/v1/jobs?kind=build-agent"
            job = wait_until(lambda: appliance.call("GET", listed).expect(200)["items"], 20, "the build")[0]
            wait_until(lambda: builders(appliance), 30, "PyInstaller to run")
            wait_until(lambda: appliance.job(job["id"])["progress"], 60, "the build to tell how far it is")
            started = builders(appliance)

            appliance.kill()
            assert_all_gone(started)
            appliance.start()

            ended = appliance.wait_for_job(job["id"], 180)
            assert (ended["state"], ended["attempts"]) == ("done", 2), ended
            settings = config.load({"data": str(appliance.data)}, {})
            base = bases.find(settings, Platform.LINUX)
            assert base is not None
            said = subprocess.run([base, "--version"], capture_output=True, text=True, check=True)
            assert said.stdout.strip()
            assert sorted(path.name for path in base.parent.iterdir()) == ["lock", base.name]


def builders(appliance: Appliance) -> list[int]:
    mark = str(appliance.data)
    return [
        process.pid
        for process in processes()
        if process.words[:1] == (sys.executable,) and "--noconfirm" in process.words and mark in " ".join(process.words)
    ]
