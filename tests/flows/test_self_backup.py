"""The appliance burns: its data folder is wiped, and it comes back from store and kit; its hosts are left alone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from saveos import config
from saveos.clock import to_text
from saveos.database.connection import Database
from saveos.identity.principals import system
from saveos.offsite import orders as offsite_orders
from saveos.offsite import stores
from saveos.protocol import TenantId
from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base
from tests.support.appliance import EMAIL, PASSWORD, Appliance, wait_until
from tests.support.host import WireHost
from tests.support.s3 import SECRET
from tests.support.selfbackup import burn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.offsite.model import Place
    from tests.support.s3 import Weed


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance.started(tmp_path / "appliance") as appliance:
        appliance.set_up()
        put_base(appliance)
        with database(appliance) as connection:
            connection.execute("UPDATE policies SET schedule = ''")
        yield appliance


@contextlib.contextmanager
def verbs(appliance: Appliance) -> Iterator[Any]:
    """Give settings, database and administrator, as the command line has them beside a serving process."""
    settings = config.load({"data": str(appliance.data)}, {})
    opened = Database(settings.database)
    try:
        tenant_id = opened.read.execute("SELECT id FROM tenants").fetchone()["id"]
        yield settings, opened, system(TenantId(tenant_id), "test")
    finally:
        opened.close()


def words(place: Place) -> list[str]:
    """Return how `saveos recover` is told a place."""
    return [
        "--bucket",
        place.bucket,
        "--endpoint",
        place.endpoint,
        "--prefix",
        place.prefix,
        "--key-id",
        "WRITER",
    ]


def recover(appliance: Appliance, *more: str, code: str = "") -> subprocess.CompletedProcess[str]:
    return appliance.cli("recover", *more, stdin=f"{code or appliance.recovery_code}\n{SECRET.value}\n")


def make_tree(folder: Path) -> Path:
    folder.mkdir()
    for number in range(20):
        (folder / f"file {number}").write_bytes(os.urandom(50_000))
    return folder


def protected(appliance: Appliance, place: Place, tree: Path, folder: Path) -> RealAgent:
    """Return a host with two backups, both in the store; the self-backup there knows of the first alone."""
    with verbs(appliance) as (settings, opened, principal):
        stores.keep_store(opened, settings, principal, place, SECRET)
        host = RealAgent.enrolled(appliance, folder, hostname="host")
        host.start_daemon()
        try:
            host.first_backup()
            wait_until(lambda: offsite_orders.of_host(opened, principal, host.id).generation, 60, "a copy")
            assert 0 == appliance.cli("self-backup", "now", "--wait").returncode
            (tree / "after").write_bytes(os.urandom(50_000))
            assert "done" == appliance.wait_for_job(host.back_up())["state"]
            wait_until(lambda: offsite_orders.of_host(opened, principal, host.id).generation == 2, 60, "another copy")
        except BaseException:
            host.stop()
            raise
    return host


def test_appliance_comes_back_from_the_store_and_the_kit_and_its_host_goes_on(
    appliance: Appliance, s3: Weed, tmp_path: Path
) -> None:
    tree, place = make_tree(tmp_path / "tree"), s3.place(s3.bucket())
    back_up_only(appliance, tree)
    revoked = WireHost.enrolled(appliance, tmp_path / "revoked", hostname="revoked")
    appliance.call("DELETE", f"/api/v1/agents/{revoked.id}").expect(200)
    cookie = sign_in(appliance)
    host = protected(appliance, place, tree, tmp_path / "host")
    try:
        snapshots = [one["id"] for one in appliance.snapshots(host.id)]
        fingerprint, used = appliance.ready["fingerprint"], nonce(host)
        burn(appliance)

        done = recover(appliance, *words(place), "--root", fingerprint)

        assert 0 == done.returncode, done.stdout + done.stderr
        assert {"host"} == set(json.loads(done.stdout)["inventory"]["away"])
        appliance.start()
        assert fingerprint == appliance.ready["fingerprint"]
        assert snapshots == [one["id"] for one in appliance.snapshots(host.id)]
        assert not list((appliance.data / "repositories").glob("ten_*/agt_*"))
        asked = {"snapshot_id": snapshots[0], "target": str(tmp_path / "back")}
        job = appliance.call("POST", "/api/v1/restore", asked).expect(202)
        assert "done" == appliance.wait_for_job(job["id"])["state"]
        assert_restored(tree, tmp_path / "back")
        assert used < nonce(host)
        (tree / "more").write_bytes(os.urandom(50_000))
        assert "done" == appliance.wait_for_job(host.back_up())["state"]
        with verbs(appliance) as (_settings, opened, principal):
            wait_until(lambda: offsite_orders.of_host(opened, principal, host.id).generation == 3, 60, "the next copy")
    finally:
        host.stop()
    assert 0 == host.stock_borg("check", "--verify-data").returncode
    assert 401 == revoked.call("POST", "/api/v1/agents/heartbeat", {}).status
    assert 401 == appliance.call("GET", "/api/v1/session", headers={"cookie": cookie}, token="").status
    opened_alerts = appliance.call("GET", "/api/v1/alerts?is_open=true").expect(200)["items"]
    kinds = {alert["kind"] for alert in opened_alerts}
    assert "recovered" in kinds
    assert "hostile-changes" not in kinds
    log = (appliance.data.parent / "appliance.log").read_text() + done.stdout + done.stderr
    assert appliance.recovery_code not in log
    assert SECRET.value not in log


def test_self_backup_follows_a_change_by_itself_and_is_told(appliance: Appliance) -> None:
    def shown() -> Any:
        return appliance.call("GET", "/api/v1/self-backup").expect(200)

    first = wait_until(lambda: (now := shown())["made_at"] and not now["is_changed"] and now, 120, "the first one")
    assert "" == first["store"]
    assert (first["name"], True) == (os.listdir(appliance.data / "self")[-1], first["has_kit"])

    with database(appliance) as connection:
        connection.execute("UPDATE policies SET name = 'another'")

    assert shown()["is_changed"]
    wait_until(lambda: (now := shown())["name"] != first["name"] and not now["is_changed"], 150, "the next one")
    assert 2 == len(os.listdir(appliance.data / "self"))


def test_repositories_that_are_left_serve_at_once(appliance: Appliance, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    back_up_only(appliance, tree)
    host = RealAgent.enrolled(appliance, tmp_path / "host", hostname="host")
    host.start_daemon()
    try:
        host.first_backup()
        assert 0 == appliance.cli("self-backup", "now", "--wait").returncode
        wait_until(lambda: list((appliance.data / "repositories").glob("*/*.saveos.json")), 60, "the label")
        appliance.kill()
        burnt = appliance.data.rename(tmp_path / "burnt")

        done = recover(appliance, "--from", str(burnt / "self"), "--repositories", str(burnt / "repositories"))

        assert 0 == done.returncode, done.stdout + done.stderr
        appliance.start()
        snapshot = appliance.snapshots(host.id)[0]["id"]
        host.restore(snapshot, tmp_path / "back")
        assert_restored(tree, tmp_path / "back")
        (tree / "more").write_bytes(os.urandom(50_000))
        assert "done" == appliance.wait_for_job(host.back_up())["state"]
    finally:
        host.stop()
    assert 0 == host.stock_borg("check", "--verify-data").returncode
    assert 2 == len(appliance.snapshots(host.id))
    [found] = json.loads(appliance.cli("adopt", str(burnt / "repositories")).stdout)
    assert ("host", 1) == (found["label"]["hostname"], len(found["label"]["seals"]))


def test_another_tenant_is_not_told(appliance: Appliance) -> None:
    with database(appliance) as connection:
        connection.execute("INSERT INTO tenants (id, name, created_at) VALUES ('ten_0', 'Earlier', '0000')")

    answers = [appliance.call(method, "/api/v1/self-backup").status for method in ("GET", "POST")]

    assert [403, 403] == answers


def test_host_whose_repository_is_away_is_told_so_and_nothing_new_is_made(appliance: Appliance, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    back_up_only(appliance, tree)
    host = RealAgent.enrolled(appliance, tmp_path / "host", hostname="host")
    host.succeed("backup", "--wait", str(tree))
    snapshot = appliance.snapshots(host.id)[0]["id"]
    path = host.repository
    path.rename(tmp_path / "gone")
    with database(appliance) as connection:
        connection.execute("UPDATE repositories SET away_at = ?", (to_text(datetime.now(UTC)),))

    done = host.run("--json", "restore", snapshot, "--target", str(tmp_path / "back"))
    backup = host.run("--json", "backup", "--wait", str(tree))
    job = appliance.call("POST", "/api/v1/restore", {"snapshot_id": snapshot, "target": "/x"}).expect(202)

    assert (11, 11) == (done.returncode, backup.returncode)
    assert "offsite copy" in done.stdout + done.stderr
    assert "queued" == appliance.job(job["id"])["state"]
    assert 409 == appliance.call("GET", f"/api/v1/snapshots/{snapshot}/download?path=x").status
    assert not path.exists()


def nonce(host: RealAgent) -> int:
    """Return up to where nonces of the host's repository are used up."""
    return int((host.repository / "nonce").read_text(), 16)


def sign_in(appliance: Appliance) -> str:
    answer = appliance.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD})
    return answer.headers["set-cookie"].split(";")[0]
