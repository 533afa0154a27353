"""What a host may do to its snapshots, and what it may not: real Borg, real agents, everything undone again."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.attack import attack
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEEP_TWO = '{"keep_hourly":0,"keep_daily":0,"keep_weekly":0,"keep_monthly":0,"keep_yearly":2}'


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("protection")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"file {number}").write_bytes(os.urandom(20_000))
    return tree


@pytest.fixture
def host(appliance: Appliance, tree: Path, tmp_path: Path) -> Iterator[RealAgent]:
    """A host with three snapshots, each of another tree."""
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    agent = RealAgent.enrolled(appliance, tmp_path / "host", hostname=f"host-{tmp_path.name[-8:]}".replace("_", "-"))
    agent.start_daemon()
    try:
        agent.first_backup()
        for number in range(2):
            (tree / f"more {number}").write_bytes(os.urandom(50_000))
            back_up(agent)
        yield agent
    finally:
        agent.stop()


def back_up(agent: RealAgent) -> dict[str, Any]:
    return agent.appliance.wait_for_job(agent.back_up())


def protection(agent: RealAgent) -> dict[str, Any]:
    shown: dict[str, Any] = agent.appliance.call("GET", f"/api/v1/agents/{agent.id}/protection").expect(200)
    return shown


def age(agent: RealAgent) -> None:
    """Let the snapshots be of different days, and retention keep the first and the last of them."""
    with database(agent.appliance) as connection:
        connection.execute("UPDATE policies SET retention_json = ?", (KEEP_TWO,))
        connection.execute(  # as if the snapshots were of different days
            "UPDATE snapshots SET started_at = strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '-' || (10 - (SELECT count(*)"
            " FROM snapshots o WHERE o.agent_id = snapshots.agent_id AND o.id < snapshots.id)) || ' days')"
        )


def retain(agent: RealAgent) -> None:
    """Carry retention out, to the end of the compaction."""
    age(agent)
    job = agent.appliance.call("POST", f"/api/v1/agents/{agent.id}/retention/run").expect(202)
    assert agent.appliance.wait_for_job(job["id"])["state"] == "done"
    wait_until(lambda: kinds(agent).get("compact") == "done", 60, "the compaction")


def kinds(agent: RealAgent) -> dict[str, str]:
    """Return the state of the newest job of each kind."""
    jobs = agent.appliance.call("GET", f"/api/v1/jobs?agent_id={agent.id}&limit=100").expect(200)["items"]
    return {job["kind"]: job["state"] for job in reversed(jobs)}


def restored(agent: RealAgent, snapshot_id: str, target: Path) -> Path:
    asked = {"snapshot_id": snapshot_id, "target": str(target)}
    job = agent.appliance.call("POST", "/api/v1/restore", asked).expect(202)
    done = agent.appliance.wait_for_job(job["id"])
    assert done["state"] == "done", done
    return target


def know_damage(agent: RealAgent, snapshot: dict[str, Any]) -> None:
    """Let something be damaged, for longer than this test, that a snapshot needs."""
    located = json.dumps([{"name": snapshot["archive"], "archive_id": snapshot["archive_id"]}])
    with database(agent.appliance) as connection:
        connection.execute(
            "INSERT INTO damages (id, tenant_id, agent_id, place, what, segment, found_at, seen_at, found_by,"
            " located_at, located_json) SELECT 'dmg_1', tenant_id, id, 'segment 3, byte 8', 'checksum', 3,"
            " '2040-01-01T00:00:00.000000Z', '2040-01-01T00:00:00.000000Z', 'check', '2040-01-01T00:00:00.000000Z', ?"
            " FROM agents WHERE id = ?",
            (located, agent.id),
        )


def stored(agent: RealAgent) -> int:
    return sum(path.stat().st_size for path in (agent.repository / "data").rglob("*") if path.is_file())


def test_retention_removes_what_no_rule_keeps_and_a_roll_back_brings_it_back(
    host: RealAgent, tree: Path, tmp_path: Path
) -> None:
    before, size = host.appliance.snapshots(host.id), stored(host)
    retain(host)

    left = host.appliance.snapshots(host.id)
    assert [before[0]["id"], before[2]["id"]] == [one["id"] for one in left]
    assert stored(host) < size
    checkpoint = protection(host)["checkpoints"][0]
    assert 0 < protection(host)["quarantine_bytes"]
    restored(host, left[0]["id"], tmp_path / "kept")
    assert_restored(tree, tmp_path / "kept")
    know_damage(host, before[1])

    path = f"/api/v1/agents/{host.id}/checkpoints/{checkpoint['id']}/roll-back"
    assert host.appliance.call("POST", path, {"hostname": "another"}).status == 400
    job = host.appliance.call("POST", path, {"hostname": host.hostname}).expect(202)
    done = host.appliance.wait_for_job(job["id"])

    assert done["state"] == "done", done
    assert [one["id"] for one in before] == [one["id"] for one in host.appliance.snapshots(host.id)]
    with database(host.appliance) as connection:
        rows = connection.execute("SELECT id FROM snapshots WHERE agent_id = ? AND standing = 'damaged'", (host.id,))
        assert [(before[1]["id"],)] == [tuple(row) for row in rows.fetchall()]
    restored(host, before[1]["id"], tmp_path / "back")
    assert sorted(path.name for path in tree.iterdir() if path.name != "more 1") == sorted(
        os.listdir(tmp_path / "back" / str(tree).lstrip("/"))
    )
    assert "done" == back_up(host)["state"]
    assert 4 == len(host.appliance.snapshots(host.id))
    assert json.dumps(protection(host))


def test_checkpoint_of_before_a_deletion_holds_the_backup_that_came_in_between(host: RealAgent, tmp_path: Path) -> None:
    host.stop()
    age(host)
    job = host.appliance.call("POST", f"/api/v1/agents/{host.id}/retention/run").expect(202)
    assert host.appliance.wait_for_job(job["id"])["state"] == "done"  # the order waits for the host
    between = host.back_up()  # and this, which a person asked for, comes first
    host.start_daemon()
    assert host.appliance.wait_for_job(between)["state"] == "done"
    before = {one["id"] for one in host.appliance.snapshots(host.id)}
    wait_until(lambda: kinds(host).get("compact") == "done", 60, "the compaction")
    assert 1 == len(before - {one["id"] for one in host.appliance.snapshots(host.id)})
    later = back_up(host)

    newest = protection(host)["checkpoints"][0]["id"]
    path = f"/api/v1/agents/{host.id}/checkpoints/{newest}/roll-back"
    done = host.appliance.wait_for_job(host.appliance.call("POST", path, {"hostname": host.hostname}).expect(202)["id"])

    assert ("done", "done") == (later["state"], done["state"])
    back = host.appliance.snapshots(host.id)
    assert before == {one["id"] for one in back}
    for one in back:
        restored(host, one["id"], tmp_path / one["id"])


FOUND = {
    "forget_archives": {"manifest-shrunk"},
    "delete_archives": {"archives-lost", "objects-deleted"},
    "delete_the_manifest": {"manifest-shrunk"},
    "delete_everything": {"archives-lost", "objects-deleted", "manifest-shrunk"},
    "delete_contents": {"objects-deleted"},
    "overwrite": {"objects-replaced"},
    "put_one_in_the_place_of_another": {"manifest-shrunk"},
    "claim_an_archive": {"untrue"},
    "add_future_archives": {"archives-added"},
    "send_garbage": {"malformed"},
    "replay": {"replayed"},
    "fill_for_good": {"growth"},
}
REPORTED = {"put_one_in_the_place_of_another", "claim_an_archive"}  # as a backup that was made


@pytest.fixture(scope="module")
def victim(
    appliance: Appliance, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealAgent, dict[str, Path]]]:
    """A host with three snapshots, and what each of them was made of, by its id."""
    folder = tmp_path_factory.mktemp("victim")
    tree, kept = folder / "tree", {}
    tree.mkdir()
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    agent = RealAgent.enrolled(appliance, folder / "host", hostname="victim")
    agent.start_daemon()
    try:
        agent.first_backup()
        for number in range(3):
            for file in range(15):
                (tree / f"{number} {file}").write_bytes(os.urandom(30_000))
            back_up(agent)
            copy = folder / f"copy {number}"
            shutil.copytree(tree, copy)
            kept[appliance.snapshots(agent.id)[0]["id"]] = copy
        yield agent, kept
    finally:
        agent.stop()


@pytest.mark.parametrize("name", list(FOUND))
def test_attack_is_noticed_freezes_and_is_undone(
    victim: tuple[RealAgent, dict[str, Path]], tmp_path: Path, name: str
) -> None:
    host, kept = victim
    appliance = host.appliance
    first = appliance.snapshots(host.id)[-1]["id"]
    room = 10 * stored(host) if name == "fill_for_good" else 0
    appliance.call("PUT", f"/api/v1/agents/{host.id}/quota", {"hard_bytes": room}).expect(200)

    attack(host, name, is_reported=name in REPORTED)

    frozen = wait_until(lambda: (shown := protection(host))["frozen_at"] and shown, 10, "the repository to be frozen")
    with database(appliance) as connection:
        alerts = connection.execute(
            "SELECT id, evidence_json FROM alerts WHERE agent_id = ? AND cleared_at IS NULL", (host.id,)
        ).fetchall()
    assert 1 == len(alerts)
    assert FOUND[name] <= set(json.loads(alerts[0][1])["findings"])
    assert appliance.call("POST", f"/api/v1/agents/{host.id}/retention/run").status == 409
    before = wait_until(
        lambda: [one for one in protection(host)["checkpoints"] if one["job_id"] == alerts[0][0]],
        20,
        "the checkpoint of what was before",
    )
    job = appliance.call(
        "POST", f"/api/v1/agents/{host.id}/checkpoints/{before[0]['id']}/roll-back", {"hostname": "victim"}
    ).expect(202)
    assert appliance.wait_for_job(job["id"])["state"] == "done"
    assert (None, True) == (protection(host)["frozen_at"], bool(frozen["frozen_why"]))
    standing = {one["id"]: one.get("standing", "good") for one in appliance.snapshots(host.id)}
    assert dict.fromkeys([*kept, first], "good") == standing
    snapshot_id, copy = list(kept.items())[list(FOUND).index(name) % len(kept)]  # another one after each attack
    back = restored(host, snapshot_id, tmp_path)
    assert [] == differences(copy, back / copy.with_name("tree").relative_to("/"))
    assert host.stock_borg("check", "--verify-data").returncode == 0


def test_nothing_is_written_that_no_job_asks_for(victim: tuple[RealAgent, dict[str, Path]]) -> None:
    host, _kept = victim
    before = stored(host)

    with pytest.raises(AssertionError, match="no running job of this host"):
        attack(host, "delete_everything", has_job=False)

    assert (before, None) == (stored(host), protection(host)["frozen_at"])
