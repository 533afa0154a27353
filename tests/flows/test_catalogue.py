"""What a snapshot holds, from Borg's walk on the host to a person's folder: the real agent, Borg and appliance."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from saveos import config
from saveos.database.connection import Database
from saveos.identity.principals import Principal, system
from saveos.protocol import entry_path
from saveos.snapshots import catalogue
from saveos.snapshots.catalogue_model import CatalogueState, Entry
from saveos.tenants import users
from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.config import Settings


class Looker:
    """Looks into the catalogue as the dashboard does: by the verbs, in another process than the appliance's."""

    def __init__(self, appliance: Appliance) -> None:
        self.settings: Settings = config.load({"data": str(appliance.data)}, {})
        self.database = Database(self.settings.database)
        self.principal: Principal = system(users.default_tenant(self.database))

    def wait_indexed(self, snapshot_id: str) -> None:
        def is_indexed() -> bool:
            told = catalogue.state(self.database, self.settings, self.principal, snapshot_id=snapshot_id)
            return told.state is CatalogueState.INDEXED

        wait_until(is_indexed, 60, f"{snapshot_id} to be indexed")

    def walk(self, snapshot_id: str, path: str = "", **how: Any) -> dict[str, Entry]:
        """Return every entry below a path, by path, page by page."""
        found: dict[str, Entry] = {}
        after: str | None = ""
        while after is not None:
            page = catalogue.folder(
                self.database, self.settings, self.principal, snapshot_id, path, after=after, limit=7, **how
            )
            assert page.state is CatalogueState.INDEXED
            for entry in page.entries:
                found[entry.path] = entry
                if entry.kind == "folder":
                    found |= self.walk(snapshot_id, entry.path, **how)
            after = page.next_after
        return found


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("catalogue")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def looker(appliance: Appliance) -> Iterator[Looker]:
    looker = Looker(appliance)
    yield looker
    looker.database.close()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("host") / "tree"
    odd_tree.make(tree)
    return tree


@pytest.fixture(scope="module")
def snapshots(
    appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory, looker: Looker
) -> tuple[RealAgent, str, str, dict[str, tuple[int, int]]]:
    """A host with two indexed snapshots, before and after a day of work, and what its disk held at the first."""
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served")
    agent.start_daemon()
    try:
        before = _on_disk(tree)
        agent.first_backup()
        first = appliance.snapshots(agent.id)[0]["id"]
        looker.wait_indexed(first)
        odd_tree.change(tree)
        assert appliance.wait_for_job(agent.back_up())["state"] == "done"
        second = appliance.snapshots(agent.id)[0]["id"]
        looker.wait_indexed(second)
        yield agent, first, second, before
    finally:
        agent.stop()


def _on_disk(tree: Path) -> dict[str, tuple[int, int]]:
    """Size and mode of everything in a tree, by entry path; a folder's and a link's size is 0."""
    found = {}
    for folder, folders, names in os.walk(os.fsencode(tree)):
        for name in (*folders, *names):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            is_file = status.st_mode & 0o170000 == 0o100000
            found[entry_path(path.lstrip(b"/"))] = (status.st_size if is_file else 0, status.st_mode & 0o7777)
    return found


def test_folders_of_both_snapshots_are_what_the_disk_held(
    looker: Looker, tree: Path, snapshots: tuple[RealAgent, str, str, dict[str, tuple[int, int]]]
) -> None:
    _agent, first, second, before = snapshots
    top = entry_path(os.fsencode(tree.relative_to("/")))

    for snapshot, expected in ((first, before), (second, _on_disk(tree))):
        found = looker.walk(snapshot, top)
        shown = {path: (0 if entry.kind == "folder" else entry.size_bytes, entry.mode) for path, entry in found.items()}
        assert expected == shown
