"""Limits of storage with real Borg and real agents: who is stopped, what stays, and what goes on."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.attack import attack
from tests.support.proxy import Proxy
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1_000_000
RATE = 8 * MEGABYTE  # a second, of each line
KEEP_ONE = '{"keep_hourly":0,"keep_daily":0,"keep_weekly":0,"keep_monthly":0,"keep_yearly":1}'


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("quotas")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"file {number}").write_bytes(os.urandom(50_000))
    return tree


@pytest.fixture
def host(appliance: Appliance, tree: Path, tmp_path: Path) -> Iterator[RealAgent]:
    with enrolled(appliance, tree, tmp_path / "host") as agent:
        yield agent


class enrolled:  # noqa: N801 - reads as what it gives
    """A host that serves, with one snapshot of its tree."""

    def __init__(self, appliance: Appliance, tree: Path, folder: Path, address: str = "") -> None:
        back_up_only(appliance, tree)
        with database(appliance) as connection:
            connection.execute("UPDATE policies SET schedule = ''")
        name = f"{folder.parent.name[-8:]}-{folder.name}".replace("_", "-").lstrip("-")
        self.agent = RealAgent.enrolled(appliance, folder, hostname=name, address=address)

    def __enter__(self) -> RealAgent:
        self.agent.start_daemon()
        assert self.agent.first_backup()["state"] == "done"
        return self.agent

    def __exit__(self, *_exc: object) -> None:
        self.agent.stop()


def back_up(agent: RealAgent) -> dict[str, Any]:
    return agent.appliance.wait_for_job(agent.back_up())


def quota(agent: RealAgent) -> dict[str, Any]:
    shown: dict[str, Any] = agent.appliance.call("GET", f"/api/v1/agents/{agent.id}/quota").expect(200)
    return shown


def limit(agent: RealAgent, **limits: int) -> dict[str, Any]:
    set_: dict[str, Any] = agent.appliance.call("PUT", f"/api/v1/agents/{agent.id}/quota", limits).expect(200)
    return set_


def alerts(appliance: Appliance, agent_id: str | None, kind: str = "quota") -> list[dict[str, Any]]:
    """Return the evidence of open alerts."""
    with database(appliance) as connection:
        rows = connection.execute(
            "SELECT evidence_json FROM alerts WHERE kind = ? AND agent_id IS ? AND cleared_at IS NULL", (kind, agent_id)
        ).fetchall()
    return [json.loads(row[0]) for row in rows]


def stored(agent: RealAgent) -> int:
    return sum(path.stat().st_size for path in agent.repository.rglob("*") if path.is_file())


def restore(agent: RealAgent, target: Path, number: int = 0) -> Path:
    snapshot = agent.appliance.snapshots(agent.id)[number]
    asked = {"snapshot_id": snapshot["id"], "target": str(target)}
    job = agent.appliance.call("POST", "/api/v1/restore", asked).expect(202)
    assert agent.appliance.wait_for_job(job["id"])["state"] == "done"
    return target


def test_host_at_its_limit_stops_once_stays_whole_and_goes_on_when_the_limit_is_raised(
    host: RealAgent, tree: Path, tmp_path: Path
) -> None:
    used = quota(host)["host"]["used_bytes"]
    limit(host, hard_bytes=used + 2 * MEGABYTE)
    kept = tmp_path / "kept"
    subprocess.run(["cp", "-a", tree, kept], check=True)
    (tree / "large").write_bytes(os.urandom(8 * MEGABYTE))

    stopped = back_up(host)

    assert ("failed", "quota-exceeded", 1) == (stopped["state"], stopped["error_code"], stopped["attempts"])
    assert "The limit of this host is reached" in stopped["message"]
    assert "Raise the limit" in stopped["message"]
    assert stored(host) <= used + 2 * MEGABYTE
    assert 1 == len(alerts(host.appliance, host.id))
    restored = restore(host, tmp_path / "restored")
    assert [] == differences(kept, restored / tree.relative_to("/"))
    checked = host.stock_borg("check", "--verify-data")
    assert checked.returncode == 0, checked.stderr

    limit(host, hard_bytes=used + 20 * MEGABYTE)
    assert [] == alerts(host.appliance, host.id)
    assert "done" == back_up(host)["state"]
    assert_restored(tree, restore(host, tmp_path / "after"))


def test_deletion_by_order_goes_on_at_the_limit_and_room_comes_back(host: RealAgent, tree: Path) -> None:
    (tree / "going").write_bytes(os.urandom(5 * MEGABYTE))
    assert "done" == back_up(host)["state"]
    (tree / "going").unlink()
    assert "done" == back_up(host)["state"]
    full = stored(host)
    limit(host, hard_bytes=MEGABYTE)
    assert 0 == quota(host)["room_bytes"]
    assert "quota-exceeded" == back_up(host)["error_code"]

    retain(host)

    assert 1 == len(host.appliance.snapshots(host.id))
    assert stored(host) < full - 4 * MEGABYTE
    limit(host, hard_bytes=full)
    assert "done" == back_up(host)["state"]


def retain(agent: RealAgent) -> None:
    with database(agent.appliance) as connection:
        connection.execute("UPDATE policies SET retention_json = ?", (KEEP_ONE,))
    job = agent.appliance.call("POST", f"/api/v1/agents/{agent.id}/retention/run").expect(202)
    assert agent.appliance.wait_for_job(job["id"])["state"] == "done"

    def compacted() -> bool:
        jobs = agent.appliance.call("GET", f"/api/v1/jobs?agent_id={agent.id}&kind=compact").expect(200)["items"]
        return bool(jobs) and jobs[0]["state"] == "done"

    wait_until(compacted, 90, "the compaction")


def test_two_hosts_of_a_tenant_stay_together_near_its_limit(appliance: Appliance, tree: Path, tmp_path: Path) -> None:
    """Each alone would find room for all that it has: together they are stopped within two seconds."""
    proxy = Proxy(appliance.port)
    big = tmp_path / "big"
    big.mkdir()
    for number in range(40):
        (big / f"{number}").write_bytes(os.urandom(MEGABYTE))
    with (
        enrolled(appliance, tree, tmp_path / "one", proxy.address) as one,
        enrolled(appliance, tree, tmp_path / "other", proxy.address) as other,
        proxy.slowed(RATE),
    ):
        used = tenant_used(appliance)
        hard = used + 50 * MEGABYTE
        appliance.call("PUT", "/api/v1/tenant/quota", {"hard_bytes": hard}).expect(200)
        far = Peak(one, other)

        jobs = [agent.back_up(big) for agent in (one, other)]
        ended = [appliance.wait_for_job(job) for job in jobs]

        peak = far.end()
        told = [job["message"] for job in ended if job["error_code"] == "quota-exceeded"]
        assert told, ended
        assert "all hosts together" in told[0]
        assert 1 == len(alerts(appliance, None))
        assert peak < 50 * MEGABYTE + 3 * 2 * RATE, peak
        assert tenant_used(appliance) <= hard
        appliance.call("PUT", "/api/v1/tenant/quota", {}).expect(200)
        assert [] == alerts(appliance, None)
        assert "done" == back_up(one)["state"]
    proxy.close()


def tenant_used(appliance: Appliance) -> int:
    return int(appliance.call("GET", "/api/v1/tenant/quota").expect(200)["tenant"]["used_bytes"])


class Peak:
    """How much two repositories grew together at most."""

    def __init__(self, *agents: RealAgent) -> None:
        self._agents, self._ended, self._peak = agents, threading.Event(), 0
        self._first = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._ended.set()
        self._thread.join()
        return self._peak

    def _now(self) -> int:
        sizes = []
        for agent in self._agents:
            for path in agent.repository.rglob("*"):
                try:
                    sizes.append(path.stat().st_size if path.is_file() else 0)
                except FileNotFoundError:
                    continue
        return sum(sizes)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._peak = max(self._peak, self._now() - self._first)


def test_host_that_sends_on_and_on_gets_no_further_than_its_limit(host: RealAgent) -> None:
    used = quota(host)["host"]["used_bytes"]
    limit(host, hard_bytes=used + 2 * MEGABYTE)
    far = Peak(host)

    attack(host, "fill")

    assert far.end() < 3 * MEGABYTE
    wait_until(lambda: stored(host) < used + MEGABYTE // 4, 20, "what was not committed to be gone")
    assert [] == alerts(host.appliance, host.id, "hostile-changes")  # nobody knows yet what is usual


def test_host_that_fills_its_limit_at_once_freezes_its_retention(host: RealAgent, tree: Path) -> None:
    for number in range(2):
        (tree / f"new {number}").write_bytes(os.urandom(20_000))
        assert "done" == back_up(host)["state"]
    limit(host, hard_bytes=quota(host)["host"]["used_bytes"] + 2 * MEGABYTE)

    attack(host, "fill")

    (told,) = wait_until(lambda: alerts(host.appliance, host.id, "hostile-changes"), 10, "the alert")
    assert {"growth"} == set(told["findings"])
    assert 409 == host.appliance.call("POST", f"/api/v1/agents/{host.id}/retention/run").status
    assert host.stock_borg("check", "--verify-data").returncode == 0


def test_unfinished_backup_is_let_go_of_on_request_and_makes_room(
    appliance: Appliance, tree: Path, tmp_path: Path
) -> None:
    """What a backup kept half-way at the limit would leave no room for the smaller one that a person then wants."""
    big = tmp_path / "big"
    big.mkdir()
    for number in range(26):  # more than the line buffers, so that a part is committed long before the limit
        (big / f"{number}").write_bytes(os.urandom(MEGABYTE))
    proxy = Proxy(appliance.port)
    with enrolled(appliance, tree, tmp_path / "host", proxy.address) as host:
        used = quota(host)["host"]["used_bytes"]
        limit(host, hard_bytes=used + 22 * MEGABYTE)
        with committing_often(appliance), proxy.slowed(2 * MEGABYTE):
            assert "quota-exceeded" == appliance.wait_for_job(host.back_up(big))["error_code"]
        left = lambda: (now := quota(host)["host"]["used_bytes"]) > used + MEGABYTE and now  # noqa: E731
        kept = wait_until(left, 30, "a part to be left")
        limit(host, hard_bytes=kept)
        (tree / "small").write_bytes(os.urandom(MEGABYTE // 2))
        assert "quota-exceeded" == back_up(host)["error_code"]

        retain(host)

        assert quota(host)["host"]["used_bytes"] < used + MEGABYTE // 2
        assert "done" == back_up(host)["state"]
        assert_restored(tree, restore(host, tmp_path / "after"))
    proxy.close()


@contextlib.contextmanager
def committing_often(appliance: Appliance) -> Iterator[None]:
    """Let backups commit what they have every second, as those of hours do every five minutes."""
    with database(appliance) as connection:
        connection.execute(
            "CREATE TRIGGER often AFTER INSERT ON jobs WHEN new.kind = 'backup' BEGIN UPDATE jobs SET order_json ="
            " json_set(order_json, '$.backup.checkpoint_seconds', 1) WHERE id = new.id; END"
        )
    try:
        yield
    finally:
        with database(appliance) as connection:
            connection.execute("DROP TRIGGER often")


def test_soft_limit_tells_once_and_clears(host: RealAgent) -> None:
    used = quota(host)["host"]["used_bytes"]
    limit(host, soft_bytes=used // 2)
    told = alerts(host.appliance, host.id)
    limit(host, soft_bytes=used * 2)

    assert [(used, used // 2)] == [(one["used_bytes"], one["limit_bytes"]) for one in told]
    assert [] == alerts(host.appliance, host.id)
    assert "done" == back_up(host)["state"]


def test_quota_is_refused_when_it_makes_no_sense(host: RealAgent) -> None:
    path = f"/api/v1/agents/{host.id}/quota"
    call = host.appliance.call

    assert 400 == call("PUT", path, {"soft_bytes": 2, "hard_bytes": 1}).status
    assert 400 == call("PUT", path, {"hard_bytes": -1}).status
    assert 400 == call("PUT", path, {"hard_bytes": 2**63}).status
    assert 404 == call("PUT", "/api/v1/agents/agt_nobody/quota", {"hard_bytes": 1}).status


def test_command_line_shows_and_sets_limits(host: RealAgent) -> None:
    appliance = host.appliance

    done = appliance.cli("quota", "set", host.hostname, "--hard", "1,5 TiB", "--soft", "500GB")
    assert done.returncode == 0, done.stderr
    again = json.loads(appliance.cli("quota", "set", host.hostname, "--soft", "none").stdout)
    shown = json.loads(appliance.cli("quota", "show", host.hostname).stdout)
    everything = json.loads(appliance.cli("quota", "set", "--all-hosts", "--soft", "9 PB").stdout)
    listed = json.loads(appliance.cli("quota", "show").stdout)
    wrong = [
        appliance.cli("quota", "set", host.hostname, *words).returncode
        for words in (("--hard", "much"), ("--hard", "1 GB", "--soft", "2 GB"), (), ("--hard", "99999 PB"))
    ]

    assert (500_000_000_000, 3 * 2**39) == tuple(
        json.loads(done.stdout)["host"][name] for name in ("soft_bytes", "hard_bytes")
    )
    assert again == shown
    assert shown["host"] == quota(host)["host"]
    assert 0 == shown["host"]["soft_bytes"]
    assert 9 * 10**15 == everything["soft_bytes"] == listed["tenant"]["soft_bytes"]
    assert host.id in [one["agent_id"] for one in listed["hosts"]]
    assert all(wrong)
    assert appliance.cli("quota", "set", "--all-hosts", "--soft", "0").returncode == 0
