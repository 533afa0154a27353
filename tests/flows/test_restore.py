"""A restore as a person asks for it: what happens to what is there, foreseen, done, and told afterwards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance
from tests.support.host import WireHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = "odd-\\xff \\\\ * re:x"  # as an entry is written: one byte that is no UTF-8, one backslash


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("restore")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("host") / "tree"
    (tree / "docs").mkdir(parents=True)
    (tree / "docs" / "a.txt").write_text("as it was")
    (tree / "docs" / "b.txt").write_text("b")
    with open(os.path.join(os.fsencode(tree), b"odd-\xff \\ * re:x"), "wb") as file:
        file.write(b"odd")
    return tree


@pytest.fixture(scope="module")
def host(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("host"), hostname="host")
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


def restore(host: RealAgent, **asked: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Restore the newest snapshot and return the job and its report."""
    appliance = host.appliance
    body = {"snapshot_id": appliance.snapshots(host.id)[0]["id"], **asked}
    job = appliance.wait_for_job(appliance.call("POST", "/api/v1/restore", body).expect(202)["id"])
    return job, appliance.call("GET", f"/api/v1/jobs/{job['id']}/restore").expect(200)


def inside(path: Path) -> str:
    return str(path)[1:]


def test_dry_run_to_the_original_place_says_what_the_restore_then_does(host: RealAgent, tree: Path) -> None:
    (tree / "docs" / "a.txt").write_text("changed since, and longer")
    (tree / "docs" / "b.txt").unlink()

    job, foreseen = restore(host, selected=[inside(tree / "docs")], dry_run=True)

    assert "done" == job["state"]
    assert (True, 1, 1) == (foreseen["is_dry_run"], foreseen["new"], foreseen["replaced"])
    assert "changed since, and longer" == (tree / "docs" / "a.txt").read_text()
    job, done = restore(host, selected=[inside(tree / "docs")])
    assert {**foreseen, "is_dry_run": False} == done
    assert [{"path": inside(tree / "docs" / "a.txt"), "what": "replaced", "detail": "size time"}] == done["differences"]
    assert "as it was" == (tree / "docs" / "a.txt").read_text()
    assert "b" == (tree / "docs" / "b.txt").read_text()


@pytest.mark.parametrize(
    ("conflict", "what", "kept"),
    [("overwrite", "replaced", False), ("skip", "skipped", True), ("rename", "renamed", True)],
)
def test_restore_beside_what_is_there_does_as_chosen(
    host: RealAgent, tree: Path, tmp_path: Path, conflict: str, what: str, *, kept: bool
) -> None:
    there = tmp_path / inside(tree / "docs" / "a.txt")
    there.parent.mkdir(parents=True)
    there.write_text("mine")

    job, report = restore(host, target=str(tmp_path), conflict=conflict)

    assert "done" == job["state"]
    assert [what] == [entry["what"] for entry in report["differences"]]
    assert ("mine" if kept else "as it was") == there.read_text()
    assert (3 if conflict == "rename" else 2) == len(list(there.parent.iterdir()))


def test_restore_of_a_name_of_any_bytes_takes_it_alone(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    job, report = restore(host, target=str(tmp_path / "out"), selected=[f"{inside(tree)}/{ODD}"])

    assert ("done", 1, 3) == (job["state"], report["new"], report["written_bytes"])
    assert [b"odd-\xff \\ * re:x"] == os.listdir(os.fsencode(tmp_path / "out" / inside(tree)))


def test_restore_through_a_planted_link_is_refused_and_listed(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    place = tmp_path / "out" / inside(tree)
    place.mkdir(parents=True)
    (place / "docs").symlink_to(tmp_path / "elsewhere")

    job, report = restore(host, target=str(tmp_path / "out"), selected=[inside(tree / "docs" / "a.txt")])

    assert ("warned", 1) == (job["state"], job["warnings_count"])
    assert [{"path": inside(tree / "docs" / "a.txt"), "what": "refused", "detail": "link"}] == report["differences"]
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_restore_by_the_command_line_skips_and_foresees(host: RealAgent, tree: Path, tmp_path: Path) -> None:
    there = tmp_path / inside(tree / "docs" / "a.txt")
    there.parent.mkdir(parents=True)
    there.write_text("mine")
    where = ("--target", str(tmp_path), str(tree / "docs"))

    foreseen = host.succeed("restore", "latest", "--dry-run", *where)
    done = host.succeed("restore", "latest", "--on-conflict", "skip", *where)

    assert (1, 1) == (foreseen["restore"]["new"], foreseen["restore"]["replaced"])
    assert (1, 1) == (done["restore"]["new"], done["restore"]["skipped"])
    assert "mine" == there.read_text()


@pytest.mark.parametrize("entry", ["../etc", "a/../b", "/etc", "a\\xzz", "a\\b"])
def test_restore_of_what_is_no_entry_is_refused(host: RealAgent, entry: str) -> None:
    body = {"snapshot_id": host.appliance.snapshots(host.id)[0]["id"], "selected": [entry]}

    answer = host.appliance.call("POST", "/api/v1/restore", body)

    assert (400, "invalid-request") == (answer.status, answer.body["code"])


def test_order_with_choices_is_no_order_for_an_agent_that_does_not_know_them(
    appliance: Appliance, tmp_path: Path
) -> None:
    old = WireHost.enrolled(appliance, tmp_path / "old", "old")
    old.make_ready()
    first = old.heartbeat(wait_seconds=20)["assignment"]
    old.report_made(first).expect(204)
    asked = {"snapshot_id": appliance.snapshots(old.id)[0]["id"], "dry_run": True}
    appliance.call("POST", "/api/v1/restore", asked).expect(202)

    assignment = old.heartbeat(wait_seconds=20)["assignment"]

    assert assignment["restore"] is None  # all that an older agent looks at
    assert assignment["chosen_restore"]["dry_run"]
