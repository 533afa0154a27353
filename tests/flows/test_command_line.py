"""What the pages do, by the command line: find a lost file, unlock a host that is gone, get files back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from saveos.protocol import ExitCode
from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

LOST = b"what was earned and what was spent\n" * 1000
LONG_AGO = "2026-01-01T00:00:00.000000Z"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("commands")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("host") / "office"
    odd_tree.make(tree)
    (tree / "quarterly budget.xlsx").write_bytes(LOST)
    return tree


@pytest.fixture(scope="module")
def host(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    """A host with two snapshots; the budget is in the first alone."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("agent"), hostname="office-01")
    agent.start_daemon()
    try:
        agent.first_backup()
        subprocess.run(["cp", "-a", tree, tree.with_name("reference")], check=True)
        (tree / "quarterly budget.xlsx").unlink()
        agent.back_up(tree)
        wait_until(lambda: len(found(appliance, "terly")["hits"]) == 1 and is_indexed(agent), 60, "the catalogue")
        yield agent
    finally:
        agent.stop()


def is_indexed(agent: RealAgent) -> bool:
    pages = [
        agent.appliance.call("GET", f"/api/v1/snapshots/{snapshot['id']}/files").expect(200)
        for snapshot in agent.appliance.snapshots(agent.id)
    ]
    return ["indexed", "indexed"] == [page["state"] for page in pages]


def run(appliance: Appliance, *words: str, stdin: str = "", code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "saveos", *words, "--data", str(appliance.data), "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "SAVEOS_TOKEN": appliance.token},
    )
    assert code == done.returncode, done.stderr
    return json.loads(done.stdout)


def found(appliance: Appliance, text: str) -> Any:
    return run(appliance, "search", text)


def test_lost_file_is_found_and_comes_back_onto_its_host(appliance: Appliance, host: RealAgent, tmp_path: Path) -> None:
    hit = found(appliance, "terly")["hits"][0]

    done = run(
        appliance, "restore", hit["newest_snapshot_id"], hit["path"], "--target", str(tmp_path / "back"), "--wait"
    )

    assert ("done", 1) == (done["state"], done["report"]["new"])
    assert LOST == (tmp_path / "back" / hit["path"]).read_bytes()
    assert not hit["is_in_latest"]
    assert host.id == hit["agent_id"]


def test_changes_since_the_snapshot_before_name_what_is_gone(appliance: Appliance, host: RealAgent) -> None:
    newest = appliance.snapshots(host.id)[0]["id"]

    told = run(appliance, "changes", newest)

    gone = [changed["path"] for changed in told["changes"] if changed["change"] == "gone"]
    assert ["quarterly budget.xlsx"] == [Path(path).name for path in gone]


def test_dry_run_writes_nothing_and_counts(appliance: Appliance, host: RealAgent, tmp_path: Path) -> None:
    newest = appliance.snapshots(host.id)[0]["id"]

    told = run(appliance, "restore", newest, "--target", str(tmp_path / "none"), "--dry-run", "--wait")

    assert told["report"]["new"] > 10
    assert not (tmp_path / "none").exists()


def test_mode_and_names_are_shown_and_changed(appliance: Appliance, host: RealAgent) -> None:
    assert "readable" == run(appliance, "names")["names"]
    assert "sealed" == run(appliance, "key", "mode", host.hostname, "sealed")["mode"]


def test_unlock_lets_a_host_that_is_gone_be_read_until_it_is_locked(
    appliance: Appliance, host: RealAgent, tree: Path, tmp_path: Path
) -> None:
    snapshot = appliance.snapshots(host.id)[-1]["id"]
    host.stop()
    with database(appliance) as connection:
        connection.execute("UPDATE agents SET seen_at = ? WHERE id = ?", (LONG_AGO, host.id))
    file, packed = str(tmp_path / "budget.xlsx"), str(tmp_path / "all.tar.zst")
    path = f"{str(tree).strip('/')}/quarterly budget.xlsx"
    try:
        refused = run(appliance, "download", snapshot, path, "--output", file, code=ExitCode.ERROR)
        assert "host-offline-and-sealed" == refused["error"]["code"]
        wrong = run(appliance, "unlock", "office-01", stdin="AAAAAAA-BBBBBBB\n", code=ExitCode.ERROR)
        assert "wrong-recovery-code" == wrong["error"]["code"]

        opened = run(appliance, "unlock", "office-01", "--minutes", "5", stdin=f"{appliance.recovery_code}\n")
        run(appliance, "download", snapshot, path, "--output", file)
        run(appliance, "download", snapshot, str(tree), "--form", "tar.zst", "--output", packed)
        locked = run(appliance, "lock")

        assert (1, 1) == (opened["hosts"], locked["locked"])
        assert LOST == Path(file).read_bytes()
        unpack = ["tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", packed, "-C", str(tmp_path)]
        subprocess.run(unpack, check=True, capture_output=True)
        said = differences(tree.with_name("reference"), tmp_path / tree.name)
        assert [] == [line for line in said if "holes" not in line]
        again = run(appliance, "download", snapshot, path, "--output", file, code=ExitCode.ERROR)
        assert "host-offline-and-sealed" == again["error"]["code"]
    finally:
        host.start_daemon()
