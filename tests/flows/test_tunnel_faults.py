"""The tunnel when something dies, freezes or fills up: the next backup always succeeds, by itself."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saveos.protocol import Frame, TunnelMode
from saveos.repositories.locks import born_at
from tests.support.appliance import wait_until
from tests.support.raw_client import ID, RawClient, RpcFailed
from tests.support.tunnels import Gateway, Host

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults
LARGE = 48 * 1024**2


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), ping=0.4, silence=2.0, writers=2) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def host(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Host:
    host = Host.made(gateway, tmp_path_factory.mktemp("host"))
    host.init()
    return host


@pytest.fixture
def gate(host: Host) -> Iterator[Path]:
    """A pipe that Borg reads as a file: a backup that goes on for exactly as long as a test wants."""
    path = host.folder / "gate"
    os.mkfifo(path)
    yield path
    path.unlink()


@contextlib.contextmanager
def running_backup(host: Host, gate: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a backup, feed it 8 MiB and keep it waiting for more; give its process and the pipe's descriptor."""
    words = ["create", "--read-special", "--checkpoint-interval", "1", f"::{name}", str(gate)]
    process = host.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    descriptor = opened(gate, process)
    try:
        os.write(descriptor, os.urandom(8 * 1024**2))
        wait_until(host.gateway.sessions.listing, 20, "the session to be there")
        yield process, descriptor
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        process.kill()
        process.wait()
        wait_until(lambda: not tunnel_of(process.pid), 20, "the agent's tunnel to go")


def opened(gate: Path, reader: subprocess.Popen[bytes]) -> int:
    """Open the pipe for writing once somebody reads it; fail when that never comes."""

    def tried() -> int | None:
        assert reader.poll() is None, f"Borg ended with {reader.returncode} before it read"
        with contextlib.suppress(OSError):
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        return None

    descriptor = int(wait_until(tried, 60, "Borg to read"))
    os.set_blocking(descriptor, True)
    return descriptor


def tunnel_of(borg: int) -> int:
    """Return the process id of the tunnel that a Borg started, or 0."""
    try:
        children = Path(f"/proc/{borg}/task/{borg}/children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if children else 0


def is_free(gateway: Gateway) -> bool:
    return not gateway.children() and not (gateway.repository / "lock.exclusive").exists()


def assert_works(host: Host, name: str) -> None:
    """Back up, list and verify, with nobody's help."""
    host.borg("create", f"::{name}", "settings", cwd=_settings(host))
    assert name in host.names()
    host.borg("check")


def _settings(host: Host) -> Path:
    folder = host.folder / "etc"
    folder.mkdir(exist_ok=True)
    (folder / "settings").write_bytes(os.urandom(1000))
    return folder


def test_child_killed_in_mid_backup_leaves_a_repository_that_opens(gateway: Gateway, host: Host, gate: Path) -> None:
    with running_backup(host, gate, "killed-child") as (process, descriptor):
        os.kill(gateway.children()[0], signal.SIGKILL)
        os.close(descriptor)
        assert process.wait(30) > 1

    assert (gateway.repository / "lock.exclusive").exists()
    assert_works(host, "after-killed-child")


def test_tunnels_process_killed_is_replaced_and_sessions_go_on(gateway: Gateway, host: Host, gate: Path) -> None:
    with running_backup(host, gate, "survivor") as (process, descriptor):
        os.kill(gateway.zygote, signal.SIGKILL)
        old = gateway.zygote
        wait_until(lambda: gateway.zygote != old, 20, "a new process")
        os.close(descriptor)
        assert process.wait(30) == 0

    assert "survivor" in host.names()
    assert_works(host, "after-killed-zygote")


def test_cut_backup_resumes_from_its_checkpoint(gateway: Gateway, host: Host) -> None:
    source = host.folder / "source"
    source.mkdir()
    for number in range(4):
        (source / f"part-{number}").write_bytes(os.urandom(LARGE // 4))
    words = ["create", "--checkpoint-interval", "1", "--upload-ratelimit", "12000", "::cut", str(source)]
    before = len(transactions(gateway))
    process = host.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: len(transactions(gateway)) > before, 30, "a checkpoint")
    os.kill(tunnel_of(process.pid), signal.SIGKILL)
    assert process.wait(30) > 1
    wait_until(lambda: is_free(gateway), 10, "the lock to be released")

    done = host.borg("create", "--json", "::resumed", str(source))

    added = json.loads(done.stdout)["archive"]["stats"]["deduplicated_size"]
    assert "cut.checkpoint" in host.names("--consider-checkpoints")
    assert added < LARGE * 0.9


def transactions(gateway: Gateway) -> list[str]:
    path = gateway.repository / "transactions"
    return path.read_text().splitlines() if path.exists() else []


def test_frozen_agent_loses_its_session_and_the_lock_is_free(gateway: Gateway, host: Host, gate: Path) -> None:
    with running_backup(host, gate, "frozen") as (process, _descriptor):
        tunnel = tunnel_of(process.pid)
        os.kill(tunnel, signal.SIGSTOP)
        try:
            wait_until(lambda: is_free(gateway), 20, "the silent session to end")
        finally:
            os.kill(tunnel, signal.SIGCONT)

    assert_works(host, "after-frozen")


def test_newer_writer_ends_the_older_one_and_gets_the_lock(gateway: Gateway, host: Host, gate: Path) -> None:
    with running_backup(host, gate, "older") as (process, descriptor):
        tunnel = tunnel_of(process.pid)
        os.kill(tunnel, signal.SIGSTOP)  # its end of the line is dead, and nobody has noticed yet
        other = Host.made(gateway, host.folder / "reinstalled")  # the same host to the appliance; no cache to wait for
        try:
            assert_works(other, "newer")
        finally:
            os.kill(tunnel, signal.SIGCONT)
        os.close(descriptor)
        assert process.wait(30) > 1

    assert "older" not in host.names()
    assert "superseded" in (host.folder / "tunnel-write.json.error").read_text()


def test_writer_does_not_wait_for_a_reader_who_keeps_reading(gateway: Gateway, host: Host) -> None:
    with RawClient(gateway) as reader:
        reader.open(TunnelMode.READ)
        writer = host.start("create", "::patient", "settings", cwd=_settings(host))

        _out, errors = writer.communicate(timeout=60)
        reader.send(Frame.PING)  # it is still there

    assert writer.returncode == 0, errors.decode()[-2000:]
    assert "patient" in host.names()


def test_third_writer_waits_for_one_of_two_places(gateway: Gateway, host: Host) -> None:
    with RawClient(gateway, gateway.other("agt_1")) as first, RawClient(gateway, gateway.other("agt_2")) as second:
        assert (Frame.READY, b"") == first.hello()
        assert (Frame.READY, b"") == second.hello()
        waiting = host.start("create", "::third", "settings", cwd=_settings(host))
        wait_until(lambda: len(gateway.sessions.listing()) == 3, 20, "the third to queue")
        assert [True, True, False] == [facts.is_open for facts in gateway.sessions.listing()]
        first.tls.close()

        assert waiting.wait(30) == 0
    _out, _errors = waiting.communicate()


def test_main_process_killed_takes_every_child_along_and_releases_locks(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.gateway_process", str(tmp_path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["address"]
    repository = tmp_path / "data" / "repositories" / "tenant" / "agt_test"

    class Remote:
        folder = tmp_path

        class authority:  # noqa: N801 - stands for an instance
            trust_path = tmp_path / "authority" / "trust.pem"

    from tests.support.authority import Identity

    identity = Identity(tmp_path / "authority" / "agt_test.pem", tmp_path / "authority" / "agt_test.key", "", "")
    Remote.address = address  # type: ignore[attr-defined]
    with RawClient(Remote, identity) as client:  # type: ignore[arg-type]
        client.open(create=True)
        client.call("put", id=ID, data=b"x")
        child = int(next((repository / "lock.exclusive").iterdir()).name.rsplit(".")[-1].split("-")[0])

        process.kill()
        process.wait()

        wait_until(lambda: not born_at(child), 10, "the child to go")
    process.stdout.close()
    assert not (repository / "lock.exclusive").exists()


def test_full_disk_in_mid_backup_is_an_error_and_costs_nothing(tmp_path: Path) -> None:
    """Mounts a small file system, so it needs to be root, as the tests on clean hosts do."""
    disk = tmp_path / "gateway" / "data"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", disk], check=True)
    try:
        with Gateway(tmp_path / "gateway") as gateway:
            host = Host.made(gateway, tmp_path / "host")
            host.init()
            large = host.folder / "large"
            large.write_bytes(os.urandom(LARGE))

            done = host.borg("create", "::large", str(large), rc=14)

            assert "Repository.InsufficientFreeSpaceError" in done.stderr
            wait_until(lambda: is_free(gateway), 10, "the lock to be released")
            assert shutil.disk_usage(disk).free > 20 * 1024**2
            assert_works(host, "small")
    finally:
        subprocess.run(["umount", disk], check=True)


def put_until_it_fails(client: RawClient) -> None:
    for number in range(12):
        client.call("put", id=bytes([number + 1]) * 32, data=os.urandom(900_000))


def test_full_disk_then_commit_by_a_stubborn_client_changes_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "gateway" / "data"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], check=True)
    try:
        with Gateway(tmp_path / "gateway") as gateway, RawClient(gateway) as client:
            client.open(create=True)
            client.call("put", id=bytes(32), data=b"manifest")
            client.call("commit")
            with pytest.raises(RpcFailed, match="InsufficientFreeSpace"):
                put_until_it_fails(client)
            for method in ("put", "commit"):
                arguments = {"id": ID, "data": b"x"} if method == "put" else {}
                with pytest.raises(RpcFailed, match="InsufficientFreeSpace"):
                    client.call(method, **arguments)

            client.call("rollback")

            assert [bytes(32)] == client.call("list", limit=10, marker=None)
    finally:
        subprocess.run(["umount", disk], check=True)
