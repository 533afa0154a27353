"""kill -9 at each step of retention and roll-back: what is shown as good restores, and all of it ends by itself.

A few run always; `packaging/run test -m faults` runs the whole matrix.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import assert_all_gone, database
from tests.support.appliance import wait_until
from tests.support.processes import children, descendants

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Patient

pytestmark = pytest.mark.faults
matrix = pytest.mark.matrix
KEEP_ENDS = '{"keep_hourly":0,"keep_daily":0,"keep_weekly":0,"keep_monthly":0,"keep_yearly":2}'
END_SECONDS = 150


def grown(patient: Patient) -> None:
    """Give the patient three more snapshots, each of its own day: retention keeps the first and the last."""
    for _ in range(3):
        patient.change()
        assert patient.appliance.wait_for_job(patient.agent.back_up())["state"] == "done"
    with database(patient.appliance) as connection:
        connection.execute("UPDATE policies SET retention_json = ?, schedule = ''", (KEEP_ENDS,))
        ids = [row[0] for row in connection.execute("SELECT id FROM snapshots WHERE agent_id = ?", (patient.agent.id,))]
        for age, snapshot_id in enumerate(sorted(ids, reverse=True)):
            connection.execute(
                "UPDATE snapshots SET started_at = strftime('%Y-%m-%dT%H:%M:%fZ', ended_at, ?) WHERE id = ?",
                (f"-{age} days", snapshot_id),
            )


def retain(patient: Patient) -> None:
    patient.appliance.call("POST", f"/api/v1/agents/{patient.agent.id}/retention/run").expect(202)


def jobs(patient: Patient) -> list[dict[str, Any]]:
    path = f"/api/v1/jobs?agent_id={patient.agent.id}&limit=200"
    found: list[dict[str, Any]] = patient.appliance.call("GET", path).expect(200)["items"]
    return found


def kinds(patient: Patient, *states: str) -> set[str]:
    return {job["kind"] for job in jobs(patient) if job["state"] in states}


def ended(patient: Patient, kind: str) -> None:
    """Wait until the appliance and the host have come to an end by themselves, and all of it well."""
    wait_until(
        lambda: kind in kinds(patient, "done", "warned") and not kinds(patient, "queued", "running"),
        END_SECONDS,
        f"{kind} to end: {[(job['kind'], job['state'], job['message']) for job in jobs(patient)]}",
    )
    assert set() == kinds(patient, "failed"), jobs(patient)
    protection = patient.appliance.call("GET", f"/api/v1/agents/{patient.agent.id}/protection").expect(200)
    assert (None, False) == (protection["frozen_at"], protection["is_in_upkeep"])


def restart(patient: Patient) -> None:
    process = patient.appliance.process
    assert process is not None
    started = descendants(process.pid)
    patient.appliance.kill()
    assert_all_gone(started)
    patient.appliance.start()


def upkeeps(patient: Patient) -> list[int]:
    assert patient.appliance.process is not None
    return children(patient.appliance.process.pid, "saveos.repositories.upkeep")


def kill_borg(patient: Patient) -> None:
    for pid in patient.agent.borgs("delete"):
        os.kill(pid, signal.SIGKILL)


def kill_server(patient: Patient) -> None:
    names = [path.name for path in (patient.agent.repository / "lock.exclusive").glob("*")]
    for name in names:
        os.kill(int(name.rsplit(".")[-1].split("-")[0]), signal.SIGKILL)


def kill_agent(patient: Patient) -> None:
    patient.agent.kill()
    patient.agent.start_daemon()


@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(restart, marks=matrix),
        pytest.param(kill_borg, marks=matrix),
        pytest.param(kill_server, marks=matrix),
        pytest.param(kill_agent, marks=matrix),
    ],
    ids=lambda strike: strike.__name__,
)
def test_deletion_is_struck(patient: Patient, strike: Callable[[Patient], None]) -> None:
    grown(patient)
    with patient.proxy.slowed(20_000):
        retain(patient)
        wait_until(lambda: patient.agent.borgs("delete"), 60, "the host to delete")
        strike(patient)

    ended(patient, "compact")
    assert 2 == len(patient.appliance.snapshots(patient.agent.id))
    patient.assert_protected()


@matrix
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("who", ["appliance", "upkeep"])
def test_compaction_is_struck(patient: Patient, who: str, seconds: float) -> None:
    grown(patient)
    retain(patient)
    found = wait_until(lambda: upkeeps(patient), 90, "the compaction")
    time.sleep(seconds)
    if who == "appliance":
        restart(patient)
    else:
        with contextlib.suppress(ProcessLookupError):  # on a quick machine it has ended by then
            os.kill(found[0], signal.SIGKILL)

    ended(patient, "compact")
    assert 2 == len(patient.appliance.snapshots(patient.agent.id))
    patient.assert_protected()


@pytest.mark.parametrize("seconds", [0.3, *(pytest.param(one, marks=matrix) for one in (0.05, 0.6, 1.2, None))])
def test_roll_back_is_struck(patient: Patient, seconds: float | None) -> None:
    """Kill the appliance after so long, or else the process that makes the index of what is put together."""
    grown(patient)
    before = [one["id"] for one in patient.appliance.snapshots(patient.agent.id)]
    retain(patient)
    ended(patient, "compact")
    path = f"/api/v1/agents/{patient.agent.id}"
    protection = patient.appliance.call("GET", f"{path}/protection").expect(200)
    checkpoint = protection["checkpoints"][-1]["id"]
    asked = {"hostname": patient.agent.hostname}
    patient.appliance.call("POST", f"{path}/checkpoints/{checkpoint}/roll-back", asked).expect(202)
    if seconds is None:
        wait_until(lambda: [os.kill(pid, signal.SIGKILL) for pid in upkeeps(patient)], 30, "the index to be made")
    else:
        time.sleep(seconds)
        restart(patient)

    ended(patient, "roll-back")
    assert sorted(before) == sorted(one["id"] for one in patient.appliance.snapshots(patient.agent.id))
    patient.assert_protected()


def kill_borg_that_reads(patient: Patient) -> None:
    for pid in patient.agent.borgs():
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "strike",
    [pytest.param(restart, marks=matrix), pytest.param(kill_borg_that_reads, marks=matrix), kill_agent],
    ids=lambda strike: strike.__name__,
)
def test_drill_is_struck(patient: Patient, strike: Callable[[Patient], None]) -> None:
    scratches = lambda: list((patient.agent.folder / "agent" / "state").glob("drill-*"))  # noqa: E731
    with patient.proxy.slowed(20_000):
        patient.appliance.call("POST", f"/api/v1/agents/{patient.agent.id}/drill").expect(202)
        wait_until(lambda: scratches() and patient.agent.borgs(), 60, "the host to restore a sample")
        strike(patient)

    ended(patient, "drill")
    shown = patient.appliance.call("GET", f"/api/v1/agents/{patient.agent.id}").expect(200)
    assert shown["proven_at"] is not None
    assert [] == scratches()
    patient.assert_protected()
