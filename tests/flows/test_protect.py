"""A host under protection, from enrolment to the last byte restored: the real agent, Borg and appliance."""

from __future__ import annotations

import json
import os
import shutil
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from saveos.clock import to_text
from saveos.protocol import ExitCode
from tests.support import odd_tree
from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base, stock_borg
from tests.support.appliance import Appliance, wait_until
from tests.support.proxy import Proxy
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 2_000_000


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("protect")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def proxy(appliance: Appliance) -> Iterator[Proxy]:
    proxy = Proxy(appliance.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("host") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture(scope="module")
def served(
    appliance: Appliance, proxy: Proxy, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAgent]:
    """A host whose daemon serves and whose first backup came by itself."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served", address=proxy.address)
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture
def alone(appliance: Appliance, tmp_path: Path) -> RealAgent:
    """An enrolled host without a daemon."""
    return RealAgent.enrolled(appliance, tmp_path / "alone", hostname="alone")


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    """A small tree to change at will."""
    folder = tmp_path / "leaves"
    folder.mkdir()
    for number in range(5):
        (folder / f"leaf {number}").write_text(f"{number}\n" * 100)
    return folder


def succeed(appliance: Appliance, job_id: str) -> dict[str, Any]:
    job = appliance.wait_for_job(job_id)
    assert job["state"] == "done", job
    return job


def restore(agent: RealAgent, **asked: Any) -> dict[str, Any]:
    job = agent.appliance.call("POST", "/api/v1/restore", asked).expect(202)
    return succeed(agent.appliance, job["id"])


def test_host_is_protected_by_rest_alone(served: RealAgent, tree: Path, tmp_path: Path) -> None:
    appliance = served.appliance
    first = appliance.snapshots(served.id)[-1]
    assert (first["kind"], first["sources"]) == ("full", [str(tree)])
    restore(served, snapshot_id=first["id"], target=str(tmp_path / "first"))
    assert_restored(tree, tmp_path / "first")

    odd_tree.change(tree)
    job_id = served.back_up()
    wait_until(lambda: appliance.job(job_id)["state"] != "queued", 10, "a host that waits to be woken")
    succeed(appliance, job_id)

    second = appliance.snapshots(served.id)[0]
    assert (second["kind"], second["job_id"]) == ("incremental", job_id)
    assert 200_000 <= second["added_bytes"] < 1_000_000  # the one new file, not the three megabytes of before
    # One is new, one rewritten, one has another mode; Borg also takes those for new that changed just before the last.
    assert second["new_files_count"] >= 1
    assert 3 <= second["new_files_count"] + second["changed_files_count"] <= 6 < second["files_count"]
    restore(served, snapshot_id=second["id"], target=str(tmp_path / "second"))
    assert_restored(tree, tmp_path / "second")


def test_agent_with_its_first_backup_done_is_online_and_counted(served: RealAgent) -> None:
    shown = served.appliance.call("GET", f"/api/v1/agents/{served.id}").expect(200)

    assert (shown["is_online"], shown["state"]) == (True, "ready")
    assert shown["snapshots_count"] >= 1
    assert served.succeed("status")["daemon"] is True


def test_restore_of_chosen_paths_with_names_of_any_bytes(served: RealAgent, tree: Path, tmp_path: Path) -> None:
    top, target = os.fsencode(tree), tmp_path / "chosen"
    names = [b"not-utf8-\xff\xfe", b"new\nline", b"*?[a]", b"-dash", b"x" * 255]

    served.succeed("restore", "latest", "--target", str(target), "--", *(os.path.join(top, name) for name in names))

    restored = os.fsencode(target / tree.relative_to("/"))
    assert sorted(names) == sorted(os.listdir(restored))
    for name in names:
        with open(os.path.join(restored, name), "rb") as file:
            assert file.read() == name


def test_backup_of_paths_with_names_of_any_bytes(alone: RealAgent, tmp_path: Path) -> None:
    source = os.path.join(os.fsencode(tmp_path), b"source-\xff\xfe")
    os.mkdir(source)
    with open(os.path.join(source, b"inside\n"), "wb") as file:
        file.write(b"kept")

    alone.succeed("backup", "--wait", source)
    alone.succeed("restore", "latest", "--target", str(tmp_path / "out"))

    with open(os.fsencode(tmp_path / "out") + os.path.join(source, b"inside\n"), "rb") as file:
        assert file.read() == b"kept"


def test_restore_to_the_original_place_brings_back_what_was_lost(
    alone: RealAgent, leaves: Path, tmp_path: Path
) -> None:
    alone.succeed("backup", "--wait", str(leaves))
    shutil.copytree(leaves, tmp_path / "kept", symlinks=True)
    (leaves / "leaf 0").unlink()
    (leaves / "leaf 1").write_text("spoilt")
    (leaves / "new").write_text("made since")

    alone.succeed("restore", "latest", "--original")

    assert (leaves / "new").read_text() == "made since"
    (leaves / "new").unlink()
    assert differences(tmp_path / "kept", leaves, ignore=frozenset({"mtime"})) == []


def test_cancel_of_a_running_backup_stops_borg_on_the_host(served: RealAgent, proxy: Proxy, tmp_path: Path) -> None:
    appliance, source = served.appliance, tmp_path / "large"
    source.write_bytes(os.urandom(30_000_000))
    snapshots = appliance.snapshots(served.id)
    with proxy.slowed(SLOW):
        job_id = served.back_up(source)
        served.await_progress(job_id)
        borgs = served.borgs("create")
        assert len(borgs) == 1

        appliance.call("POST", f"/api/v1/jobs/{job_id}/cancel").expect(200)
        job = appliance.wait_for_job(job_id)

    assert (job["state"], job["attempts"]) == ("cancelled", 1)
    wait_until(lambda: not served.leftovers(), 30, "Borg and its tunnel to end")
    assert appliance.snapshots(served.id) == snapshots
    succeed(appliance, served.back_up())


def test_interrupt_of_a_waited_for_backup_cancels_it(alone: RealAgent, proxy: Proxy, tmp_path: Path) -> None:
    config = json.loads(alone.config.read_text())
    alone.config.write_text(json.dumps(config | {"addresses": [proxy.address], "learns_addresses": False}))
    (tmp_path / "large").write_bytes(os.urandom(30_000_000))
    with proxy.slowed(SLOW):
        process = alone.start("backup", "--wait", str(tmp_path / "large"))
        jobs = f"/api/v1/jobs?agent_id={alone.id}&state=running"
        job = wait_until(lambda: alone.appliance.call("GET", jobs).expect(200)["items"], 30, "the job")[0]
        alone.await_progress(job["id"])
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == ExitCode.INTERRUPTED

    assert alone.appliance.wait_for_job(job["id"])["state"] == "cancelled"
    wait_until(lambda: not alone.leftovers(), 30, "Borg and its tunnel to end")


def test_restore_beside_a_backup_says_that_it_waits_and_can_be_given_up(
    served: RealAgent, proxy: Proxy, tmp_path: Path
) -> None:
    appliance = served.appliance
    (tmp_path / "large").write_bytes(os.urandom(30_000_000))
    with proxy.slowed(SLOW):
        backup = served.back_up(tmp_path / "large")
        served.await_progress(backup)
        process = served.start("restore", "latest", "--target", str(tmp_path / "out"))
        jobs = f"/api/v1/jobs?agent_id={served.id}&kind=restore&state=running"
        job = wait_until(lambda: appliance.call("GET", jobs).expect(200)["items"], 30, "the restore")[0]
        wait_until(
            lambda: "wait" in (appliance.job(job["id"])["progress"] or {"phase": ""})["phase"],
            20,
            "it to say that it waits",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == ExitCode.INTERRUPTED
        assert appliance.job(backup)["state"] == "running"

    assert appliance.wait_for_job(job["id"])["state"] == "cancelled"
    succeed(appliance, backup)


def test_exported_key_opens_the_repository_with_borg_itself(served: RealAgent, tree: Path, tmp_path: Path) -> None:
    appliance = served.appliance
    newest = succeed(appliance, served.back_up())

    exported = appliance.cli("key", "export", served.id, stdin=appliance.recovery_code + "\n")
    assert exported.returncode == 0, exported.stderr
    key = json.loads(exported.stdout)
    repository = Path(key["repository"])
    listed = stock_borg(repository, key["passphrase"], tmp_path / "stock", "list", "--short")
    archive = appliance.snapshots(served.id)[0]["archive"]
    assert sorted(listed.stdout.split()) == sorted(entry["archive"] for entry in appliance.snapshots(served.id))
    assert archive.endswith(newest["id"])

    (tmp_path / "out").mkdir()
    words = ("extract", "--sparse", f"::{archive}")
    taken = stock_borg(repository, key["passphrase"], tmp_path / "stock", *words, folder=tmp_path / "out")
    assert taken.returncode == 0, taken.stderr
    assert_restored(tree, tmp_path / "out")


def test_key_export_alone_brings_back_a_repository_whose_key_is_lost(
    alone: RealAgent, leaves: Path, tmp_path: Path
) -> None:
    alone.succeed("backup", "--wait", str(leaves))
    exported = json.loads(
        alone.appliance.cli("key", "export", alone.id, stdin=alone.appliance.recovery_code + "\n").stdout
    )
    copy = tmp_path / "copy"
    shutil.copytree(alone.repository, copy)
    settings = (copy / "config").read_text().splitlines()
    kept = [line for line in settings if not line.startswith(("key =", "\t"))]
    (copy / "config").write_text("\n".join(kept) + "\n")
    (tmp_path / "key").write_text(exported["key_export"])
    assert stock_borg(copy, exported["passphrase"], tmp_path / "stock", "list").returncode != 0

    imported = stock_borg(
        copy, exported["passphrase"], tmp_path / "stock", "key", "import", "::", str(tmp_path / "key")
    )

    assert imported.returncode == 0, imported.stderr
    assert stock_borg(copy, exported["passphrase"], tmp_path / "stock", "check", "--verify-data").returncode == 0


@pytest.mark.parametrize("code", ["", "wrong", "another appliance's"])
def test_key_export_with_a_wrong_code_is_refused(served: RealAgent, code: str) -> None:
    given = served.appliance.recovery_code
    if code == "another appliance's":
        code = given[:-1] + ("A" if given[-1] != "A" else "B")

    done = served.appliance.cli("key", "export", served.id, stdin=code + "\n")

    assert done.returncode == ExitCode.USAGE
    assert "BORG_KEY" not in done.stdout + done.stderr


def test_daemon_renews_its_certificate_by_itself_and_keeps_working(served: RealAgent) -> None:
    appliance = served.appliance
    before = json.loads(served.config.read_text())["credentials"]
    with database(appliance) as connection:
        now = datetime.now(UTC)
        connection.execute(
            "UPDATE certificates SET issued_at = ?, expires_at = ? WHERE agent_id = ?",
            (to_text(now - timedelta(days=80)), to_text(now + timedelta(days=10)), served.id),
        )

    succeed(appliance, served.back_up())  # wakes the daemon; its next heartbeat hears that it is time
    wait_until(lambda: json.loads(served.config.read_text())["credentials"] != before, 60, "the renewal")

    succeed(appliance, served.back_up())
    assert served.succeed("status")["state"] == "ready"


def test_unreachable_appliance_is_said_with_its_exit_code(alone: RealAgent) -> None:
    config = json.loads(alone.config.read_text())
    alone.config.write_text(json.dumps(config | {"addresses": ["127.0.0.1:9"], "learns_addresses": False}))

    for words in (("status",), ("backup", "--wait", "/etc/hostname"), ("snapshots",)):
        done = alone.run(*words)
        assert (done.returncode, done.stdout) == (ExitCode.UNREACHABLE, "")
        assert "cannot be reached" in done.stderr


def test_commands_of_a_host_that_is_not_enrolled_say_so(appliance: Appliance, tmp_path: Path) -> None:
    stranger = RealAgent(appliance, tmp_path)

    for words in (("status",), ("backup",), ("restore", "latest", "--target", "/tmp/x"), ("snapshots",), ("daemon",)):  # noqa: S108
        done = stranger.run(*words)
        assert done.returncode == ExitCode.NOT_ENROLLED
        assert "not enrolled" in done.stderr


def test_commands_end_with_the_documented_codes(alone: RealAgent, leaves: Path, tmp_path: Path) -> None:
    unreadable = tmp_path / "missing"
    target = str(tmp_path / "out")

    assert alone.run("backup", "--wait", str(leaves)).returncode == ExitCode.DONE
    assert alone.run("backup", "--wait", str(leaves), str(unreadable)).returncode in (ExitCode.DONE, ExitCode.WARNINGS)
    assert alone.run("backup", "--wait", str(unreadable)).returncode == ExitCode.ERROR
    assert alone.run("backup", "--nonsense").returncode == ExitCode.USAGE
    assert alone.run("restore", "latest").returncode == ExitCode.USAGE
    assert alone.run("restore", "latest", "--target", target, "../../etc").returncode == ExitCode.USAGE
    assert alone.run("restore", "snp_unknown", "--target", target).returncode == ExitCode.ERROR
    assert alone.run("restore", "latest", "--target", target, "not/in/it").returncode == ExitCode.ERROR
    partly = alone.run("restore", "latest", "--target", target, str(leaves / "leaf 0"), "not/in/it")
    assert partly.returncode == ExitCode.WARNINGS
    (alone.folder / "agent" / "passphrase").write_text("wrong")
    assert alone.run("backup", "--wait", str(leaves)).returncode == ExitCode.PASSPHRASE_WRONG


def test_second_enrolment_of_a_host_is_refused(alone: RealAgent) -> None:
    done = alone.run("enrol", "--stamp", str(alone.folder / "stamp.json"))

    assert done.returncode == ExitCode.ERROR
    assert "enrolled already" in done.stderr


def test_second_daemon_of_a_host_is_refused(served: RealAgent) -> None:
    done = served.run("daemon")

    assert done.returncode == ExitCode.ERROR
    assert "already" in done.stderr


def test_commands_of_a_revoked_host_say_so(alone: RealAgent) -> None:
    alone.start_daemon()
    try:
        alone.appliance.call("DELETE", f"/api/v1/agents/{alone.id}").expect(200)

        for words in (("status",), ("backup", "--wait", "/etc/hostname"), ("snapshots",)):
            done = alone.run(*words)
            assert done.returncode == ExitCode.ERROR
            assert "revoked" in done.stderr
        wait_until(lambda: "revoked" in alone.log, 60, "the daemon to say that it was revoked")
        assert alone.process is not None
        assert alone.process.poll() is None
    finally:
        assert alone.stop() == 0
