"""The appliance keeps a reserve on its disk: backups stop before it, all else goes on, and they come back."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.conftest import LARGE, protected
from tests.support.agent import database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.conftest import Patient

pytestmark = pytest.mark.faults
MEGABYTE = 1_000_000
DISK_BYTES = 240 * MEGABYTE
RESERVE_BYTES = 24 * MEGABYTE
RATE = 4 * MEGABYTE
KEEP_ONE = '{"keep_hourly":0,"keep_daily":0,"keep_weekly":0,"keep_monthly":0,"keep_yearly":1}'


@pytest.fixture(params=[pytest.param("tmpfs", marks=pytest.mark.matrix), "ext4"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, so it needs root."""
    disk = tmp_path / "served" / "data"
    disk.mkdir(parents=True)
    if request.param == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "none", disk], check=True)
    else:
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        done = subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no loop devices here: {done.stderr}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_backups_stop_before_the_reserve_and_come_back_by_themselves(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAVEOS_RESERVE_BYTES", str(RESERVE_BYTES))
    monkeypatch.setenv("SAVEOS_LEASE_SECONDS", "20")
    with Appliance.started(tmp_path / "served") as appliance:
        appliance.set_up()
        put_base(appliance)
        with protected(appliance, tmp_path / "host") as patient:
            with database(appliance) as connection:
                connection.execute("UPDATE policies SET schedule = ''")
            patient.change()
            assert appliance.wait_for_job(patient.agent.back_up())["state"] == "done"
            ballast = Ballast(disk)
            job_id, lowest = _fill(patient, ballast)
            assert lowest >= RESERVE_BYTES, lowest
            _everything_else_goes_on(patient, ballast, job_id)

            ballast.remove()
            job = appliance.wait_for_job(job_id, 120)

            assert ("done", 1) == (job["state"], job["attempts"])
            assert [] == _alerts(appliance)
            patient.versions = patient.versions[-2:]  # retention has removed the first
            patient.assert_protected()


class Ballast:
    """A file of somebody else, as large as needed to leave so much."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._file = disk, disk / "ballast"

    @property
    def free(self) -> int:
        status = os.statvfs(self._disk)
        return status.f_bavail * status.f_frsize

    def leave(self, size: int) -> None:
        with self._file.open("ab") as file:
            while (more := self.free - size) > 0:
                file.write(bytes(min(more, MEGABYTE)))
                file.flush()

    def remove(self) -> None:
        self._file.unlink()


def _fill(patient: Patient, ballast: Ballast) -> tuple[str, int]:
    """Let a backup run towards the reserve; return it and how little was free at worst."""
    appliance = patient.appliance
    ballast.leave(2 * RESERVE_BYTES + 2 * MEGABYTE)  # so far away even this fast filling stops nothing
    time.sleep(2)
    assert [] == _alerts(appliance)
    (patient.tree / "more").write_bytes(os.urandom(LARGE))
    patient.change()
    lowest, ended = [ballast.free], threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            lowest[0] = min(lowest[0], ballast.free)

    looking = threading.Thread(target=look)
    with patient.proxy.slowed(RATE):
        job_id = patient.agent.back_up()
        looking.start()
        try:
            wait_until(lambda: _alerts(appliance), 60, "the full disk to be told")
            wait_until(lambda: appliance.job(job_id)["state"] == "queued", 60, "the job to wait")
        finally:
            ended.set()
            looking.join()
    assert (disk_free := ballast.free) > 2 * RESERVE_BYTES - 2 * MEGABYTE, disk_free  # nothing half-done takes room
    return job_id, lowest[0]


def _everything_else_goes_on(patient: Patient, ballast: Ballast, job_id: str) -> None:
    appliance, agent = patient.appliance, patient.agent
    ballast.leave(RESERVE_BYTES)
    before = appliance.snapshots(agent.id)
    job = appliance.job(job_id)
    assert ("queued", "disk-full", 0) == (job["state"], job["held_by"], job["attempts"])
    assert "disk is full" in job["message"]

    restored = agent.folder / "restored-while-full"
    asked = {"snapshot_id": before[0]["id"], "target": str(restored)}
    done = appliance.wait_for_job(appliance.call("POST", "/api/v1/restore", asked).expect(202)["id"])
    assert "done" == done["state"], done
    assert differences(patient.versions[-2], restored / patient.tree.relative_to("/")) == []
    made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": "another"})
    assert 201 == made.status, made.body
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET retention_json = ?", (KEEP_ONE,))
    asked_for = appliance.call("POST", f"/api/v1/agents/{agent.id}/retention/run")
    assert asked_for.status in (202, 409), asked_for.body  # that it does by itself may just have begun
    wait_until(lambda: len(appliance.snapshots(agent.id)) == 1, 60, "the deletion by order")

    time.sleep(5)
    job = appliance.job(job_id)
    assert ("queued", "disk-full", 0) == (job["state"], job["held_by"], job["attempts"])
    assert 1 == len(_alerts(appliance))


def _alerts(appliance: Appliance) -> list[Any]:
    """Return the open alerts; there was never more than one."""
    with database(appliance) as connection:
        rows = connection.execute("SELECT cleared_at FROM alerts WHERE kind = 'disk-full'").fetchall()
    assert len(rows) < 2
    return [row for row in rows if row[0] is None]
