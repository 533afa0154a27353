"""What ended badly is asked for again, and snapshots of all hosts are found."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.host import WireHost

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.appliance import Appliance


@pytest.fixture
def host(shared_appliance: Appliance, tmp_path: Path) -> WireHost:
    """A ready host whose first backup waits."""
    made = WireHost.enrolled(shared_appliance, tmp_path / "host")
    made.make_ready()
    return made


def end(host: WireHost, outcome: str, code: str = "", **said: Any) -> dict[str, Any]:
    """Take the next job and report how it ended; return the assignment."""
    assignment: dict[str, Any] = host.heartbeat(wait_seconds=20)["assignment"]
    body = {"outcome": outcome, "error_code": code, "message": "said by the test", **said}
    host.call("POST", f"/api/v1/jobs/{assignment['job_id']}/report", body).expect(204)
    return assignment


def retry(host: WireHost, job_id: str) -> Any:
    return host.appliance.call("POST", f"/api/v1/jobs/{job_id}/retry")


def test_failed_backup_is_done_again_under_another_archive(host: WireHost) -> None:
    failed = end(host, "failed", "no-sources")

    made = retry(host, failed["job_id"]).expect(202)

    again = host.heartbeat()["assignment"]
    assert made["id"] == again["job_id"] != failed["job_id"]
    assert failed["backup"]["archive"] != again["backup"]["archive"]


def test_backup_of_chosen_paths_is_done_again_with_those(host: WireHost) -> None:
    end(host, "done")
    body = {"agent_id": host.id, "paths": ["/srv/one", "/srv/two"]}
    host.appliance.call("POST", "/api/v1/backup", body).expect(202)
    failed = end(host, "failed", "no-sources")

    retry(host, failed["job_id"]).expect(202)

    assert ["/srv/one", "/srv/two"] == host.heartbeat()["assignment"]["backup"]["sources"]


def ask_for_restore(host: WireHost) -> str:
    """Ask for some of the host's first snapshot; return the snapshot's id."""
    first = host.heartbeat()["assignment"]
    host.report_made(first).expect(204)
    snapshot_id = str(host.appliance.snapshots(host.id)[0]["id"])
    asked = {"snapshot_id": snapshot_id, "paths": ["etc/hosts"], "target": "/srv/back"}
    host.appliance.call("POST", "/api/v1/restore", asked).expect(202)
    return snapshot_id


@pytest.mark.parametrize("code", ["path-not-found", "target-refused"])
def test_failed_restore_is_done_again_with_the_same_paths(host: WireHost, code: str) -> None:
    ask_for_restore(host)
    failed = end(host, "failed", code)  # for good: it is not tried again by itself

    retry(host, failed["job_id"]).expect(202)

    assert failed["restore"] == host.heartbeat()["assignment"]["restore"]


def test_restore_that_is_asked_for_again_twice_is_one_and_says_what_it_writes(host: WireHost) -> None:
    snapshot_id = ask_for_restore(host)
    failed = end(host, "failed", "path-not-found")

    made = [retry(host, failed["job_id"]).expect(202)["id"] for _press in range(2)]

    assert made[0] == made[1] == host.heartbeat()["assignment"]["job_id"]
    assert host.heartbeat()["assignment"] is None
    with sqlite3.connect(host.appliance.data / "saveos.db") as database:
        asked = "SELECT detail_json FROM audit WHERE action = 'restore-requested' AND target = ? ORDER BY id"
        first, again = database.execute(asked, (snapshot_id,)).fetchall()
    assert first == again
    expected = {"paths": ["etc/hosts"], "to": "/srv/back", "onto": host.id, "conflict": "overwrite"}
    assert expected == json.loads(again[0])


def test_job_that_has_not_ended_badly_is_not_done_again(host: WireHost) -> None:
    job_id = host.heartbeat()["assignment"]["job_id"]

    assert (409, "illegal-transition") == ((answer := retry(host, job_id)).status, answer.body["code"])
    assert 404 == retry(host, "job_none").status


def test_job_of_a_revoked_host_is_not_done_again(host: WireHost) -> None:
    failed = end(host, "failed", "no-sources")
    host.appliance.call("DELETE", f"/api/v1/agents/{host.id}").expect(200)

    assert (409, "conflict") == ((answer := retry(host, failed["job_id"])).status, answer.body["code"])


def test_snapshots_of_all_hosts_are_found_by_name_and_time(host: WireHost) -> None:
    assignment = host.heartbeat()["assignment"]
    host.report_made(assignment).expect(204)
    hostname = host.appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["hostname"]

    def found(**asked: str) -> list[str]:
        query = "&".join(f"{name}={value}" for name, value in asked.items())
        page = host.appliance.call("GET", f"/api/v1/snapshots?{query}").expect(200)
        assert page["total"] >= len(page["snapshots"])
        return [snapshot["agent_id"] for snapshot in page["snapshots"]]

    assert host.id in found(search=hostname)
    assert [] == found(search="no-such-host")
    assert [] == found(search=hostname, until="2001-01-01T00:00:00Z")
    assert host.id in found(search=hostname, since="2001-01-01T00:00:00")
