"""Protection by the command line and by REST: retention carried out, undone again, a host frozen and let go on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from saveos.protocol import ExitCode
from tests.flows.test_command_line import run
from tests.flows.test_protection import KEEP_TWO, back_up, kinds, protection
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.attack import attack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("commands")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def host(appliance: Appliance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    """A host with three snapshots that look as if they were days apart; its policy keeps two."""
    tree = tmp_path_factory.mktemp("tree")
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = '', retention_json = ?", (KEEP_TWO,))
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("host"), hostname="office-02")
    agent.start_daemon()
    try:
        (tree / "first").write_bytes(os.urandom(50_000))
        agent.first_backup()
        for number in range(2):
            (tree / f"more {number}").write_bytes(os.urandom(50_000))
            back_up(agent)
        with database(appliance) as connection:
            connection.execute(
                "UPDATE snapshots SET started_at = strftime('%Y-%m-%dT%H:%M:%fZ', started_at, '-' || (10 - (SELECT"
                " count(*) FROM snapshots o WHERE o.id < snapshots.id)) || ' days')"
            )
        yield agent
    finally:
        agent.stop()


def ids(host: RealAgent) -> list[str]:
    return [snapshot["id"] for snapshot in host.appliance.snapshots(host.id)]


def test_retention_is_carried_out_and_rolled_back(appliance: Appliance, host: RealAgent) -> None:
    before = ids(host)
    asked = run(appliance, "retention", "run", "office-02", "--wait")
    assert ("done", "The host is to delete 1 archives.") == (asked["state"], asked["message"])
    wait_until(lambda: kinds(host).get("compact") == "done", 60, "the compaction")
    assert [before[0], before[2]] == ids(host)

    listed = run(appliance, "checkpoint", "list", "office-02")
    checkpoint = listed["checkpoints"][0]["id"]
    assert (None, 14, {}) == (listed["frozen_at"], listed["quarantine_days"], listed["findings"])
    back = ("checkpoint", "roll-back", "office-02", checkpoint)
    foreseen = run(appliance, *back, "--dry-run")
    assert ([before[1]], 0) == ([one["id"] for one in foreseen["comes_back"]["snapshots"]], foreseen["goes"]["count"])
    shown = appliance.call("GET", f"/api/v1/agents/{host.id}/checkpoints/{checkpoint}").expect(200)
    assert foreseen == shown
    for more in ((), ("--hostname", "office-01")):
        refused = run(appliance, *back, *more, code=ExitCode.USAGE)
        assert "invalid-request" == refused["error"]["code"]
    done = run(appliance, *back, "--hostname", "office-02", "--wait")

    assert ("done", "The repository is what it was; 1 snapshots came back.") == (done["state"], done["message"])
    assert before == ids(host)

    undo = next(one["id"] for one in protection(host)["checkpoints"] if one["why"] == "roll-back")
    foreseen = run(appliance, *back[:3], undo, "--dry-run")
    assert ([before[1]], 0) == ([one["id"] for one in foreseen["goes"]["snapshots"]], foreseen["comes_back"]["count"])
    done = run(appliance, *back[:3], undo, "--hostname", "office-02", "--wait")
    assert "done" == done["state"]
    assert [before[0], before[2]] == ids(host)
    done = run(appliance, *back, "--hostname", "office-02", "--wait")
    assert ("done", before) == (done["state"], ids(host))


def test_own_command_lists_what_is_lost_and_restores_the_newest_that_is_there(host: RealAgent, tmp_path: Path) -> None:
    newest, older = ids(host)[:2]
    with database(host.appliance) as connection:
        connection.execute("UPDATE snapshots SET standing = 'lost' WHERE id = ?", (newest,))
    try:
        assert ["lost", "good", "good"] == [one["standing"] for one in host.succeed("snapshots")]
        refused = host.run("--json", "restore", newest, "--target", str(tmp_path / "lost"))
        assert ExitCode.DONE != refused.returncode
        assert "is gone" in refused.stdout + refused.stderr
        host.succeed("restore", "latest", "--target", str(tmp_path / "back"))
        host.succeed("restore", older, "--target", str(tmp_path / "older"))
        names = [{path.name for path in (tmp_path / place).rglob("*")} for place in ("back", "older")]
        assert {"first"} <= names[0] == names[1]
    finally:
        with database(host.appliance) as connection:
            connection.execute("UPDATE snapshots SET standing = 'good' WHERE id = ?", (newest,))


def test_host_that_froze_is_told_and_let_go_on(appliance: Appliance, host: RealAgent) -> None:
    refused = run(appliance, "protection", "let-go-on", "office-02", code=ExitCode.ERROR)
    assert "conflict" == refused["error"]["code"]
    lost = ids(host)

    attack(host, "delete_archives")

    def frozen() -> Any:
        listed = run(appliance, "checkpoint", "list", "office-02")
        return listed["frozen_at"] and listed["before_id"] and listed

    told = wait_until(frozen, 30, "the checkpoint of what was before")
    assert {"archives-lost", "objects-deleted"} <= set(told["findings"])
    refused = run(appliance, "retention", "run", "office-02", code=ExitCode.ERROR)
    assert "conflict" == refused["error"]["code"]
    snapshots = {one["id"]: one["standing"] for one in appliance.snapshots(host.id)}
    assert {"lost"} == {snapshots[snapshot_id] for snapshot_id in lost}
    asked = {"snapshot_id": lost[0], "target": "/nowhere"}
    assert 409 == appliance.call("POST", "/api/v1/restore", asked).status
    assert 409 == appliance.call("GET", f"/api/v1/snapshots/{lost[0]}/download?path=first").status
    metrics = appliance.call("GET", "/metrics").expect(200).decode()
    assert f'saveos_repository_frozen{{agent="{host.id}"}} 1.0' in metrics

    run(appliance, "protection", "let-go-on", "office-02")

    assert (None, {}) == (protection(host)["frozen_at"], protection(host)["findings"])
    metrics = appliance.call("GET", "/metrics").expect(200).decode()
    assert f'saveos_repository_frozen{{agent="{host.id}"}} 0.0' in metrics
    assert f'saveos_repository_quarantine_bytes{{agent="{host.id}"}}' in metrics


def test_days_are_shown_and_chosen(appliance: Appliance) -> None:
    assert 14 == run(appliance, "checkpoint", "days")["quarantine_days"]
    assert 30 == run(appliance, "checkpoint", "days", "30")["quarantine_days"]
    run(appliance, "checkpoint", "days", "366", code=ExitCode.USAGE)
    for wrong in (-1, 366, "many"):
        assert 400 == appliance.call("PUT", "/api/v1/settings", {"quarantine_days": wrong}).status
    settings = appliance.call("PUT", "/api/v1/settings", {"quarantine_days": 7}).expect(200)

    assert 7 == settings["quarantine_days"]
    assert 7 == run(appliance, "checkpoint", "days")["quarantine_days"]
