"""Jobs through the wire: claimed once, cancelled, lost and found, reported twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import database
from tests.support.appliance import Appliance, wait_until
from tests.support.host import WireHost

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def host(shared_appliance: Appliance, tmp_path: Path) -> WireHost:
    """A ready host whose first backup has been reported."""
    made = WireHost.enrolled(shared_appliance, tmp_path / "host")
    made.make_ready()
    assignment = made.heartbeat()["assignment"]
    report(made, assignment)
    return made


def report(host: WireHost, assignment: dict[str, Any], outcome: str = "done", **said: Any) -> int:
    if outcome == "done" and not said:
        return host.report_made(assignment).status
    body = {"outcome": outcome, **said}
    return host.call("POST", f"/api/v1/jobs/{assignment['job_id']}/report", body).status


def back_up(host: WireHost) -> str:
    job = host.appliance.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)
    return str(job["id"])


def test_first_backup_is_asked_for_as_soon_as_the_key_is_sealed(host: WireHost) -> None:
    snapshots = host.appliance.snapshots(host.id)

    assert ["full"] == [snapshot["kind"] for snapshot in snapshots]


def test_request_twice_returns_the_one_that_waits(host: WireHost) -> None:
    assert back_up(host) == back_up(host)


def test_request_beside_a_backup_of_chosen_paths_or_one_being_stopped_is_another(host: WireHost) -> None:
    body = {"agent_id": host.id, "paths": ["/etc"]}
    chosen = host.appliance.call("POST", "/api/v1/backup", body).expect(202)["id"]
    first = back_up(host)
    host.heartbeat()
    host.appliance.call("POST", f"/api/v1/jobs/{first}/cancel")
    host.appliance.call("POST", f"/api/v1/jobs/{chosen}/cancel")

    assert 3 == len({chosen, first, back_up(host)})


def test_waiting_host_is_woken_by_a_click(host: WireHost) -> None:
    answers: list[dict[str, Any]] = []
    poll = threading.Thread(target=lambda: answers.append(host.heartbeat(wait_seconds=30)))
    poll.start()
    time.sleep(0.5)

    job_id = back_up(host)
    poll.join(timeout=10)

    assert [job_id] == [answer["assignment"]["job_id"] for answer in answers]


def test_second_snapshot_is_incremental(host: WireHost) -> None:
    back_up(host)
    report(host, host.heartbeat()["assignment"])

    assert ["incremental", "full"] == [snapshot["kind"] for snapshot in host.appliance.snapshots(host.id)]


def test_report_twice_changes_nothing(host: WireHost) -> None:
    back_up(host)
    assignment = host.heartbeat()["assignment"]

    statuses = [report(host, assignment), report(host, assignment), report(host, assignment, "failed")]

    assert [204] * 3 == statuses
    assert "done" == host.appliance.job(assignment["job_id"])["state"]
    assert 2 == len(host.appliance.snapshots(host.id))


def test_report_of_another_archive_than_ordered_makes_no_snapshot(host: WireHost) -> None:
    back_up(host)
    assignment = host.heartbeat()["assignment"]
    lie = {"name": "something-else", "archive_id": "ef" * 32}

    report(host, assignment, archive=lie)

    assert 1 == len(host.appliance.snapshots(host.id))


def test_report_of_an_archive_that_was_never_written_makes_no_snapshot(host: WireHost) -> None:
    back_up(host)
    assignment = host.heartbeat()["assignment"]

    report(host, assignment, archive={"name": assignment["backup"]["archive"], "archive_id": "ef" * 32})

    assert 1 == len(host.appliance.snapshots(host.id))
    path = f"/api/v1/agents/{host.id}/protection"
    assert {"untrue": 1} == host.appliance.call("GET", path).expect(200)["findings"]


def test_cancel_of_a_running_job_reaches_the_host(host: WireHost) -> None:
    job_id = back_up(host)
    host.heartbeat()
    path = f"/api/v1/jobs/{job_id}/progress"
    before = host.call("POST", path, {"files_count": 1}).expect(200)

    host.appliance.call("POST", f"/api/v1/jobs/{job_id}/cancel").expect(200)
    after = host.call("POST", path, {"files_count": 2}).expect(200)
    host.call("POST", f"/api/v1/jobs/{job_id}/report", {"outcome": "cancelled"}).expect(204)

    assert (False, True) == (before["cancel"], after["cancel"])
    assert "cancelled" == host.appliance.job(job_id)["state"]


def test_cancel_of_an_ended_job_is_a_conflict(host: WireHost) -> None:
    job_id = back_up(host)
    report(host, host.heartbeat()["assignment"])

    answer = host.appliance.call("POST", f"/api/v1/jobs/{job_id}/cancel")

    assert (409, "illegal-transition") == (answer.status, answer.body["code"])


def test_job_lost_by_a_restarted_host_comes_back(host: WireHost) -> None:
    job_id = back_up(host)
    host.heartbeat()

    second = host.heartbeat(wait_seconds=20)["assignment"]

    assert (job_id, 2) == (second["job_id"], second["attempt"])


def test_progress_of_another_hosts_job_is_not_found(host: WireHost, tmp_path: Path) -> None:
    job_id = back_up(host)
    host.heartbeat()
    other = WireHost.enrolled(host.appliance, tmp_path / "other")

    answers = [
        other.call("POST", f"/api/v1/jobs/{job_id}/progress", {}),
        other.call("POST", f"/api/v1/jobs/{job_id}/report", {"outcome": "done"}),
    ]

    assert [404, 404] == [answer.status for answer in answers]


def test_restore_of_another_hosts_snapshot_is_not_found(host: WireHost, tmp_path: Path) -> None:
    snapshot_id = host.appliance.snapshots(host.id)[0]["id"]
    other = WireHost.enrolled(host.appliance, tmp_path / "other")
    other.make_ready()

    answer = other.call("POST", "/api/v1/agents/self/jobs", {"kind": "restore", "snapshot_id": snapshot_id})

    assert 404 == answer.status


@pytest.mark.parametrize("path", ["../etc/passwd", "/a/../../b", "a\0b", "c\\..\\d"])
def test_restore_of_a_path_that_climbs_is_refused(host: WireHost, path: str) -> None:
    snapshot_id = host.appliance.snapshots(host.id)[0]["id"]

    answer = host.appliance.call("POST", "/api/v1/restore", {"snapshot_id": snapshot_id, "paths": [path]})

    assert (400, "invalid-request") == (answer.status, answer.body["code"])


@pytest.mark.parametrize("target", ["/srv/../etc", "/a\0b", "C:\\out\\..\\Windows", "srv/out"])
def test_restore_into_a_target_that_climbs_is_refused(host: WireHost, target: str) -> None:
    snapshot_id = host.appliance.snapshots(host.id)[0]["id"]

    answer = host.appliance.call("POST", "/api/v1/restore", {"snapshot_id": snapshot_id, "target": target})

    assert (400, [{"field": "target"}]) == (answer.status, answer.body["fields"])


def test_log_of_a_job_is_read_from_where_one_was(host: WireHost) -> None:
    job_id = back_up(host)
    host.heartbeat()
    lines = [{"level": "info", "line": f"line {number}"} for number in range(3)]
    host.call("POST", f"/api/v1/jobs/{job_id}/progress", {"log": lines}).expect(200)

    first = host.appliance.call("GET", f"/api/v1/jobs/{job_id}/log?limit=2").expect(200)["items"]
    rest = host.appliance.call("GET", f"/api/v1/jobs/{job_id}/log?after={first[-1]['id']}").expect(200)["items"]

    assert ["line 0", "line 1", "line 2"] == [entry["line"] for entry in first + rest]


def test_restart_of_the_appliance_keeps_a_hosts_job_for_it(tmp_path: Path) -> None:
    with Appliance.started(tmp_path / "one", "--log-level", "warning") as appliance:
        appliance.set_up()
        host = WireHost.enrolled(appliance, tmp_path / "host")
        host.make_ready()
        assignment = host.heartbeat()["assignment"]
        with sqlite3.connect(appliance.data / "saveos.db") as connection:  # a day off
            connection.execute("UPDATE jobs SET lease_until = '2020-01-01T00:00:00.000000Z'")
            appliance.kill()

        appliance.start()
        answer = host.call("POST", f"/api/v1/jobs/{assignment['job_id']}/progress", {"files_count": 5})

        assert not answer.expect(200)["cancel"]
        assert "running" == appliance.job(assignment["job_id"])["state"]


def lose_lease(host: WireHost) -> str:
    """Return the id of a job that the host has in hand and the appliance has taken back."""
    job_id = back_up(host)
    host.heartbeat()
    with database(host.appliance) as connection:
        connection.execute("UPDATE jobs SET lease_until = '2000-01-01T00:00:00.000000Z' WHERE id = ?", (job_id,))
    wait_until(lambda: host.appliance.job(job_id)["state"] == "queued", 20, "the lease to be missed")
    return job_id


def test_host_that_was_cut_off_longer_than_its_lease_keeps_the_job(host: WireHost) -> None:
    job_id = lose_lease(host)

    answer = host.call("POST", f"/api/v1/jobs/{job_id}/progress", {"phase": "backing up"}).expect(200)

    shown = host.appliance.job(job_id)
    assert (False, "running", 1) == (answer["cancel"], shown["state"], shown["attempts"])


def test_report_of_a_stop_by_hands_that_lost_the_job_leaves_it_queued(host: WireHost) -> None:
    job_id = lose_lease(host)

    host.call("POST", f"/api/v1/jobs/{job_id}/report", {"outcome": "cancelled"}).expect(204)

    assert "queued" == host.appliance.job(job_id)["state"]
