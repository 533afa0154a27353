"""Who gets in: set-up, sign-in, enrolment, credentials of hosts, revocation."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import ssl
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import EMAIL, PASSWORD, Appliance, wait_until
from tests.support.host import WireHost, certificate_request, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("identity")) as started:
        yield started


@pytest.fixture(scope="module")
def ready(appliance: Appliance) -> Appliance:
    if not appliance.token:
        appliance.set_up()
    return appliance


def audit(appliance: Appliance, action: str) -> list[dict[str, str]]:
    with sqlite3.connect(appliance.data / "saveos.db") as connection:
        rows = connection.execute("SELECT actor, target, detail_json FROM audit WHERE action = ?", (action,))
        return [{"actor": actor, "target": target, **json.loads(detail)} for actor, target, detail in rows]


def assert_audited(appliance: Appliance, action: str, code: str) -> None:
    """Fail unless an entry comes; the answer does not wait for it."""
    wait_until(
        lambda: code in {entry["code"] for entry in audit(appliance, action)}, 20, f"{code} to be in the audit log"
    )


def test_setup_with_a_wrong_token_is_refused(appliance: Appliance) -> None:
    body = {"setup_token": "saveos_setup_000000000000_" + "a" * 43, "email": EMAIL, "password": PASSWORD}

    answer = appliance.call("POST", "/api/v1/setup", body, token="")

    assert (401, "not-authenticated") == (answer.status, answer.body["code"])


def test_setup_twice_is_refused(ready: Appliance) -> None:
    body = {"setup_token": ready.ready["setup"].split("#")[1], "email": "b@example.org", "password": PASSWORD}

    answer = ready.call("POST", "/api/v1/setup", body, token="")

    assert (401, "token-spent") == (answer.status, answer.body["code"])


def test_recovery_code_is_stored_nowhere(ready: Appliance) -> None:
    needles = [ready.recovery_code.encode(), ready.recovery_code.replace("-", "").encode(), PASSWORD.encode()]

    files = [path for path in ready.data.parent.rglob("*") if path.is_file()]

    assert files
    assert not [path for path in files for needle in needles if needle in path.read_bytes()]


def test_data_folder_is_readable_by_its_owner_alone(ready: Appliance) -> None:
    loose = [path for path in ready.data.rglob("*") if path.stat().st_mode & 0o077]

    assert [] == loose


def test_sign_in_with_a_wrong_password_is_slowed_down(ready: Appliance) -> None:
    body = {"email": "nobody@example.org", "password": "wrong wrong"}

    statuses = [ready.call("POST", "/api/v1/session", body, token="").status for _ in range(7)]

    assert 401 == statuses[0]
    assert 429 == statuses[-1]
    with sqlite3.connect(ready.data / "saveos.db") as connection:  # the address must not stay blocked for others
        connection.execute("DELETE FROM throttles")


def test_sign_out_ends_the_session_everywhere(ready: Appliance) -> None:
    answer = ready.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD}, token="")
    cookie = {"cookie": answer.headers["set-cookie"].split(";")[0]}
    ready.call("GET", "/api/v1/session", headers=cookie, token="").expect(200)

    ready.call("DELETE", "/api/v1/session", headers=cookie, token="").expect(200)

    assert 401 == ready.call("GET", "/api/v1/session", headers=cookie, token="").status


def test_change_sent_by_another_site_is_refused(ready: Appliance) -> None:
    answer = ready.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD}, token="")
    headers = {"cookie": answer.headers["set-cookie"].split(";")[0], "origin": "https://evil.example"}

    refused = ready.call("POST", "/api/v1/tokens", {"name": "x"}, headers=headers, token="")

    assert (403, "not-allowed") == (refused.status, refused.body["code"])


def test_enrol_with_a_spent_token_is_refused_and_audited(ready: Appliance, tmp_path: Path) -> None:
    made = ready.call("POST", "/api/v1/agents/provision", {"hostname": "spent"}).expect(201)
    WireHost.enrolled_with(ready, tmp_path / "one", made["token"])

    answer = register(ready, made["token"], certificate_request()[1])

    assert (401, "token-spent") == (answer.status, answer.body["code"])
    assert_audited(ready, "enrolment-refused", "token-spent")


def test_enrol_with_an_expired_token_is_refused(ready: Appliance) -> None:
    body = {"hostname": "late", "expires_hours": 1}
    made = ready.call("POST", "/api/v1/agents/provision", body).expect(201)
    with sqlite3.connect(ready.data / "saveos.db") as connection:
        past = "2020-01-01T00:00:00.000000Z"
        connection.execute("UPDATE provisionings SET expires_at = ? WHERE hostname = 'late'", (past,))

    answer = register(ready, made["token"], certificate_request()[1])

    assert (401, "token-expired") == (answer.status, answer.body["code"])
    assert_audited(ready, "enrolment-refused", "token-expired")


def test_enrol_with_a_foreign_token_is_refused(ready: Appliance) -> None:
    answer = register(ready, "saveos_enrol_" + "0" * 12 + "_" + "a" * 43, certificate_request()[1])

    assert (401, "not-authenticated") == (answer.status, answer.body["code"])
    assert_audited(ready, "enrolment-refused", "not-authenticated")


def test_enrol_with_a_broken_request_spends_nothing(ready: Appliance) -> None:
    made = ready.call("POST", "/api/v1/agents/provision", {"hostname": "clumsy"}).expect(201)

    refused = register(ready, made["token"], "-----BEGIN CERTIFICATE REQUEST-----\nnonsense\n")

    assert 400 == refused.status
    register(ready, made["token"], certificate_request()[1]).expect(201)


def test_each_half_of_an_agents_identity_alone_is_refused_and_audited(ready: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(ready, tmp_path / "host")
    other = WireHost.enrolled(ready, tmp_path / "other")
    host.heartbeat()
    before = len(audit(ready, "credentials-refused"))

    answers = [
        host.call("POST", "/api/v1/agents/heartbeat", {}, token=""),  # the certificate alone
        ready.call("POST", "/api/v1/agents/heartbeat", {}, token=host.token),  # the token alone
        host.call("POST", "/api/v1/agents/heartbeat", {}, token=other.token),  # another agent's token
        host.call("POST", "/api/v1/agents/heartbeat", {}, token=ready.token),  # a person's token
    ]

    assert [401] * 4 == [answer.status for answer in answers]
    wait_until(lambda: before + 3 <= len(audit(ready, "credentials-refused")), 20, "the refusals to be audited")


def test_agent_name_without_a_certificate_ends_the_handshake(ready: Appliance) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
        ready.call("GET", "/health", name="agent.saveos.internal")


def test_browser_is_never_asked_for_a_certificate(ready: Appliance) -> None:
    with ready.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert b"200 OK" in answer


def test_revoke_takes_effect_on_an_open_connection(ready: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(ready, tmp_path / "revoked")
    context = ready.context(host.folder / "agent.pem", host.folder / "agent.key")
    headers = {"authorization": f"Bearer {host.token}", "content-type": "application/json"}
    connection = http.client.HTTPSConnection("localhost", ready.port)
    connection.sock = ready.connect("agent.saveos.internal", context)
    with contextlib.closing(connection):
        connection.request("POST", "/api/v1/agents/heartbeat", "{}", headers)
        first = connection.getresponse()
        first.read()
        ready.call("DELETE", f"/api/v1/agents/{host.id}").expect(200)
        connection.request("POST", "/api/v1/agents/heartbeat", "{}", headers)
        second = connection.getresponse()
        problem = json.loads(second.read())

    assert (200, 401) == (first.status, second.status)
    assert "certificate-revoked" == problem["code"]


def test_revoke_by_the_command_line_reaches_the_serving_process(ready: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(ready, tmp_path / "shell", hostname="revoked-by-shell")
    host.heartbeat()

    assert 0 == ready.cli("agent", "revoke", "revoked-by-shell").returncode

    assert "certificate-revoked" == host.call("POST", "/api/v1/agents/heartbeat", {}).body["code"]


def test_renew_gives_a_certificate_that_works_with_its_own_token_only(ready: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(ready, tmp_path / "renewing")
    old_token = host.token
    key, csr = certificate_request()

    renewal = host.call("POST", "/api/v1/agents/renew", {"csr": csr}).expect(200)
    host.heartbeat()  # the former pair still works for a while
    host.keep(key, renewal["certificate"])

    assert 401 == host.call("POST", "/api/v1/agents/heartbeat", {}, token=old_token).status
    host.call("POST", "/api/v1/agents/heartbeat", {}, token=renewal["agent_token"]).expect(200)


def test_second_appliance_on_the_same_folder_is_refused(ready: Appliance) -> None:
    answer = ready.cli("serve", "--port", "0")

    assert 1 == answer.returncode
    assert "Another SaveOS" in answer.stderr


def test_flood_of_refusals_does_not_flood_the_audit_log(ready: Appliance) -> None:
    headers = {"authorization": "Bearer saveos_agent_" + "0" * 12 + "_" + "a" * 43}
    with contextlib.closing(http.client.HTTPSConnection("localhost", ready.port)) as connection:
        connection.sock = ready.connect()
        for _ in range(150):
            connection.request("GET", "/api/v1/agents/self", headers=headers)
            connection.getresponse().read()

    assert len(audit(ready, "credentials-refused")) < 130
