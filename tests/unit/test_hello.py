"""The ClientHello parser, on real hellos and on garbage."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.hello import NotTlsError, server_name


def hello(name: str | None) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if name is None:
        context.verify_mode = ssl.CERT_NONE
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


def test_server_name_is_found() -> None:
    assert "agent.saveos.internal" == server_name(hello("agent.saveos.internal"))


def test_server_name_of_a_hello_without_one_is_empty() -> None:
    assert "" == server_name(hello(None))


def test_server_name_of_each_beginning_waits_for_more() -> None:
    whole = hello("agent.saveos.internal")

    assert {None} == {server_name(whole[:size]) for size in range(1, len(whole))}


def test_server_name_over_split_records_is_found() -> None:
    whole = hello("tunnel.saveos.internal")
    body = whole[5:]
    parts = [body[:40], body[40:]]
    split = b"".join(whole[:3] + len(part).to_bytes(2, "big") + part for part in parts)

    assert "tunnel.saveos.internal" == server_name(split)


def test_server_name_of_plain_http_is_refused() -> None:
    with pytest.raises(NotTlsError):
        server_name(b"GET / HTTP/1.1\r\n")


@given(st.binary(min_size=1, max_size=600))
def test_server_name_of_garbage_ends_in_an_answer(garbage: bytes) -> None:
    try:
        name = server_name(b"\x16\x03\x01" + garbage)
    except NotTlsError:
        return
    assert name is None or isinstance(name, str)
