"""Files out of snapshots, from a host that is online: whole, in part, packed, broken off."""

from __future__ import annotations

import filecmp
import hashlib
import http.client
import io
import json
import os
import stat
import subprocess
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from saveos.agent.engine_zip import safe_name
from saveos.protocol import entry_path
from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import EMAIL, PASSWORD, Answer, Appliance, wait_until
from tests.support.proxy import Proxy
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 2_000_000


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("reading")) as appliance:
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
    tree = tmp_path_factory.mktemp("read") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture(scope="module")
def served(
    appliance: Appliance, proxy: Proxy, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAgent]:
    """A host whose daemon serves and whose first backup is done."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served", address=proxy.address)
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture(scope="module")
def snapshot_id(served: RealAgent) -> str:
    return str(served.appliance.snapshots(served.id)[0]["id"])


def inside(path: Path | bytes) -> str:
    """Return how a snapshot names a path of this machine."""
    return entry_path((path if isinstance(path, bytes) else bytes(path)).lstrip(b"/"))


def download(
    appliance: Appliance, snapshot_id: str, path: str, method: str = "GET", more: str = "", **headers: str
) -> Answer:
    address = f"/api/v1/snapshots/{snapshot_id}/download?path={quote(path, safe='')}{more}"
    return appliance.call(method, address, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_file_of_an_online_host_comes_as_it_was(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "random.bin"))

    assert (tree / "random.bin").read_bytes() == answer.expect(200)
    assert "3000000" == answer.headers["content-length"]
    assert "attachment; filename=\"random.bin\"; filename*=UTF-8''random.bin" == answer.headers["content-disposition"]


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [
        ("bytes=0-0", 0, 1), ("bytes=1000-", 1000, 3_000_000), ("bytes=-10", 2_999_990, 3_000_000),
        ("bytes=2999999-9999999", 2_999_999, 3_000_000), ("bytes=-9999999", 0, 3_000_000),
        ("bytes=1500000-1500099", 1_500_000, 1_500_100),
    ],
)  # fmt: skip
def test_range_of_a_file_is_what_it_says(
    served: RealAgent, snapshot_id: str, tree: Path, asked: str, first: int, end: int
) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "random.bin"), Range=asked)

    assert (tree / "random.bin").read_bytes()[first:end] == answer.expect(206)
    assert f"bytes {first}-{end - 1}/3000000" == answer.headers["content-range"]
    assert str(end - first) == answer.headers["content-length"]


def test_range_that_a_file_does_not_have_is_refused(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "plain.txt"), Range="bytes=6-")

    assert (416, "range-not-satisfiable") == (answer.status, answer.body["code"])
    assert "bytes */6" == answer.headers["content-range"]


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b", "bytes=-"])
def test_range_that_is_none_brings_all(served: RealAgent, snapshot_id: str, tree: Path, asked: str) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "plain.txt"), Range=asked)

    assert b"hello\n" == answer.expect(200)


def test_range_of_an_empty_file_is_the_file(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "empty"), range="bytes=0-")

    assert (b"", "0") == (answer.expect(200), answer.headers["content-length"])
    assert "content-range" not in answer.headers


def test_file_is_resumed_only_if_it_is_the_same(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    path = inside(tree / "plain.txt")
    tag = download(served.appliance, snapshot_id, path).headers["etag"]

    same = download(served.appliance, snapshot_id, path, Range="bytes=3-", If_Range=tag)
    other = download(served.appliance, snapshot_id, path, Range="bytes=3-", If_Range='"other"')

    assert b"lo\n" == same.expect(206)
    assert b"hello\n" == other.expect(200)


def test_head_says_what_get_would_send(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "random.bin"), "HEAD")

    assert (200, b"") == (answer.status, answer.body)
    assert ("3000000", "bytes") == (answer.headers["content-length"], answer.headers["accept-ranges"])


@pytest.mark.parametrize(
    "name", [b"empty", b"hard-link", b"not-utf8-\xff\xfe", b"new\nline", b"*?[a]", b"modes/0000", b"sparse"]
)
def test_odd_file_comes_as_it_was(served: RealAgent, snapshot_id: str, tree: Path, name: bytes) -> None:
    path = bytes(tree) + b"/" + name

    answer = download(served.appliance, snapshot_id, inside(path))

    with open(path, "rb") as file:
        assert file.read() == answer.expect(200)


def test_name_in_the_header_cannot_mislead(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    said = download(served.appliance, snapshot_id, inside(bytes(tree) + b"/tab\tquote'\"")).headers

    assert "attachment; filename=\"tab_quote'_\"; filename*=UTF-8''tab_quote%27_" == said["content-disposition"]
    assert "application/octet-stream" == said["content-type"]
    assert "nosniff" == said["x-content-type-options"]
    assert said["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("no/such/file", 404, "path-not-found"), ("../etc/passwd", 404, "path-not-found"),
        ("a\\x41", 400, "invalid-request"), ("a\\", 400, "invalid-request"), ("a\0b", 400, "invalid-request"),
    ],
)  # fmt: skip
def test_path_that_is_not_there_is_a_problem(
    served: RealAgent, snapshot_id: str, path: str, status: int, code: str
) -> None:
    answer = download(served.appliance, snapshot_id, path)

    assert (status, code) == (answer.status, answer.body["code"])


@pytest.mark.parametrize("name", ["empty-folder", "relative-link", "pipe"])
def test_what_is_no_file_is_not_sent_as_itself(served: RealAgent, snapshot_id: str, tree: Path, name: str) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / name))

    assert (409, "not-a-file") == (answer.status, answer.body["code"])


def test_tree_comes_whole_as_a_tar(served: RealAgent, snapshot_id: str, tree: Path, tmp_path: Path) -> None:
    body = download(served.appliance, snapshot_id, inside(tree), more="&form=tar.zst").expect(200)

    (tmp_path / "tree.tar.zst").write_bytes(body)
    unpack = ["tar", "--zstd", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", tmp_path / "tree.tar.zst"]
    subprocess.run([*unpack, "-C", tmp_path], check=True)
    different = differences(tree, tmp_path / "tree")
    assert [] == [line for line in different if "holes" not in line]  # a tar has zeros in their place


def test_tree_comes_whole_as_a_zip(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    body = download(served.appliance, snapshot_id, inside(tree), more="&form=zip").expect(200)

    expected = {
        safe_name(os.path.relpath(path, os.fsencode(tree.parent))): path
        for folder, folders, files in os.walk(os.fsencode(tree))
        for path in [folder, *(os.path.join(folder, name) for name in [*folders, *files])]
        if stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    }
    with zipfile.ZipFile(io.BytesIO(body)) as packed:
        entries = {entry.filename.rstrip("/"): entry for entry in packed.infolist()}
        assert expected.keys() == entries.keys()
        for name, path in expected.items():
            status, entry = os.lstat(path), entries[name]
            assert status.st_mode == entry.external_attr >> 16
            if stat.S_ISREG(status.st_mode):
                assert Path(os.fsdecode(path)).read_bytes() == packed.read(entry)
            elif stat.S_ISLNK(status.st_mode):
                assert os.readlink(path) == packed.read(entry)


def test_chosen_paths_are_packed_by_a_ticket_that_works_once(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    appliance = served.appliance
    body = {"paths": [inside(tree / "plain.txt"), inside(tree / "hard-link"), inside(tree / "ünïcödé")]}
    url = appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", body).expect(201)["url"]

    answer = appliance.call("GET", url)
    again = appliance.call("GET", url)

    with zipfile.ZipFile(io.BytesIO(answer.expect(200))) as packed:
        assert {"plain.txt", "hard-link", "ünïcödé/", "ünïcödé/日本語"} == set(packed.namelist())
        assert (tree / "random.bin").read_bytes() == packed.read("hard-link")
    assert answer.headers["content-disposition"].startswith('attachment; filename="served-')
    assert 404 == again.status


def test_ticket_is_worth_nothing_to_others(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    appliance = served.appliance
    body = {"paths": [inside(tree / "plain.txt")], "form": "file"}
    url = appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", body).expect(201)["url"]
    session = appliance.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD}, token="")
    cookie = {"cookie": session.headers["set-cookie"].split(";")[0]}

    nobody = appliance.call("GET", url, token="")
    other_session = appliance.call("GET", url, token="", headers=cookie)
    own = appliance.call("GET", url)

    assert [401, 404, 200] == [nobody.status, other_session.status, own.status]


def test_ticket_is_fetched_once_by_two_at_the_same_time_and_again_after_a_failure(
    served: RealAgent, snapshot_id: str, tree: Path
) -> None:
    appliance = served.appliance
    body = {"paths": [inside(tree / "plain.txt")], "form": "file"}
    url = appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", body).expect(201)["url"]

    failed = appliance.call("GET", url, headers={"range": "bytes=999999-"})
    with ThreadPoolExecutor(2) as two:
        answers = list(two.map(lambda _: appliance.call("GET", url), range(2)))

    assert 416 == failed.status
    assert [200, 404] == sorted(answer.status for answer in answers)


def test_ticket_for_what_is_not_there_is_not_issued(served: RealAgent, tree: Path) -> None:
    body = {"paths": [inside(tree / "plain.txt")]}

    answer = served.appliance.call("POST", "/api/v1/snapshots/snp_none/download", body)

    assert (404, "not-found") == (answer.status, answer.body["code"])


def test_path_that_is_missing_among_others_cuts_the_pack_off(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    body = {"paths": [inside(tree / "plain.txt"), "no/such/path"], "form": "tar.zst"}
    url = served.appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", body).expect(201)["url"]

    with pytest.raises(http.client.IncompleteRead):
        served.appliance.call("GET", url)


def test_viewer_may_not_download(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    with database(served.appliance) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")

    try:
        answer = download(served.appliance, snapshot_id, inside(tree / "plain.txt"))
        asked = served.appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", {"paths": ["a"]})
    finally:
        with database(served.appliance) as connection:
            connection.execute("UPDATE users SET role = 'administrator'")

    assert [403, 403] == [answer.status, asked.status]


def test_download_is_in_the_audit_log_with_its_paths(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    path = inside(tree / "plain.txt")
    download(served.appliance, snapshot_id, path).expect(200)

    with database(served.appliance) as connection:
        rows = connection.execute(
            "SELECT target, detail_json FROM audit WHERE action = 'files-downloaded' ORDER BY rowid DESC LIMIT 1"
        ).fetchall()

    assert [(snapshot_id, {"form": "file", "paths": [path]})] == [(target, json.loads(said)) for target, said in rows]


def test_download_of_very_many_paths_is_proven_by_the_audit_log(
    served: RealAgent, snapshot_id: str, tree: Path
) -> None:
    paths = [inside(tree / "plain.txt")] * 100 + [inside(tree / "empty")]
    url = served.appliance.call("POST", f"/api/v1/snapshots/{snapshot_id}/download", {"paths": paths}).expect(201)
    served.appliance.call("GET", url["url"]).expect(200)

    with database(served.appliance) as connection:
        (said,) = connection.execute(
            "SELECT detail_json FROM audit WHERE action = 'files-downloaded' ORDER BY rowid DESC LIMIT 1"
        ).fetchone()

    digest = hashlib.sha256("\0".join(paths).encode()).hexdigest()
    assert {"form": "zip", "paths": paths[:100], "paths_count": 101, "paths_sha256": digest} == json.loads(said)


def test_download_does_not_wait_for_a_running_backup(
    served: RealAgent, snapshot_id: str, proxy: Proxy, tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(os.urandom(30_000_000))
    with proxy.slowed(SLOW):
        job_id = served.back_up(tmp_path / "large")
        served.await_progress(job_id)
        wait_until((served.repository / "lock.exclusive").exists, 10, "the backup to hold the lock")

        answer = download(served.appliance, snapshot_id, inside(tree / "plain.txt"))

        assert b"hello\n" == answer.expect(200)
        assert "running" == served.appliance.job(job_id)["state"]
    assert "done" == served.appliance.wait_for_job(job_id)["state"]


def test_command_line_fetches_a_file_and_a_pack(
    served: RealAgent, snapshot_id: str, tree: Path, tmp_path: Path
) -> None:
    appliance = served.appliance
    one, two = tmp_path / "one", tmp_path / "two.zip"

    first = appliance.cli(
        "download", snapshot_id, str(tree / "random.bin"), "--output", str(one), stdin=appliance.token
    )
    second = appliance.cli(
        "download", snapshot_id, str(tree / "plain.txt"), str(tree / "empty"), "--output", str(two),
        stdin=appliance.token,
    )  # fmt: skip
    third = appliance.cli("download", snapshot_id, "no/such", "--output", str(one), stdin=appliance.token)

    assert (0, "") == (first.returncode, first.stderr)
    assert (tree / "random.bin").read_bytes() == one.read_bytes()
    assert (0, {"plain.txt", "empty"}) == (second.returncode, set(zipfile.ZipFile(two).namelist()))
    assert (1, "path-not-found") == (third.returncode, json.loads(third.stdout)["error"]["code"])


def test_command_line_resumes_what_is_cut_off(served: RealAgent, snapshot_id: str, tree: Path, tmp_path: Path) -> None:
    appliance = served.appliance
    proxy = Proxy(appliance.port)

    def cut() -> None:
        wait_until(lambda: (tmp_path / "one.part").exists() and (tmp_path / "one.part").stat().st_size, 30, "a part")
        proxy.drop()

    cuts = threading.Thread(target=cut)
    cuts.start()
    done = appliance.cli(
        "download", snapshot_id, str(tree / "sparse"), "--output", str(tmp_path / "one"),
        "--server", proxy.address, stdin=appliance.token,
    )  # fmt: skip
    cuts.join()
    proxy.close()

    assert (0, "") == (done.returncode, done.stderr)
    assert filecmp.cmp(tree / "sparse", tmp_path / "one", shallow=False)
