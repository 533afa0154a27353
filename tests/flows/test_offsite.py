"""The whole way: a host backs up, its copy follows by itself; the repository is lost, and comes back from the store."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.flows.test_command_line import run
from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.s3 import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.offsite.model import Place
    from tests.support.s3 import Weed


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance.started(tmp_path / "appliance") as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


def chosen(appliance: Appliance, place: Place) -> dict[str, Any]:
    body = {"place": msgspec.to_builtins(place), "secret": SECRET.value}
    return appliance.call("PUT", "/api/v1/offsite/store", body).expect(200)


def test_host_goes_on_where_it_was_after_its_repository_was_lost(
    appliance: Appliance, s3: Weed, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"file {number}").write_bytes(os.urandom(50_000))
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    chosen(appliance, s3.place(s3.bucket()))
    host = RealAgent.enrolled(appliance, tmp_path / "host", hostname="host")
    path = f"/api/v1/agents/{host.id}/offsite"

    def copied(generation: int) -> Any:
        found = appliance.call("GET", path).expect(200)
        return found["copy"]["state"]["generation"] == generation and found

    host.start_daemon()
    try:
        host.first_backup()
        found = wait_until(lambda: copied(1), 60, "a copy")
        assert ("current", 0.0) == (found["copy"]["health"], found["copy"]["lag_seconds"])
        verified = appliance.call("POST", f"{path}/verify").expect(202)
        assert appliance.wait_for_job(verified["id"])["state"] == "done"
        shutil.rmtree(host.repository.parent)

        wrong = appliance.call("POST", f"{path}/fetch", {"generation": 1, "hostname": "another"})
        assert ("invalid-request", 400) == (wrong.expect(400)["code"], wrong.status)
        missing = appliance.call("POST", f"{path}/fetch", {"generation": 9, "hostname": "host"}).expect(404)
        assert "not-found" == missing["code"]
        job = appliance.call("POST", f"{path}/fetch", {"generation": 1, "hostname": "host"}).expect(202)
        assert appliance.wait_for_job(job["id"])["state"] == "done"
        jobs = appliance.call("GET", "/api/v1/jobs").expect(200)["items"]
        [following] = [job for job in jobs if job["kind"] == "roll-back"]
        assert appliance.wait_for_job(following["id"])["state"] == "done"

        host.restore(appliance.snapshots(host.id)[0]["id"], tmp_path / "back")
        assert_restored(tree, tmp_path / "back")
        (tree / "more").write_bytes(os.urandom(50_000))
        assert appliance.wait_for_job(host.back_up())["state"] == "done"
        wait_until(lambda: copied(2), 60, "the next copy")
        costs = appliance.call("GET", "/api/v1/offsite/costs").expect(200)
        assert costs["bytes"] > 1_000_000
        told = appliance.call("GET", "/metrics").expect(200).decode()
        assert f'saveos_offsite_lag_seconds{{agent="{host.id}"}} 0.0' in told
    finally:
        host.stop()
    assert 0 == host.stock_borg("check", "--verify-data").returncode


def test_store_is_chosen_and_tested_by_rest_and_by_the_command_line(appliance: Appliance, s3: Weed) -> None:
    assert "not-found" == appliance.call("GET", "/api/v1/offsite/store").expect(404)["code"]
    place = s3.place(s3.bucket(is_locked=True), lock_mode="compliance")
    body = {"place": msgspec.to_builtins(place), "secret": "another"}
    tried = appliance.call("POST", "/api/v1/offsite/store/test", body).expect(200)
    assert (False, "refused") == (tried["is_usable"], tried["steps"][0]["state"])
    body["secret"] = SECRET.value
    tried = appliance.call("POST", "/api/v1/offsite/store/test", body).expect(200)
    assert (True, "lock") == (tried["is_usable"], tried["protection"])

    kept = chosen(appliance, place)

    assert kept["is_of_appliance"]
    shown = appliance.call("GET", "/api/v1/offsite/store")
    assert SECRET.value not in str(shown.expect(200))
    assert {"state": "ok", "name": "write", "message": ""}.items() <= run(appliance, "offsite", "test")["steps"][
        0
    ].items()
    assert kept["id"] == run(appliance, "offsite", "show")["store"]["id"]
    appliance.call("POST", "/api/v1/offsite/store/take-over").expect(204)
    run(appliance, "offsite", "forget")
    appliance.call("DELETE", "/api/v1/offsite/store").expect(404)
