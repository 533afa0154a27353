"""Whatever is thrown at the port: a clear answer, bounded memory, a living process."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.appliance import Appliance


def resident_bytes(appliance: Appliance) -> int:
    assert appliance.process is not None
    pages = Path(f"/proc/{appliance.process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def send_raw(appliance: Appliance, payload: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=20) as connection:
        connection.sendall(payload)
        connection.settimeout(20)
        received = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


def test_request_line_without_end_is_explained(shared_appliance: Appliance) -> None:
    answer = shared_appliance.call("GET", "/api/v1/agents?search=" + "a" * 70_000)

    assert 400 == answer.status
    assert ("application/problem+json", "invalid-request") == (answer.headers["content-type"], answer.body["code"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"hostname": 5}', 400),
        (b'{"hostname": ""}', 400),
        (b'{"hostname": "' + b"a" * 300 + b'"}', 400),
        (b'{"hostname": "a b"}', 400),
        (b'{"hostname": "ok", "platform": "amiga"}', 400),
        (b"\xff\xfe\x00", 400),
        (b"", 400),
        (b"[" * 100_000, 400),
    ],
)
def test_provision_with_a_bad_body_is_explained(shared_appliance: Appliance, body: bytes, status: int) -> None:
    answer = shared_appliance.call("POST", "/api/v1/agents/provision", body)

    assert status == answer.status
    assert "application/problem+json" in answer.headers["content-type"]
    assert {"title", "status", "detail", "code"} <= set(answer.body)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/agents/nobody",
        "/api/v1/jobs/../../etc/passwd",
        "/api/v1/jobs/%2e%2e%2fsecret",
        "/api/v1/backup/agt_0/snapshots",
        "/api/v1/unknown",
        "/assets/../../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/application.py",
        "/download/agent/linux?provisioning=prv_0",
    ],
)
def test_unknown_things_are_not_found(shared_appliance: Appliance, path: str) -> None:
    answer = shared_appliance.call("GET", path)

    assert 404 == answer.status
    assert "not-found" == answer.body["code"]


def test_body_of_a_gigabyte_is_refused_in_bounded_memory(shared_appliance: Appliance) -> None:
    before = resident_bytes(shared_appliance)
    head = (
        f"POST /api/v1/agents/provision HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shared_appliance.token}\r\n"
        "content-type: application/json\r\ncontent-length: 1073741824\r\n\r\n"
    ).encode()
    chunk = bytes(1 << 20)
    with shared_appliance.connect() as connection:
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            connection.sendall(head)
            for _ in range(1024):
                connection.sendall(chunk)
        with contextlib.suppress(OSError):
            answer = connection.recv(4096)
            assert b" 413 " in answer.split(b"\r\n")[0]

    assert resident_bytes(shared_appliance) - before < 64 * 1024**2
    shared_appliance.call("GET", "/health").expect(200)


def test_endless_head_is_refused_in_bounded_memory(shared_appliance: Appliance) -> None:
    before = resident_bytes(shared_appliance)
    with shared_appliance.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        for number in range(20_000):
            connection.sendall(b"x-%d: " % number + b"a" * 4000 + b"\r\n")

    assert resident_bytes(shared_appliance) - before < 64 * 1024**2
    shared_appliance.call("GET", "/health").expect(200)


@pytest.mark.parametrize(
    "payload", [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"\x00" * 2000, b"SSH-2.0-OpenSSH\r\n", b"\xff"]
)
def test_what_is_not_tls_is_told_so(shared_appliance: Appliance, payload: bytes) -> None:
    assert b"HTTPS only" in send_raw(shared_appliance, payload)


def test_garbage_inside_a_tls_record_ends_that_connection_alone(shared_appliance: Appliance) -> None:
    send_raw(shared_appliance, b"\x16\x03\x01\x02\x00" + os.urandom(512))

    shared_appliance.call("GET", "/health").expect(200)


def test_old_tls_is_refused(shared_appliance: Appliance) -> None:
    context = shared_appliance.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises((ssl.SSLError, OSError)):
        shared_appliance.connect(context=context)


def test_many_silent_connections_do_not_keep_others_out(shared_appliance: Appliance) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", shared_appliance.port)))

        shared_appliance.call("GET", "/health").expect(200)


def test_answers_carry_security_headers(shared_appliance: Appliance) -> None:
    headers = shared_appliance.call("GET", "/health").headers

    assert "nosniff" == headers["x-content-type-options"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_docs_load_nothing_from_another_host(shared_appliance: Appliance) -> None:
    page = shared_appliance.call("GET", "/docs").expect(200).decode()

    assert "/assets/swagger/swagger-ui-bundle.js" in page
    assert "https://" not in page.replace("https://spec.openapis.org", "")
    shared_appliance.call("GET", "/assets/swagger/swagger-ui-bundle.js").expect(200)
