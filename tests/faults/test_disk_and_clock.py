"""A disk that is full, a clock that is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.conftest import LARGE, protected
from tests.support.agent import put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.trees import differences

if TYPE_CHECKING:
    from tests.faults.conftest import Patient

pytestmark = pytest.mark.faults
DISK_BYTES = 160_000_000


@pytest.mark.matrix  # what fills a disk that has a reserve is tested each time, see test_disk_reserve
def test_full_disk_on_the_appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounts a small file system, so it needs to be root, as the tests on clean hosts do."""
    monkeypatch.setenv("SAVEOS_RESERVE_BYTES", "8000000")
    monkeypatch.setenv("SAVEOS_LEASE_SECONDS", "8")
    disk = tmp_path / "served" / "data"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "none", disk], check=True)
    try:
        with Appliance.started(tmp_path / "served") as appliance:
            appliance.set_up()
            put_base(appliance)
            with protected(appliance, tmp_path / "host") as patient:
                _fill_and_free(patient, disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def _fill_and_free(patient: Patient, disk: Path) -> None:
    appliance = patient.appliance
    before = appliance.snapshots(patient.agent.id)
    ballast = disk / "ballast"
    free = _free(disk) - LARGE // 2
    ballast.write_bytes(bytes(free))
    patient.change()

    job_id = patient.agent.back_up()
    told = _until_refused(patient, job_id)

    assert "disk" in told.lower(), told
    assert appliance.snapshots(patient.agent.id) == before
    assert appliance.call("GET", "/health").status in (200, 503)
    restored = patient.agent.folder / "restored-while-full"
    patient.agent.restore(before[0]["id"], restored)
    assert differences(patient.versions[0], restored / patient.tree.relative_to("/")) == []

    ballast.unlink()
    job = appliance.wait_for_job(job_id, 180)
    assert job["state"] in ("done", "failed"), job
    patient.assert_protected()


def _until_refused(patient: Patient, job_id: str) -> str:
    def reason() -> str:
        job = patient.appliance.job(job_id)
        return str(job["error_code"] + job["message"]) if job["message"] else ""

    return str(wait_until(reason, 90, "the full disk to be told"))


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def clock_off_by(offset: str) -> tuple[str, ...]:
    """Return words before a command; unlike the program faketime they leave one process, the command itself."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return ("env", f"LD_PRELOAD={library}", f"FAKETIME={offset}")


@pytest.mark.parametrize("offset", ["-1d", pytest.param("+1d", marks=pytest.mark.matrix)])
def test_clock_of_the_host_a_day_off(appliance: Appliance, tmp_path: Path, offset: str) -> None:
    with protected(appliance, tmp_path, before=clock_off_by(offset)) as patient:
        patient.change()
        patient.assert_protected()
        started = [entry["started_at"] for entry in appliance.snapshots(patient.agent.id)]
        assert started == sorted(started, reverse=True)


@pytest.mark.matrix
def test_clock_of_the_host_jumps_a_day_back_between_backups(appliance: Appliance, tmp_path: Path) -> None:
    with protected(appliance, tmp_path) as patient:
        patient.agent.stop()
        patient.agent.before = clock_off_by("-1d")
        patient.agent.start_daemon()

        patient.change()
        patient.assert_protected()
