"""What the agent's executable carries: Borg and the agent, nothing of the appliance."""

from __future__ import annotations

import pkgutil
import subprocess

import pytest
from PyInstaller.archive.readers import CArchiveReader

import saveos
from tests.support.executable import ready_base

AGENT_ROOMS = {"agent", "protocol", "protocol_listing"}
FOREIGN = {
    "apscheduler",
    "boto3",
    "huey",
    "litestar",
    "nicegui",
    "pytest",
    "sqlite3",
    "sqlite_utils",
    "tkinter",
    "uvicorn",
}
SIZE_LIMIT_BYTES = 20_000_000


@pytest.fixture(scope="module")
def base():
    return ready_base()


@pytest.fixture(scope="module")
def modules(base):
    return set(CArchiveReader(str(base)).open_embedded_archive("PYZ.pyz").toc)


@pytest.mark.slow
def test_frozen_agent_has_no_room_of_the_appliance(modules):
    rooms = {room.name for room in pkgutil.iter_modules(saveos.__path__)} - AGENT_ROOMS

    assert {name for name in modules if name.split(".")[0] in FOREIGN} == set()
    assert {
        name
        for name in modules
        if name.split(".")[:1] == ["saveos"] and name.split(".")[1:2] and name.split(".")[1] in rooms
    } == set()


@pytest.mark.slow
def test_frozen_agent_has_every_module_of_its_own(modules):
    own = {
        found.name
        for found in pkgutil.walk_packages(saveos.__path__, "saveos.")
        if found.name.startswith("saveos.agent.")
    }

    assert own - modules - {"saveos.agent.__main__"} == set()


@pytest.mark.slow
def test_frozen_agent_stays_small(base):
    assert base.stat().st_size < SIZE_LIMIT_BYTES


@pytest.mark.slow
def test_frozen_agent_runs_without_the_environment_of_its_builder(base, tmp_path):
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}

    said = subprocess.run([base, "--version"], env=plain, capture_output=True, text=True, check=True)

    assert saveos.__version__ in said.stdout
