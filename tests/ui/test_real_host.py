"""The real agent on this machine, seen and steered from the dashboard: online, backed up, restored."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.protocol import Stamp
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.appliance import Appliance
    from tests.ui.conftest import Dashboard

pytestmark = pytest.mark.slow
HOST = "real-01"


def plant(folder: Path, name: str, megabytes: int) -> None:
    """Add some small files and a large one that does not compress."""
    grove = folder / name
    grove.mkdir(parents=True)
    for number in range(300):
        (grove / f"leaf {number}.txt").write_text(f"{name} {number}\n" * (number % 50))
    with (grove / "trunk.bin").open("wb") as trunk:
        for _ in range(megabytes):
            trunk.write(os.urandom(1_000_000))


def stamp_of(appliance: Appliance, folder: Path) -> Path:
    """Provision a host and return the file that tells its agent where to enrol."""
    made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": HOST}).expect(201)
    root = (appliance.data / "authority" / "root.pem").read_text()
    stamp = Stamp(addresses=(f"127.0.0.1:{appliance.port}",), root_certificate=root, token=made["token"], hostname=HOST)
    file = folder / "stamp.json"
    file.write_bytes(msgspec.json.encode(stamp))
    return file


def back_up_only(appliance: Appliance, tree: Path) -> None:
    """Give the default policy this tree as its only source."""
    with contextlib.closing(sqlite3.connect(appliance.data / "saveos.db", timeout=10)) as connection, connection:
        connection.execute("UPDATE policies SET sources_json = ?", (json.dumps([str(tree)]),))


@contextlib.contextmanager
def daemon(folder: Path, stamp: Path) -> Iterator[None]:
    """Enrol with the real agent and let it serve."""
    agent = [sys.executable, "-m", "saveos.agent", "--config", str(folder / "agent" / "config.json")]
    subprocess.run([*agent, "enrol", "--stamp", str(stamp)], check=True, timeout=120)
    with (folder / "agent.log").open("w") as log:
        process = subprocess.Popen([*agent, "daemon"], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def test_real_agent_is_seen_backs_up_on_a_click_and_restores(dashboard: Dashboard, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "restored"
    plant(tree, "first", 10)
    back_up_only(dashboard.appliance, tree)
    journey = dashboard.journey("real", host=HOST, target=str(target))
    journey.until("waiting")

    with daemon(tmp_path, stamp_of(dashboard.appliance, tmp_path)):
        journey.until("protected")
        plant(tree, "second", 90)
        journey.go_on()
        journey.end()

    assert differences(tree, target / tree.relative_to("/")) == []
