"""Files out of snapshots, from a host that is online: whole, in part, packed, broken off."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from saveos.protocol import entry_path
from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Answer, Appliance
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("reading")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def proxy(appliance: Appliance) -> Iterator[Proxy]:
    proxy = Proxy(appliance.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("read") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture(scope="module")
def served(
    appliance: Appliance, proxy: Proxy, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealAgent]:
    """A host whose daemon serves and whose first backup is done."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served", address=proxy.address)
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


@pytest.fixture(scope="module")
def snapshot_id(served: RealAgent) -> str:
    return str(served.appliance.snapshots(served.id)[0]["id"])


def inside(path: Path | bytes) -> str:
    """Return how a snapshot names a path of this machine."""
    return entry_path((path if isinstance(path, bytes) else bytes(path)).lstrip(b"/"))


def download(
    appliance: Appliance, snapshot_id: str, path: str, method: str = "GET", more: str = "", **headers: str
) -> Answer:
    address = f"/api/v1/snapshots/{snapshot_id}/download?path={quote(path, safe='')}{more}"
    return appliance.call(method, address, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_file_of_an_online_host_comes_as_it_was(served: RealAgent, snapshot_id: str, tree: Path) -> None:
    answer = download(served.appliance, snapshot_id, inside(tree / "random.bin"))

    assert (tree / "random.bin").read_bytes() == answer.expect(200)
    assert "3000000" == answer.headers["content-length"]
    assert "attachment; filename=\"random.bin\"; filename*=UTF-8''random.bin" == answer.headers["content-disposition"]
