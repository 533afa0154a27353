"""Ransomware on a real host: told in the same run, the last clean snapshot held, all of it undone if it was meant."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from saveos.agent import canaries, engine_guard
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.guarded import encrypted, make_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 600


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("guard")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree", FILES)
    return tmp_path / "tree"


@pytest.fixture
def host(appliance: Appliance, tree: Path, tmp_path: Path) -> Iterator[RealAgent]:
    """A host with a first backup."""
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    agent = RealAgent.enrolled(appliance, tmp_path / "host", hostname=f"host-{tmp_path.name[-8:]}".replace("_", "-"))
    agent.start_daemon()
    try:
        assert agent.first_backup()["state"] == "done"
        yield agent
    finally:
        agent.stop()


def back_up(agent: RealAgent) -> dict[str, Any]:
    """Back up and return the snapshot."""
    assert agent.appliance.wait_for_job(agent.back_up())["state"] == "done"
    return agent.appliance.snapshots(agent.id)[0]


def alerts(agent: RealAgent, **query: str) -> list[dict[str, Any]]:
    words = "&".join(f"{name}={value}" for name, value in {"agent_id": agent.id, **query}.items())
    items: list[dict[str, Any]] = agent.appliance.call("GET", f"/api/v1/alerts?{words}").expect(200)["items"]
    return items


def test_encryption_is_told_in_the_same_run_and_undone_when_it_was_meant(host: RealAgent, tree: Path) -> None:
    appliance = host.appliance
    (tree / "new.txt").write_text("a new file\n" * 50)
    clean = back_up(host)
    assert ("good", []) == (clean["standing"], alerts(host))

    harmed = list(encrypted(sorted(tree.rglob("*.*")), 0.3))
    hit = back_up(host)

    (alert,) = alerts(host, is_open="true")
    assert ("suspect", "unusual-changes") == (hit["standing"], alert["kind"])
    assert (hit["id"], clean["id"]) == (alert["evidence"]["snapshot"], alert["evidence"]["held"])
    guard = appliance.call("GET", f"/api/v1/snapshots/{hit['id']}/guard").expect(200)
    assert "suspect" == guard["state"]
    assert guard["run"]["facts"]["changed_files"] in (len(harmed), len(harmed) - 1)  # Borg forgets the newest file
    assert str(tree) not in json.dumps(guard)
    (listed,) = json.loads(appliance.cli("alert", "list", "--agent", host.id).stdout)
    assert alert["id"] == listed["id"]
    assert 'saveos_alerts_open{kind="unusual-changes"} 1.0' in appliance.call("GET", "/metrics").expect(200).decode()

    with database(appliance) as connection:
        held = [row[0] for row in connection.execute("SELECT snapshot_id FROM holds WHERE released_at IS NULL")]
    assert [clean["id"]] == held

    assert {"snapshots_count": 1} == appliance.call("POST", f"/api/v1/agents/{host.id}/changes-meant").expect(200)
    assert [] == alerts(host, is_open="true")
    assert "good" == appliance.snapshots(host.id)[0]["standing"]
    runs = appliance.call("GET", f"/api/v1/agents/{host.id}/guard").expect(200)["items"]
    assert ["meant", "clean", "clean"] == [run["state"] for run in runs]
    appliance.call("POST", f"/api/v1/agents/{host.id}/changes-meant").expect(409)
    appliance.call("POST", f"/api/v1/alerts/{alert['id']}/put-away").expect(409)


def test_other_endings_are_told_and_the_alert_is_put_away_by_the_command_line(host: RealAgent, tree: Path) -> None:
    back_up(host)
    for path in encrypted(sorted(tree.rglob("*.*")), 0.3):
        path.rename(path.with_name(f"{path.name}.locked"))
    back_up(host)

    (alert,) = alerts(host)
    assert "renamed" in [finding["sign"] for finding in alert["evidence"]["findings"]]
    assert 0 == host.appliance.cli("alert", "put-away", alert["id"]).returncode
    (alert,) = alerts(host)
    assert alert["cleared_by"]
    assert 1 == host.appliance.cli("alert", "put-away", alert["id"]).returncode


def test_a_touched_decoy_is_told_at_once(host: RealAgent, tree: Path) -> None:
    policies = host.appliance.call("GET", "/api/v1/policies").expect(200)["items"]
    terms = {name: value for name, value in policies[0].items() if name not in ("id", "tenant_id", "agents_count")}
    changed = {**terms, "guard_canaries": True, "schedule": ""}
    changed.pop("is_default", None)
    host.appliance.call("PUT", f"/api/v1/policies/{policies[0]['id']}", changed).expect(200)
    try:
        back_up(host)
        assert [] == alerts(host)
        decoy = tree / canaries.NAMES[0]
        assert decoy.exists()

        decoy.write_bytes(b"encrypted")
        back_up(host)

        (alert,) = alerts(host)
        assert "canary" == alert["evidence"]["findings"][0]["sign"]
    finally:
        host.appliance.call("PUT", f"/api/v1/policies/{policies[0]['id']}", {**changed, "guard_canaries": False})
    back_up(host)
    assert not (tree / canaries.NAMES[1]).exists()


def test_counts_survive_a_power_cut_in_the_middle_of_a_backup(host: RealAgent, tree: Path) -> None:
    """The next attempt goes on from the checkpoint; what the first had read of it counts as changed still."""
    harmed = list(encrypted(sorted(tree.rglob("*.*")), 0.3))
    (tree / "zz large").write_bytes(b"")
    with (tree / "zz large").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))  # it takes longer than until the first checkpoint
    host.stop()
    job = host.back_up()
    with database(host.appliance) as connection:
        connection.execute(
            "UPDATE jobs SET order_json = json_set(order_json, '$.backup.checkpoint_seconds', 1) WHERE id = ?", (job,)
        )
    host.start_daemon()
    noted = host.folder / "agent" / "state" / engine_guard.NAME
    before = noted.read_bytes()
    wait_until(lambda: noted.read_bytes() != before, 60, "a checkpoint")
    cut = host.borgs("create")
    for process in cut:
        os.kill(process, signal.SIGKILL)
    assert cut
    assert host.appliance.wait_for_job(job)["state"] in ("done", "warned")

    snapshot = host.appliance.snapshots(host.id)[0]
    facts = host.appliance.call("GET", f"/api/v1/snapshots/{snapshot['id']}/guard").expect(200)["run"]["facts"]
    assert facts["changed_files"] in (len(harmed), len(harmed) - 1)
    assert "suspect" == snapshot["standing"]


def test_what_a_machine_is_and_how_long_it_may_be_away(host: RealAgent) -> None:
    appliance = host.appliance
    assert "server" == appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["counts_as"]

    changed = appliance.call("PUT", f"/api/v1/agents/{host.id}/machine-class", {"machine_class": "laptop"})
    assert ("laptop", "laptop") == (changed.expect(200)["counts_as"], changed.body["machine_class"])
    assert "laptop" == json.loads(appliance.cli("agent", "class", host.id).stdout)["machine_class"]
    appliance.cli("agent", "class", host.id, "itself")
    appliance.call("PUT", f"/api/v1/agents/{host.id}/machine-class", {"machine_class": "toaster"}).expect(400)
    appliance.call("PUT", "/api/v1/agents/agt_none/machine-class", {"machine_class": None}).expect(404)

    limits = appliance.call("GET", "/api/v1/overdue-limits").expect(200)
    assert {"server": 24, "workstation": 72, "laptop": 336} == limits
    assert {**limits, "server": 48} == appliance.call("PUT", "/api/v1/overdue-limits", {"server": 48}).expect(200)
    appliance.call("PUT", "/api/v1/overdue-limits", {"server": 0}).expect(400)
    appliance.call("PUT", "/api/v1/overdue-limits", limits).expect(200)
