"""Which addresses a host tries, which lists it believes, and that only its appliance is taken for its appliance."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from saveos.agent import addresses
from saveos.agent.addresses import Whereabouts
from saveos.agent.client import Client, trusting
from saveos.agent.failures import Failure
from saveos.agent.pump import TunnelFailed
from saveos.agent.settings import Config, Home, Known
from saveos.agent.tunnel import TunnelSettings, connect
from saveos.certificates import issuance
from saveos.certificates.authority import key_pem, open_authority, pem_of
from saveos.protocol import (
    ADDRESSES_LIMIT,
    AGENT_SERVER_NAME,
    AGENT_URI,
    TUNNEL_SERVER_NAME,
    AgentId,
    HeartbeatAnswer,
    is_address,
)
from tests.support.host import certificate_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.certificates.authority import Authority

ENROLLED = "192.0.2.1:8000"
TOLD = ("192.0.2.1:8000", "192.0.2.2:8000", "new.example.org:8001")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "agent" / "config.json")
    home.prepare()
    return home


@pytest.fixture
def config() -> Config:
    return Config(addresses=(ENROLLED,), agent_id=AgentId("agt_1"), hostname="host", recovery_public_key="")


def known(home: Home, config: Config, authority: Authority) -> None:
    """Give the host an identity of this authority."""
    key, csr = certificate_request()
    issued = issuance.sign_agent(authority, csr, AgentId("agt_1"), timedelta(days=1))
    folder = home.credentials(config.credentials)
    folder.mkdir(parents=True)
    (folder / "agent.key").write_bytes(key_pem(key))
    (folder / "agent.pem").write_text(issued.chain_pem)
    (folder / "token").write_text("token")
    home.root.write_text(authority.root_pem)


@pytest.mark.parametrize(
    "text", ["a:1", "192.0.2.1:8000", "[2001:db8::1]:65535", "new-1.example.org:443", f"{'x' * 245}:8000"]
)
def test_address_is_one(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:-1",
        "a:1\n",
        "a b:1",
        "2001:db8::1",
        "http://a:1",
        "a:1/x",
        "-a:1",
        "é:1",
    ],
)
def test_address_is_none(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize("text", [f"{'x' * 246}:1", "[a]:1", "a:\N{ARABIC-INDIC DIGIT ONE}"])
def test_address_that_nearly_is_one_is_none(text: str) -> None:
    assert not is_address(text)


def test_order_is_what_answered_then_the_list_then_the_enrolment(home: Home, config: Config) -> None:
    addresses.keep(home, TOLD[1:], 7, TOLD[2])

    assert (TOLD[2], TOLD[1], ENROLLED) == home.order(config)
    assert 0o600 == home.addresses.stat().st_mode & 0o777
    assert (ENROLLED,) == home.order(msgspec.structs.replace(config, learns_addresses=False))


@pytest.mark.parametrize("told", [(), ("", "nonsense", "0:0", "a b:1"), ("x" * 300 + ":1",)])
def test_list_that_is_empty_or_absurd_changes_nothing(home: Home, config: Config, told: tuple[str, ...]) -> None:
    addresses.keep(home, TOLD, 7, TOLD[1])

    addresses.keep(home, told, 8, TOLD[1])

    assert Known(told=TOLD, serial=7, at=TOLD[1]) == home.known()
    assert (TOLD[1], ENROLLED, TOLD[2]) == home.order(config)


def test_older_list_is_not_taken_but_the_one_of_the_same_serial_is(home: Home) -> None:
    addresses.keep(home, TOLD, 7, TOLD[0])

    older = addresses.keep(home, ["192.0.2.9:1"], 6, TOLD[0])
    same = addresses.keep(home, ["192.0.2.9:1"], 7, TOLD[0])

    assert (TOLD, ("192.0.2.9:1",)) == (older.told, same.told)


def test_long_list_is_cut_and_doubles_count_once(home: Home) -> None:
    told = [f"192.0.2.{number // 2}:8000" for number in range(200)]

    assert ADDRESSES_LIMIT == len(addresses.keep(home, told, 1, ENROLLED).told)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"told": 5}', b"\xff"])
def test_file_that_cannot_be_read_leaves_the_enrolment(home: Home, config: Config, content: bytes) -> None:
    home.addresses.write_bytes(content)

    assert (ENROLLED,) == home.order(config)


def test_former_appliance_is_left_and_tried_last(home: Home, config: Config, authority: Authority) -> None:
    known(home, config, authority)
    addresses.keep(home, TOLD, 7, TOLD[0])
    whereabouts = Whereabouts(home)
    client = whereabouts.client(config)
    client.at = TOLD[0]

    with pytest.raises(Failure) as failure:
        whereabouts.heard(config, client, HeartbeatAnswer(addresses=("192.0.2.9:1",), addresses_serial=6))

    assert "former-appliance" == failure.value.code
    assert (*TOLD[1:], TOLD[0]) == whereabouts.client(config).addresses
    assert TOLD == home.known().told


def test_appliance_that_says_no_serial_is_an_old_one_and_served(
    home: Home, config: Config, authority: Authority
) -> None:
    known(home, config, authority)
    addresses.keep(home, TOLD, 7, TOLD[0])
    whereabouts = Whereabouts(home)
    client = whereabouts.client(config)
    client.at = TOLD[0]

    assert not whereabouts.heard(config, client, HeartbeatAnswer())
    assert Known(told=TOLD, serial=7, at=TOLD[0]) == home.known()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "authority")


def server_of(authority: Authority, purpose: x509.ObjectIdentifier, names: list[x509.GeneralName], folder: Path) -> str:
    """Serve TLS with a certificate that the appliance's own authority signed; return where."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = issuance._sign_leaf(
        authority, key.public_key(), "server", x509.SubjectAlternativeName(names), purpose, timedelta(days=1)
    )
    (folder / "server.pem").write_text(pem_of(leaf, authority.intermediate.certificate))
    (folder / "server.key").write_bytes(key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(listener: socket.socket) -> None:
        while True:
            raw, _peer = listener.accept()
            try:
                with context.wrap_socket(raw, server_side=True) as wrapped:
                    wrapped.recv(1)
            except OSError:
                raw.close()

    threading.Thread(target=serve, args=(listener,), daemon=True).start()
    return f"127.0.0.1:{listener.getsockname()[1]}"


def by_client(home: Home, _config: Config, address: str) -> None:
    client = Client((address,), trusting(home.root), AGENT_SERVER_NAME)
    try:
        client._open()
    finally:
        client.close()
    assert address == client.at


def by_tunnel(home: Home, config: Config, address: str) -> None:
    folder = home.credentials(config.credentials)
    connect(
        TunnelSettings(
            addresses=(address,),
            root_certificate_path=str(home.root),
            certificate_path=str(folder / "agent.pem"),
            key_path=str(folder / "agent.key"),
            token_path=str(folder / "token"),
        )
    ).close()


both = pytest.mark.parametrize("dial", [by_client, by_tunnel])
NAMES: list[x509.GeneralName] = [x509.DNSName(AGENT_SERVER_NAME), x509.DNSName(TUNNEL_SERVER_NAME)]
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
HOST: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{AGENT_URI}agt_1")]


@both
def test_server_of_the_appliance_is_taken_at_any_address(
    dial: Callable[[Home, Config, str], None], home: Home, config: Config, authority: Authority, tmp_path: Path
) -> None:
    known(home, config, authority)

    dial(home, config, server_of(authority, SERVER, NAMES, tmp_path))


@both
@pytest.mark.parametrize(
    ("purpose", "names"),
    [(CLIENT, HOST), (CLIENT, NAMES), (SERVER, HOST), (SERVER, [x509.DNSName("127.0.0.1")])],
    ids=["a host's", "purpose alone is wrong", "name alone is wrong", "the address for a name"],
)
def test_other_certificate_of_the_same_authority_is_no_server(
    dial: Callable[[Home, Config, str], None],
    purpose: x509.ObjectIdentifier,
    names: list[x509.GeneralName],
    home: Home,
    config: Config,
    authority: Authority,
    tmp_path: Path,
) -> None:
    known(home, config, authority)
    address = server_of(authority, purpose, names, tmp_path)

    with pytest.raises((OSError, TunnelFailed), match="ertificate"):
        dial(home, config, address)


class Appliance:
    """Answers `status` as an appliance would, by real TLS; `known` says whether the host is one of its own."""

    def __init__(self, authority: Authority, folder: Path, *, is_known: bool = True) -> None:
        """Serve."""
        folder.mkdir()
        issuance.ensure_server_certificate(authority, [], timedelta(days=1))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.server_chain_path, authority.server_key_path)
        self._status, self._body = (
            ("200 OK", b'{"agent_id":"agt_1","hostname":"host","state":"ready"}')
            if is_known
            else ("401 Unauthorized", b'{"code":"not-authenticated","detail":"unknown"}')
        )
        self._context, self._listener = context, socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            raw, _peer = self._listener.accept()
            with self._context.wrap_socket(raw, server_side=True) as wrapped:
                wrapped.recv(65536)
                self.asked += 1
                head = f"HTTP/1.1 {self._status}\r\ncontent-length: {len(self._body)}\r\nconnection: close\r\n\r\n"
                wrapped.sendall(head.encode() + self._body)


def answered(whereabouts: Whereabouts, config: Config, at: str, told: tuple[str, ...], *, moved: bool = False) -> bool:
    """Let a heartbeat be answered at an address with this list; return whether the host goes elsewhere."""
    client = whereabouts.client(config)
    client.at = at
    answer = HeartbeatAnswer(addresses=told, addresses_serial=7, has_moved=moved)
    return whereabouts.heard(config, client, answer)


def test_host_sticks_to_what_answers_and_returns_to_the_better_one_later(
    home: Home, config: Config, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(home, config, authority)
    better = Appliance(authority, tmp_path / "better")
    told = (better.address, "192.0.2.2:8000")
    whereabouts = Whereabouts(home)

    assert not answered(whereabouts, config, told[1], told)
    assert (told[1], told[0]) == whereabouts.client(config).addresses[:2]
    assert 0 == better.asked
    later = Whereabouts(home)
    monkeypatch.setattr(later, "_look_at", 0.0)  # as if the time had passed

    assert answered(later, config, told[1], told)
    assert told[0] == later.client(config).addresses[0]


def test_host_of_an_appliance_that_has_moved_looks_there_at_once_but_goes_only_where_it_is_known(
    home: Home, config: Config, authority: Authority, tmp_path: Path
) -> None:
    known(home, config, authority)
    new, stranger = Appliance(authority, tmp_path / "new"), Appliance(authority, tmp_path / "old", is_known=False)
    whereabouts = Whereabouts(home)

    assert not answered(whereabouts, config, ENROLLED, (stranger.address, ENROLLED), moved=True)
    assert not answered(whereabouts, config, ENROLLED, (stranger.address, ENROLLED), moved=True)
    assert (1, ENROLLED) == (stranger.asked, whereabouts.client(config).addresses[0])
    assert answered(whereabouts, config, ENROLLED, (new.address, ENROLLED), moved=True)
    assert new.address == whereabouts.client(config).addresses[0]
