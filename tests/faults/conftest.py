"""A host in the middle of a backup: what each fault strikes, and what has to be true afterwards."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance
from tests.support.proxy import Proxy
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = 2_000_000  # bytes a second, while a fault strikes
LARGE = 24_000_000
LEASE_SECONDS = 8
RECOVERY_SECONDS = 150


@dataclass
class Patient:
    """A host under protection with one good snapshot, and every version that its files have had."""

    agent: RealAgent
    proxy: Proxy
    tree: Path
    versions: list[Path] = field(default_factory=list)

    @property
    def appliance(self) -> Appliance:
        """What protects it."""
        return self.agent.appliance

    def change(self) -> None:
        """Let the files have another version, with enough that is new to be caught in the middle of its backup."""
        number = len(self.versions)
        (self.tree / "notes").write_text(f"version {number}\n")
        (self.tree / f"large-{number}").write_bytes(os.urandom(LARGE if number else 1_000_000))
        kept = self.agent.folder / f"version-{number}"
        subprocess.run(["cp", "-a", self.tree, kept], check=True)
        self.versions.append(kept)

    @contextlib.contextmanager
    def under_way(self) -> Iterator[str]:
        """Change the files and ask for a backup; give the job's id once Borg has sent a part of it."""
        self.change()
        with self.proxy.slowed(SLOW):
            job_id = self.agent.back_up()
            self.agent.await_progress(job_id, more_than=LARGE // 4)
            yield job_id

    def recovered(self, job_id: str) -> dict[str, Any]:
        """Wait until the interrupted job has succeeded with nobody's help, then judge."""
        job = self.appliance.wait_for_job(job_id, RECOVERY_SECONDS)
        assert job["state"] == "done", job
        assert self.appliance.snapshots(self.agent.id)[0]["job_id"] == job_id
        self.assert_protected()
        return job

    def assert_protected(self) -> None:
        """Fail unless a backup succeeds now, and every listed snapshot brings a whole version back."""
        job = self.appliance.wait_for_job(self.agent.back_up(), RECOVERY_SECONDS)
        assert job["state"] == "done", job
        snapshots = self.appliance.snapshots(self.agent.id)
        assert snapshots[0]["job_id"] == job["id"]
        for number, snapshot in enumerate(snapshots):
            target = self.agent.folder / f"restored-{job['id']}-{number}"
            self.agent.restore(snapshot["id"], target)
            restored = target / self.tree.relative_to("/")
            expected = self.versions[-1:] if number == 0 else self.versions
            found = [differences(version, restored) for version in expected]
            assert [] in found, (snapshot, found)
        shown = self.appliance.call("GET", f"/api/v1/agents/{self.agent.id}/protection").expect(200)
        assert shown["frozen_at"] is None, shown  # nothing of it was the host's ill will
        checked = self.agent.stock_borg("check", "--verify-data")
        assert checked.returncode == 0, checked.stderr


@contextlib.contextmanager
def protected(appliance: Appliance, folder: Path, *, before: tuple[str, ...] = ()) -> Iterator[Patient]:
    """Enrol a host behind a line that can be cut, let it serve, and wait for its first backup."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    for number in range(200):
        (tree / f"leaf-{number}").write_text(f"{number}\n" * 50)
    back_up_only(appliance, tree)
    proxy = Proxy(appliance.port)
    agent = RealAgent.enrolled(appliance, folder / "host", address=proxy.address, before=before)
    patient = Patient(agent, proxy, tree)
    patient.change()
    agent.start_daemon()
    try:
        assert agent.first_backup()["state"] == "done"
        yield patient
    finally:
        if agent.process is not None and agent.process.poll() is None:
            agent.stop()
        proxy.close()


@pytest.fixture(scope="package")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """One appliance that notices soon when a host has gone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAVEOS_LEASE_SECONDS", str(LEASE_SECONDS))
        with Appliance.started(tmp_path_factory.mktemp("faults")) as appliance:
            appliance.set_up()
            put_base(appliance)
            yield appliance


@pytest.fixture
def patient(appliance: Appliance, tmp_path: Path) -> Iterator[Patient]:
    """A host of its own for each fault."""
    with protected(appliance, tmp_path) as patient:
        yield patient
