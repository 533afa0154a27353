"""Real Borg through the tunnel: what must work, and what no host may do to its repository."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos.agent.tunnel import VARIABLE, TunnelSettings
from saveos.errors import NotAllowed
from saveos.protocol import FRAME_LIMIT, Frame, TunnelMode
from tests.support.appliance import wait_until
from tests.support.authority import SmallAuthority
from tests.support.raw_client import ID, RawClient, RpcFailed
from tests.support.tunnels import TOKEN, URL, Gateway, Host

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def host(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host whose repository is enrolled and holds one archive."""
    host = Host.made(gateway, tmp_path_factory.mktemp("host"))
    host.init()
    source = fill(host.folder / "source")
    host.borg("create", "::first", ".", cwd=source)
    return host


def fill(folder: Path) -> Path:
    folder.mkdir()
    for number in range(300):
        (folder / f"small-{number}").write_bytes(os.urandom(number * 7))
    (folder / "large").write_bytes(os.urandom(12 * 1024**2))
    os.link(folder / "large", folder / "the same")
    (folder / "link").symlink_to("nowhere")
    (folder / "ligne\nbrisée").write_text("é")
    return folder


def messages(stderr: str) -> list[str]:
    return [json.loads(line).get("msgid", "") for line in stderr.splitlines() if line.startswith("{")]


def state(folder: Path) -> dict[str, bytes]:
    """Return what decides over a repository's life: its configuration with the key, and every segment."""
    kept = [folder / "config", *sorted((folder / "data").rglob("*"))]
    return {str(path): path.read_bytes() for path in kept if path.is_file()}


@pytest.mark.parametrize("is_plain", [False, True], ids=["engine", "plain"])
def test_extract_after_create_gives_the_same_tree(host: Host, tmp_path: Path, *, is_plain: bool) -> None:
    host = Host.made(host.gateway, host.folder, is_plain=is_plain)
    host.borg("create", f"::again-{is_plain}", ".", cwd=host.folder / "source")

    host.borg("extract", f"::again-{is_plain}", mode=TunnelMode.READ, cwd=tmp_path)

    difference = subprocess.run(
        ["diff", "--recursive", "--no-dereference", host.folder / "source", tmp_path], capture_output=True, check=False
    )
    assert (0, b"") == (difference.returncode, difference.stdout)
    assert (tmp_path / "large").samefile(tmp_path / "the same")


def test_check_of_a_good_repository_says_so(host: Host) -> None:
    done = host.borg("check", "--verify-data", "--info", "--progress")

    assert "no problems found" in done.stderr


def test_change_passphrase_of_an_enrolled_repository_is_refused(host: Host) -> None:
    before = state(host.gateway.repository)

    done = host.borg("key", "change-passphrase", rc=82)

    assert "InvalidRPCMethod" in messages(done.stderr)
    assert before == state(host.gateway.repository)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("save_key", {"keydata": b"gone"}),
        ("destroy", {}),
        ("break_lock", {}),
        ("inject_exception", {"kind": b"divide"}),
        ("check", {"repair": True}),
        ("open", {"path": "/", "create": False}),
        ("close", {}),
        ("__class__", {}),
        ("_rollback", {"cleanup": True}),
        ("save_config", {"path": "/tmp/x", "config": None}),  # noqa: S108 - never written
    ],
)
def test_call_that_could_harm_is_refused_and_the_session_goes_on(
    host: Host, method: str, arguments: dict[str, Any]
) -> None:
    before = state(host.gateway.repository)
    with RawClient(host.gateway) as client:
        client.open()

        with pytest.raises(RpcFailed) as refused:
            client.call(method, **arguments)

        assert refused.value.name == "InvalidRPCMethod"
        assert client.call("__len__") > 0
    assert before == state(host.gateway.repository)


def test_delete_of_everything_and_compaction_leaves_every_segment(host: Host) -> None:
    before = state(host.gateway.repository)
    with RawClient(host.gateway) as client:
        client.open(append_only=False)
        for key in client.call("list", limit=100000, marker=None):
            client.call("delete", id=key)
        client.call("put", id=ID, data=b"x")

        client.call("commit", save_space=False, compact=True, threshold=0, cleanup_commits=True)

    after = state(host.gateway.repository)
    assert before.items() <= after.items()
    for name in after.keys() - before.keys():  # undo: newer segments and their index go
        os.unlink(name)
    for path in host.gateway.repository.glob("*.*"):
        if path.name.split(".")[0] in ("index", "hints", "integrity"):
            path.unlink()
    shutil.rmtree(host.folder / "borg")
    assert "first" in host.names()


def test_open_of_another_path_gives_the_own_repository(host: Host, tmp_path: Path) -> None:
    other = Host.made(host.gateway, tmp_path, identity=host.gateway.other("agt_other"))
    host.gateway.door.grants["may_create"] = True
    other.init()
    with RawClient(host.gateway) as client:
        own = client.open()

    with RawClient(host.gateway, other.identity) as client:
        opened = client.open(path=str(host.gateway.repository))

    assert own != opened


def test_create_of_an_enrolled_repository_is_refused(host: Host) -> None:
    done = host.borg("init", "--encryption", "none", rc=83)

    assert "PathNotAllowed" in messages(done.stderr)


def test_write_in_a_read_session_is_refused(host: Host) -> None:
    done = host.borg("create", "::never", ".", mode=TunnelMode.READ, rc=None, cwd=host.folder / "source")

    assert done.returncode > 1
    assert "never" not in host.names()


def test_error_of_the_server_tells_no_path_of_the_appliance(host: Host) -> None:
    with RawClient(host.gateway) as client:
        client.open()
        texts = []
        for method, arguments in (("get", {"id": ID}), ("get", {"id": b"short"}), ("list", {"marker": b"x"})):
            with pytest.raises(RpcFailed) as failed:
                client.call(method, **arguments)
            texts.append(failed.value.text)

    assert not [text for text in texts if str(host.gateway.folder) in text or "Traceback" in text]


def test_quota_exceeded_reaches_borg_as_its_own_error(gateway: Gateway, host: Host) -> None:
    gateway.door.grants["room_bytes"] = 1000
    try:
        done = host.borg("create", "::too-much", ".", rc=20, cwd=host.folder)
    finally:
        gateway.door.grants["room_bytes"] = None

    assert "Repository.StorageQuotaExceeded" in messages(done.stderr)
    assert "too-much" not in host.names()


def test_init_cut_off_before_its_first_commit_can_be_repeated(gateway: Gateway, tmp_path: Path) -> None:
    host = Host.made(gateway, tmp_path, identity=gateway.other("agt_cut"))
    gateway.door.grants["may_create"] = True
    with RawClient(gateway, host.identity) as client:
        client.open(create=True)

    host.init()

    assert host.names() == []
    assert "max_segment_size = 67108864" in (gateway.repository.parent / "agt_cut" / "config").read_text()
    assert "append_only = 0" in (gateway.repository.parent / "agt_cut" / "config").read_text()


def test_connection_without_certificate_ends_in_the_handshake(gateway: Gateway) -> None:
    with pytest.raises(OSError, match=r"(?i)certificate|reset|eof"), RawClient(gateway, anonymous=True) as client:
        client.hello()


def test_wrong_token_is_refused_with_its_code(gateway: Gateway) -> None:
    with RawClient(gateway) as client:
        assert client.refusal(token=TOKEN + "x").code == "not-authenticated"


def test_refusal_reaches_borgs_log_and_the_error_file(host: Host) -> None:
    wrong = Host.made(host.gateway, host.folder, token=TOKEN + "x")

    done = wrong.borg("list", mode=TunnelMode.READ, rc=None)

    assert done.returncode > 0
    assert "SaveOS.not-authenticated" in messages(done.stderr)
    assert "not-authenticated" in (host.folder / "tunnel-read.json.error").read_text()


def test_foreign_certificate_is_refused_and_borg_is_told_why(host: Host, tmp_path: Path) -> None:
    foreign = SmallAuthority(tmp_path / "foreign").issue("agt_test")
    stranger = Host.made(host.gateway, tmp_path / "stranger", identity=foreign)

    done = stranger.borg("list", mode=TunnelMode.READ, rc=None)

    assert "SaveOS.certificate-refused" in messages(done.stderr)


def test_appliance_of_another_root_is_not_trusted(host: Host, tmp_path: Path) -> None:
    host = Host.made(host.gateway, tmp_path / "host")
    environment = host.environment(TunnelMode.READ)
    other = SmallAuthority(tmp_path / "foreign")
    settings = msgspec.json.decode(Path(environment[VARIABLE]).read_bytes(), type=TunnelSettings)
    changed = msgspec.structs.replace(settings, root_certificate_path=str(other.trust_path))
    Path(environment[VARIABLE]).write_bytes(msgspec.json.encode(changed))

    done = subprocess.run(host.words("list"), env=environment, capture_output=True, text=True, check=False)

    assert "SaveOS.wrong-appliance" in messages(done.stderr)


def test_borg_killed_while_its_writer_waits_gives_up_its_place_in_the_queue(tmp_path: Path) -> None:
    with Gateway(tmp_path / "gateway", writers=1) as gateway, RawClient(gateway, gateway.other("agt_1")) as first:
        first.hello()
        waiting = Host.made(gateway, tmp_path / "host").start("list", stderr=subprocess.DEVNULL)
        wait_until(lambda: len(gateway.sessions.listing()) == 2, 20, "the second to queue")

        waiting.kill()
        waiting.communicate()

        wait_until(lambda: len(gateway.sessions.listing()) == 1, 5, "the second to go")


def test_unreachable_appliance_is_said_so(host: Host) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    lost = Host.made(host.gateway, host.folder, address=address)

    done = lost.borg("list", mode=TunnelMode.READ, rc=None)

    assert "SaveOS.unreachable" in messages(done.stderr)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 50,
        b"\x10\x00\x00\x00\x02{}",
        b"\x00\xff\xff\xff\xff",
        b"\xfe\x00\x00\x00\x00",
        b"\x04\0\0\0\0",
    ],
    ids=["http", "empty hello", "endless frame", "unknown frame", "eof first"],
)
def test_garbage_instead_of_a_hello_ends_the_connection_alone(gateway: Gateway, said: bytes) -> None:
    with RawClient(gateway) as client:
        client.tls.sendall(said)

        assert client.drain() == []
    wait_until(lambda: not gateway.children(), 10, "the child to go")


@pytest.mark.parametrize(
    "said",
    [
        b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000,
        b"\xc6\xff\xff\xff\xff",
        b"\x01",
        b"\x83\xa1i\x01\xa1m\x01\xa1a\x01",
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
    ],
    ids=["endless array", "endless blob", "number", "wrong types", "no msgpack", "endless map"],
)
def test_garbage_instead_of_borgs_protocol_ends_the_session_and_frees_the_lock(host: Host, said: bytes) -> None:
    with RawClient(host.gateway) as client:
        client.open()
        client.data(said)

        assert client.drain() in ([Frame.REFUSED], [Frame.EXIT])  # at once, or when nothing more comes
    assert not (host.gateway.repository / "lock.exclusive").exists()


def test_endless_message_is_cut_off(host: Host) -> None:
    with RawClient(host.gateway) as client:
        client.open()
        with contextlib.suppress(OSError):
            client.data(b"\x83\xa1i\x01\xa1m\xa3put\xa1a\xdb\x7f\xff\xff\xff")
            for _ in range(64):
                client.send(Frame.DATA, bytes(FRAME_LIMIT))

        assert set(client.drain()) <= {Frame.REFUSED}


def test_full_disk_refuses_writers_before_they_start(tmp_path: Path) -> None:
    with Gateway(tmp_path / "gateway", reserve_bytes=2**60) as gateway:
        with RawClient(gateway) as writer:
            refusal = writer.refusal()
        with RawClient(gateway) as reader:
            read = reader.hello(TunnelMode.READ)

    assert ("disk-full", 300) == (refusal.code, refusal.retry_seconds)
    assert (Frame.READY, b"") == read


def test_revoked_agent_loses_its_open_session(gateway: Gateway) -> None:
    with RawClient(gateway) as client:
        client.hello(TunnelMode.READ)
        gateway.door.error = NotAllowed("No longer welcome.")
        try:
            frame, payload = client.receive()
        finally:
            gateway.door.error = None

    assert (Frame.REFUSED, True) == (frame, b"not-allowed" in payload)


def test_what_a_session_wrote_is_judged_although_its_host_is_welcome_no_more(gateway: Gateway) -> None:
    with RawClient(gateway) as client:
        client.hello(TunnelMode.WRITE)
        gateway.written.clear()  # it is told before each session, too
        gateway.door.error = NotAllowed("No longer welcome.")
        try:
            client.receive()
            wait_until(lambda: gateway.written, 20, "what it wrote to be judged")
        finally:
            gateway.door.error = None

    assert ["agt_test"] == gateway.written


def test_url_of_the_repository_is_the_same_for_all() -> None:
    assert URL == "ssh://appliance/./repository"
