"""Rights to enrol, one and many: what they hold, how their executables are handed out, and taking them back."""

from __future__ import annotations

import csv
import io
import socket
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from saveos.installers import stamp
from tests.support.agent import database, put_base
from tests.support.appliance import EMAIL, PASSWORD, Appliance, wait_until
from tests.support.host import WireHost, certificate_request, register

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = "/api/v1/agents/provision/batch"
LARGE = 40_000_000  # more than the sockets between take at once


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("provisioning")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


def make(appliance: Appliance, *hostnames: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = appliance.call("POST", BATCH, {"hostnames": list(hostnames), **more}).expect(201)
    return made


def downloaded(appliance: Appliance) -> dict[str, bool]:
    items = appliance.call("GET", "/api/v1/agents/provisionings").expect(200)["items"]
    return {item["hostname"]: item["downloaded_at"] is not None for item in items}


def unpack(content: bytes, folder: Path) -> dict[str, stamp.Stamp]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
        names = archive.namelist()
    stamps = {name: stamp.read_back(folder / name) for name in names}
    return {name: found for name, found in stamps.items() if found is not None}


def test_batch_as_zip_enrols_each_host_with_its_own_file_once(appliance: Appliance, tmp_path: Path) -> None:
    made = make(appliance, "zip-02", "zip-01")
    path = made["archive_url"].partition(f":{appliance.port}")[2]

    content = appliance.call("GET", path).expect(200)

    stamps = unpack(content, tmp_path / "out")
    assert ["zip-01/saveos-agent", "zip-02/saveos-agent"] == list(stamps)
    for name, found in stamps.items():
        assert found.hostname == name.partition("/")[0]
        host = WireHost.enrolled_with(appliance, tmp_path / found.hostname, found.token)
        assert found.hostname == host.enrolment["hostname"]
    shown = made["items"][0]["token"]  # dead since its executable was handed out instead
    assert 401 == register(appliance, shown, certificate_request()[1]).status
    assert "token-spent" == appliance.call("GET", path).body["code"]


def test_batch_as_zip_leaves_out_what_was_handed_out_before(appliance: Appliance, tmp_path: Path) -> None:
    made = make(appliance, "rest-01", "rest-02", "rest-03")
    first, second, _third = (item["provisioning"]["id"] for item in made["items"])
    appliance.call("GET", f"/download/agent/linux?provisioning={first}").expect(200)
    appliance.call("DELETE", f"/api/v1/agents/provisionings/{second}").expect(200)

    content = appliance.call("GET", f"/download/agents.zip?batch={made['batch_id']}").expect(200)

    assert ["rest-03/saveos-agent"] == list(unpack(content, tmp_path))


def test_zip_that_is_torn_gives_every_right_back(appliance: Appliance, tmp_path: Path) -> None:
    base = next((appliance.data / "bases").glob("saveos-agent-linux-*"))
    kept = base.read_bytes()
    made = make(appliance, "torn-01", "torn-02", "torn-03")
    path = f"/download/agents.zip?batch={made['batch_id']}"
    try:
        base.write_bytes(bytes(LARGE))
        connection = appliance.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {appliance.token}\r\n\r\n".encode()
        )
        assert connection.recv(100_000).startswith(b"HTTP/1.1 200")
        assert downloaded(appliance)["torn-03"]
        connection.close()
        wait_until(lambda: not downloaded(appliance)["torn-01"], 20, "the rights to come back")
    finally:
        base.write_bytes(kept)

    assert {False} == {is_gone for name, is_gone in downloaded(appliance).items() if name.startswith("torn")}
    assert len(unpack(appliance.call("GET", path).expect(200), tmp_path)) == 3


def test_list_of_a_batch_holds_no_secret_and_a_command_that_fetches(appliance: Appliance) -> None:
    made = make(appliance, "csv-b", "csv-a", expires_hours=48)

    answer = appliance.call("GET", f"/download/agents.csv?batch={made['batch_id']}")

    rows = list(csv.DictReader(io.StringIO(answer.expect(200).decode())))
    assert ["csv-a", "csv-b"] == [row["hostname"] for row in rows]
    assert answer.headers["content-type"].startswith("text/csv")
    by_name = {item["provisioning"]["hostname"]: item["provisioning"] for item in made["items"]}
    for row in rows:
        right = by_name[row["hostname"]]
        assert (right["id"], "linux") == (row["provisioning_id"], row["platform"])
        assert f"/download/agent/linux?provisioning={right['id']}" in row["command"]
        assert not row["command"].startswith(("=", "+", "-", "@"))
    assert not any(item["token"] in answer.body.decode() for item in made["items"])


@pytest.mark.parametrize(
    "body",
    [
        {"hostnames": []},
        {"hostnames": ["a", "A"]},
        {"hostnames": ["ok", "=cmd"]},
        {"hostnames": ["line\n"]},
        {"hostnames": [f"h{number}" for number in range(501)]},
    ],
)
def test_batch_with_a_wrong_list_makes_nothing(appliance: Appliance, body: dict[str, Any]) -> None:
    before = downloaded(appliance)

    answer = appliance.call("POST", BATCH, body)

    assert (400, "invalid-request") == (answer.status, answer.body["code"])
    assert before == downloaded(appliance)


def test_batch_of_five_hundred_is_made_at_once(appliance: Appliance) -> None:
    made = make(appliance, *(f"many-{number}" for number in range(500)))

    assert len({item["token"] for item in made["items"]}) == 500


def test_policy_of_a_right_becomes_the_hosts(appliance: Appliance, tmp_path: Path) -> None:
    with database(appliance) as connection:
        connection.execute(
            "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
            " compression, created_at) SELECT 'pol_other', tenant_id, 'Other', sources_json, excludes_json, schedule,"
            " retention_json, compression, created_at FROM policies WHERE is_default"
        )
    body = {"hostname": "under-other", "policy_id": "pol_other"}
    made = appliance.call("POST", "/api/v1/agents/provision", body).expect(201)

    host = WireHost.enrolled_with(appliance, tmp_path / "host", made["token"])

    shown = appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)
    assert "pol_other" == shown["policy_id"]
    refused = appliance.call("POST", BATCH, {"hostnames": ["x"], "policy_id": "pol_none"})
    assert (404, "not-found") == (refused.status, refused.body["code"])


def test_withdrawn_right_enrols_nobody(appliance: Appliance) -> None:
    made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": "gone"}).expect(201)
    path = f"/api/v1/agents/provisionings/{made['provisioning']['id']}"

    assert appliance.call("DELETE", path).expect(200)["withdrawn_at"]

    answer = register(appliance, made["token"], certificate_request()[1])
    assert (401, "token-expired") == (answer.status, answer.body["code"])
    assert "withdrawn" in answer.body["detail"]
    fetched = appliance.call("GET", f"/download/agent/linux?provisioning={made['provisioning']['id']}")
    assert (401, "token-expired") == (fetched.status, fetched.body["code"])


def test_right_that_was_used_cannot_be_withdrawn(appliance: Appliance, tmp_path: Path) -> None:
    made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": "used"}).expect(201)
    WireHost.enrolled_with(appliance, tmp_path / "used", made["token"])

    answer = appliance.call("DELETE", f"/api/v1/agents/provisionings/{made['provisioning']['id']}")

    assert (409, "conflict") == (answer.status, answer.body["code"])


def test_stranger_is_sent_on_to_the_very_page_after_signing_in(appliance: Appliance) -> None:
    answer = appliance.call("GET", "/downloads?provisioning=prv_1", token="")

    assert (303, "/login?next=/downloads%3Fprovisioning%3Dprv_1") == (answer.status, answer.headers["location"])
    page = appliance.call("GET", answer.headers["location"], token="").expect(200)
    assert b'data-next="/downloads?provisioning=prv_1"' in page
    assert appliance.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD}, token="").status == 201
