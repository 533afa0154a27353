"""A repository whose bytes change, and restores that prove themselves: real appliance, agent and Borg."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos.protocol import DrillStatement
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("proofs")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files large enough to be chunks of their own, and small ones."""
    tree = tmp_path_factory.mktemp("host") / "tree"
    tree.mkdir()
    for number in range(6):
        (tree / f"large-{number}").write_bytes(os.urandom(700_000))
    for number in range(20):
        (tree / f"small-{number:02d}").write_text(f"{number}\n" * 50)
    return tree


@pytest.fixture(scope="module")
def served(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served")
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


def ask(agent: RealAgent, what: str) -> dict[str, Any]:
    job = agent.appliance.call("POST", f"/api/v1/agents/{agent.id}/{what}").expect(202)
    return agent.appliance.wait_for_job((job.get("job") or job)["id"])


def proofs(agent: RealAgent) -> dict[str, Any]:
    return agent.appliance.call("GET", f"/api/v1/agents/{agent.id}/proofs").expect(200)


def test_drill_proves_a_restore_and_is_signed(served: RealAgent) -> None:
    job = ask(served, "drill")

    assert (job["state"], job["error_code"]) == ("done", ""), job
    drill = proofs(served)["drills"][0]
    assert drill["mismatches_count"] == 0
    assert drill["files_count"] > 5
    agent = served.appliance.call("GET", f"/api/v1/agents/{served.id}").expect(200)
    assert agent["proven_at"] is not None
    assert not list((served.folder / "agent" / "state").glob("drill-*"))


def test_verification_goes_through_all_objects(served: RealAgent) -> None:
    job = ask(served, "verify")

    assert job["state"] == "done", job
    check = proofs(served)["check"]
    assert check["verified_at"] is not None
    assert check["verify_objects_count"] > 6


def test_check_reads_all(served: RealAgent) -> None:
    job = ask(served, "check")

    assert job["state"] == "done", job
    check = proofs(served)["check"]
    assert check["checked_at"] is not None
    assert check["objects_count"] > 6


def object_of(agent: RealAgent, path: Path) -> tuple[str, Path, int]:
    """Return the id of the one object that a file's content is, its segment, and where in it the object begins."""
    dump = subprocess.run(
        [sys.executable, "-c", OBJECT, str(agent.repository), newest(agent), str(path).lstrip("/")],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("BORG_")},
            "BORG_PASSPHRASE": (agent.folder / "agent" / "passphrase").read_text().strip(),
            "BORG_BASE_DIR": str(agent.folder / "stock"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_SELFTEST": "disabled",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert dump.returncode == 0, dump.stderr
    id_, segment, offset = json.loads(dump.stdout)
    return id_, next((agent.repository / "data").glob(f"*/{segment}")), offset


OBJECT = """
import json, sys
from borg.logger import setup_logging
setup_logging()
from borg.archive import Archive
from borg.helpers import Manifest
from borg.repository import Repository
path, name, file = sys.argv[1:]
with Repository(path, lock=False) as repository:
    manifest, key = Manifest.load(repository, (Manifest.Operation.READ,))
    archive = Archive(repository, key, manifest, name)
    item = next(item for item in archive.iter_items() if item.path == file)
    id_ = item.chunks[0].id
    repository.get(id_)
    print(json.dumps([id_.hex(), *repository.index[id_][:2]]))
"""


def newest(agent: RealAgent) -> str:
    return str(agent.appliance.snapshots(agent.id)[0]["archive"])


def flip(segment: Path, offset: int) -> None:
    with segment.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes((byte ^ 1,)))


def alerts(agent: RealAgent, kind: str) -> list[dict[str, Any]]:
    with database(agent.appliance) as connection:
        rows = connection.execute(
            "SELECT evidence_json FROM alerts WHERE agent_id = ? AND kind = ? AND cleared_at IS NULL", (agent.id, kind)
        ).fetchall()
    return [json.loads(row[0]) for row in rows]


def standings(agent: RealAgent) -> list[str]:
    with database(agent.appliance) as connection:
        rows = connection.execute("SELECT standing FROM snapshots WHERE agent_id = ? ORDER BY id", (agent.id,))
        return [row[0] for row in rows.fetchall()]


def located(agent: RealAgent) -> list[dict[str, Any]]:
    """Wait until the host, which is asked within half a minute, has told what needs the damage; return the alerts."""
    found: list[dict[str, Any]] = wait_until(
        lambda: [one for one in alerts(agent, "damage") if one["is_located"]], 90, "the damage to be located"
    )
    jobs = agent.appliance.call("GET", f"/api/v1/jobs?agent_id={agent.id}&kind=verify").expect(200)["items"]
    assert "warned" == jobs[0]["state"], jobs[0]
    return found


def test_one_flipped_byte_is_named_with_host_archive_and_file_and_cleared_when_it_is_mended(
    served: RealAgent, tree: Path
) -> None:
    """The first snapshot has the file, the second has another in its place: that one stays good."""
    first = newest(served)
    id_, segment, offset = object_of(served, tree / "large-3")
    (tree / "large-3").write_bytes(os.urandom(700_000))
    job = served.appliance.wait_for_job(served.back_up())
    assert job["state"] == "done", job
    flip(segment, offset + 5000)

    job = ask(served, "check")
    assert job["state"] == "done", job
    assert [damage["place"] for damage in proofs(served)["damages"]] == [id_]
    (evidence,) = located(served)
    assert (evidence["host"], evidence["archives"]) == ("served", [first])
    assert evidence["files"] == [str(tree / "large-3").lstrip("/")]
    assert (evidence["good_snapshots"], evidence["snapshots"]) == (1, 2)
    assert standings(served) == ["damaged", "good"]
    job = ask(served, "drill")  # out of what is still good
    assert job["state"] == "done", job

    flip(segment, offset + 5000)
    job = ask(served, "check")
    assert job["state"] == "done", job
    assert proofs(served)["damages"] == []
    assert alerts(served, "damage") == []
    assert standings(served) == ["good", "good"]


def test_drill_that_meets_a_flipped_byte_names_it_and_the_disk_is_read_by_itself(served: RealAgent, tree: Path) -> None:
    lost = str(tree / "large-1").lstrip("/")
    id_, segment, offset = object_of(served, tree / "large-1")
    flip(segment, offset + 60_000)

    for _round in range(4):  # a drill takes most of the files, and goes on where the last one was
        job = ask(served, "drill")
        if job["state"] == "failed":
            break

    assert (job["state"], job["error_code"]) == ("failed", "drill-failed"), job
    (evidence,) = alerts(served, "restore-failed")
    assert (evidence["host"], evidence["files"], evidence["what"]) == ("served", [lost], ["damaged"])
    statement = msgspec.json.decode(proofs(served)["drills"][0]["statement_text"], type=DrillStatement)
    assert {(entry.path, entry.what) for entry in statement.mismatches} == {(lost, "damaged")}
    archives = [entry.archive for entry in statement.mismatches]
    assert 1 <= len(archives) == len(set(archives)) <= 2  # of one archive or both, once each
    assert statement.files_count > 10  # the others came back
    (evidence,) = located(served)
    assert (evidence["files"], evidence["good_snapshots"]) == ([lost], 0)
    assert [damage["place"] for damage in proofs(served)["damages"]] == [id_]

    flip(segment, offset + 60_000)
    assert ask(served, "check")["state"] == "done"
    assert ask(served, "drill")["state"] == "done"
    assert (alerts(served, "damage"), alerts(served, "restore-failed")) == ([], [])


def test_names_stay_on_the_host_where_they_are_sealed(served: RealAgent, tree: Path) -> None:
    _id, segment, offset = object_of(served, tree / "large-2")
    flip(segment, offset + 70_000)
    with database(served.appliance) as connection:
        connection.execute("UPDATE tenants SET names = 'sealed'")
    try:
        for _round in range(4):
            if ask(served, "drill")["state"] == "failed":
                break
        assert ask(served, "check")["state"] == "done"
        (damage,) = located(served)

        found = proofs(served)
        (unproven,) = alerts(served, "restore-failed")
        # the newest snapshot and an older one may both have been sampled
        assert (unproven["mismatches"] in (1, 2), unproven["files"], damage["files"]) == (True, [], [])
        assert found["damages"][0]["located"][0]["files_count"] == 1
        assert b"large-2" not in json.dumps([found["drills"][0], found["damages"]]).encode()
    finally:
        flip(segment, offset + 70_000)
        with database(served.appliance) as connection:
            connection.execute("UPDATE tenants SET names = 'readable'")
    assert ask(served, "check")["state"] == "done"
    assert ask(served, "drill")["state"] == "done"


def test_what_a_killed_drill_left_is_removed_at_the_next_start(served: RealAgent) -> None:
    left = served.folder / "agent" / "state" / "drill-left"
    served.kill()
    left.mkdir()
    (left / "secret").write_text("of a user")

    served.start_daemon()

    wait_until(lambda: not left.exists(), 20, "the leftover to go")
    assert ask(served, "drill")["state"] == "done"


def test_drill_leaves_nothing_of_a_file_that_nobody_may_change(served: RealAgent, tree: Path) -> None:
    state, file = served.folder / "agent" / "state", tree / "immutable"
    file.write_text("of a user")
    subprocess.run(["chattr", "+i", str(file)], check=True)
    try:
        job = served.appliance.wait_for_job(served.back_up())
        assert job["state"] == "done", job

        for _round in range(3):
            assert ask(served, "drill")["state"] == "done"

        assert list(state.glob("drill-*/*")) == []
    finally:
        subprocess.run(["chattr", "-i", str(file)], check=True)
        subprocess.run(["chattr", "-R", "-i", *map(str, state.glob("drill-*")), str(file)], check=False)


def saveos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the appliance's program as on a machine that has nothing of the appliance but its root certificate."""
    return subprocess.run(
        [sys.executable, "-m", "saveos", *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("form", ["json", "html"])
def test_report_is_verified_offline_and_tells_of_the_drills(
    served: RealAgent, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance, root, file = served.appliance, tmp_path / "root.pem", tmp_path / f"report.{form}"
    root.write_bytes((appliance.data / "authority" / "root.pem").read_bytes())
    answer = appliance.call("GET", f"/api/v1/reports/proofs.{form}")
    assert answer.status == 200, answer.body
    assert "attachment" in answer.headers["content-disposition"]
    raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body, separators=(",", ":")).encode()
    if form == "json":  # the client of the tests decodes JSON: the command line writes the very bytes
        done = appliance.cli("report", "--output", str(file))
        assert done.returncode == 0, done.stderr
    else:
        file.write_bytes(raw)
    monkeypatch.setenv("SAVEOS_DATA", str(tmp_path / "nothing"))

    done = saveos("verify-report", file, "--root", root)

    assert done.returncode in (0, 3), (done.stdout, done.stderr)
    assert "Genuine." in done.stdout
    assert "files came back as they were, signed by the host" in done.stdout
    assert not (tmp_path / "nothing").exists()
    spoilt = bytearray(file.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    file.write_bytes(spoilt)
    done = saveos("verify-report", file, "--root", root)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "NOT GENUINE" in done.stdout


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "invalid-request"),
        ("since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "invalid-request"),
        ("until=0001-01-01T00:00:00Z", 400, "invalid-request"),
        ("since=9999-01-01T00:00:00Z&until=9999-12-31T23:59:59-12:00", 400, "invalid-request"),
        ("since=yesterday", 400, "invalid-request"),
        ("agent_id=agt_unknown", 404, "not-found"),
    ],
)
@pytest.mark.parametrize("form", ["json", "html"])
def test_report_that_cannot_be_is_refused(
    shared_appliance: Appliance, form: str, query: str, status: int, code: str
) -> None:
    answer = shared_appliance.call("GET", f"/api/v1/reports/proofs.{form}?{query}")

    assert (status, code) == (answer.status, answer.body["code"])


def test_proofs_of_another_tenant_or_without_rights_are_not_there(shared_appliance: Appliance) -> None:
    for method, path in (
        ("GET", "/api/v1/agents/agt_x/proofs"),
        ("POST", "/api/v1/agents/agt_x/drill"),
        ("POST", "/api/v1/agents/agt_x/verify"),
        ("POST", "/api/v1/agents/agt_x/check"),
    ):
        assert shared_appliance.call(method, path).status == 404
        assert shared_appliance.call(method, path, token="").status == 401
    assert shared_appliance.call("GET", "/api/v1/reports/proofs.json", token="").status == 401
    assert shared_appliance.call("GET", "/api/v1/drills", token="").status == 401


def test_drill_after_a_backup_of_another_folder_takes_files_of_the_one_before(served: RealAgent) -> None:
    other = served.folder / "other"
    other.mkdir()
    (other / "alone").write_bytes(b"alone\n")
    assert "done" == served.appliance.wait_for_job(served.back_up(other))["state"]

    job = ask(served, "drill")

    assert (job["state"], job["error_code"]) == ("done", ""), job
    drill = proofs(served)["drills"][0]
    assert (drill["mismatches_count"], drill["files_count"] > 5) == (0, True), drill
