"""The appliance's names and language changed while it serves, seen by those who connect."""

from __future__ import annotations

import socket
import ssl
import tomllib
from typing import TYPE_CHECKING

import pytest

from saveos.installers import stamp
from tests.support.agent import put_base
from tests.support.appliance import Appliance
from tests.support.host import WireHost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/api/v1/settings"
NAME = "backup.example.org"
KEPT = "# mine\nwriters = 3  # enough\n"


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "saveos.toml").write_text(KEPT)
    with Appliance.started(tmp_path) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


def answers_to(appliance: Appliance, name: str) -> bool:
    """Return whether a client that knows the appliance by this name takes its certificate."""
    with socket.create_connection(("127.0.0.1", appliance.port), timeout=20) as raw:
        try:
            appliance.context().wrap_socket(raw, server_hostname=name).close()
        except ssl.SSLCertVerificationError:
            return False
    return True


def test_name_is_certified_at_once_and_used_and_taken_back(appliance: Appliance, tmp_path: Path) -> None:
    assert not answers_to(appliance, NAME)
    host = WireHost.enrolled(appliance, tmp_path / "host")
    host.make_ready()
    pin = appliance.call("POST", "/api/v1/agents/provision", {"hostname": "a"}).expect(201)["command"]

    shown = appliance.call("PUT", PATH, {"names": [NAME, "192.0.2.10"]}).expect(200)

    assert answers_to(appliance, NAME)
    assert answers_to(appliance, "192.0.2.10")
    assert [f"{NAME}:{appliance.port}", f"192.0.2.10:{appliance.port}"] == shown["addresses"][:2]
    assert {NAME, "192.0.2.10"} <= set(shown["certificate_names"])
    host.heartbeat()  # hosts are known as before
    made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": "b"}).expect(201)
    assert made["download_url"].startswith(f"https://{NAME}:{appliance.port}/")
    assert pin.partition("sha256//")[2][:40] == made["command"].partition("sha256//")[2][:40]  # the key stays
    content = appliance.call("GET", f"/download/agent/linux?provisioning={made['provisioning']['id']}").expect(200)
    (tmp_path / "agent").write_bytes(content)
    stamped = stamp.read_back(tmp_path / "agent")
    assert stamped is not None
    assert stamped.addresses[0] == f"{NAME}:{appliance.port}"
    text = (appliance.data / "saveos.toml").read_text()
    assert text.startswith(KEPT)
    assert {"writers": 3, "names": [NAME, "192.0.2.10"]} == tomllib.loads(text)

    appliance.call("PUT", PATH, {"names": []}).expect(200)

    assert not answers_to(appliance, NAME)
    assert answers_to(appliance, "localhost")


def test_names_and_language_outlive_a_restart(appliance: Appliance) -> None:
    appliance.call("PUT", PATH, {"names": [NAME], "language": "fr"}).expect(200)
    assert b"Se connecter" in appliance.call("GET", "/login", token="").expect(200)

    appliance.stop()
    appliance.start()

    assert answers_to(appliance, NAME)
    assert b"Se connecter" in appliance.call("GET", "/login", token="").expect(200)
    assert appliance.ready["address"].startswith(f"https://{NAME}:")


@pytest.mark.parametrize("name", ["", "no name!", "a b", "1.2.3", "-x", "x..y", "x" * 64 + "\0", "999.1.1.1"])
def test_name_that_is_none_changes_nothing(appliance: Appliance, name: str) -> None:
    answer = appliance.call("PUT", PATH, {"names": [name]})

    assert (400, "invalid-request") == (answer.status, answer.body["code"])
    assert KEPT == (appliance.data / "saveos.toml").read_text()


def test_name_of_the_command_line_is_fixed_there(tmp_path: Path) -> None:
    with Appliance.started(tmp_path, "--name", NAME) as appliance:
        appliance.set_up()

        answer = appliance.call("PUT", PATH, {"names": ["other.example.org"]})

        assert (409, "conflict") == (answer.status, answer.body["code"])
        assert answers_to(appliance, NAME)
        assert not (appliance.data / "saveos.toml").exists()


def test_root_certificate_is_handed_out(appliance: Appliance) -> None:
    content = appliance.call("GET", "/download/root.pem").expect(200)

    assert content == (appliance.data / "authority" / "root.pem").read_bytes()
    assert appliance.call("GET", "/download/root.pem", token="").status == 401
