"""The appliance's own machine, enrolled by its real executable as a child process of the appliance."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from saveos.installers import own_host
from saveos.protocol import NOT_IN_BACKUPS
from tests.support.agent import back_up_only, stock_borg
from tests.support.appliance import Appliance, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/api/v1/agents/protect-appliance"

pytestmark = pytest.mark.skipif(own_host.may_serve(), reason="it would install a service on this machine")


@pytest.fixture
def appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with Appliance.started(tmp_path) as appliance:
        appliance.set_up()
        yield appliance


def protect(appliance: Appliance) -> dict[str, Any]:
    """Ask for it and return the job ended; nothing that could enrol may be left."""
    asked = appliance.call("POST", PATH).expect(202)
    job = appliance.wait_for_job(asked["job"]["id"])
    assert not (appliance.data / own_host.FILE).exists()
    return job


def rights(appliance: Appliance) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = appliance.call("GET", "/api/v1/agents/provisionings").expect(200)["items"]
    return items


def test_own_machine_is_enrolled_and_its_backup_leaves_the_repositories_out(
    appliance: Appliance, tmp_path: Path
) -> None:
    back_up_only(appliance, appliance.data)

    job = protect(appliance)

    assert job["state"] == "done", job
    agent = appliance.call("GET", "/api/v1/agents").expect(200)["items"][0]
    assert (own_host.hostname(), "ready") == (agent["hostname"], agent["state"])
    command = appliance.call("GET", PATH).expect(200)["command"]
    assert command in job["message"]
    config = tmp_path / "config" / "saveos"
    with subprocess.Popen(
        shlex.split(command.removeprefix("sudo ").replace(" install", " daemon")),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        try:
            wait_until(lambda: appliance.snapshots(agent["id"]), 90, "the first backup")
        finally:
            daemon.terminate()
    kept = next((appliance.data / "repositories").glob(f"*/{agent['id']}"))
    passphrase = (config / "passphrase").read_text().strip()
    listed = stock_borg(kept, passphrase, tmp_path / "stock", "list", "--short", f"::{snapshot(appliance, agent)}")
    names = listed.stdout.splitlines()
    inside = [name for name in names if f"{appliance.data}/repositories/".lstrip("/") in name]
    assert [f"{appliance.data}/repositories/{NOT_IN_BACKUPS}".lstrip("/")] == inside
    assert f"{appliance.data}/saveos.db".lstrip("/") in names


def snapshot(appliance: Appliance, agent: dict[str, Any]) -> str:
    return str(appliance.snapshots(agent["id"])[0]["archive"])


def test_machine_that_is_enrolled_already_says_so_and_its_right_is_taken_back(appliance: Appliance) -> None:
    assert protect(appliance)["state"] == "done"

    again = protect(appliance)

    assert ("failed", "already-enrolled", 1) == (again["state"], again["error_code"], again["attempts"])
    assert "enrolled already" in again["message"]
    assert rights(appliance)[0]["withdrawn_at"]
    assert len(appliance.call("GET", "/api/v1/agents").expect(200)["items"]) == 1


def test_executable_that_fails_is_explained_and_leaves_nothing(appliance: Appliance) -> None:
    base = next((appliance.data / "bases").glob("saveos-agent-linux-*"))
    base.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")

    job = protect(appliance)

    assert ("failed", "host-error") == (job["state"], job["error_code"])
    assert "no such luck" in job["message"]
    assert rights(appliance)[0]["withdrawn_at"]


def test_protection_is_asked_for_by_those_who_may_provision(appliance: Appliance) -> None:
    assert 401 == appliance.call("POST", PATH, token="").status


def test_executable_that_a_killed_appliance_left_is_gone_after_the_next_start(appliance: Appliance) -> None:
    left = appliance.data / own_host.FILE
    appliance.kill()
    left.write_bytes(b"an executable with a token in it")

    appliance.start()

    assert not left.exists()
