"""What a snapshot holds, from Borg's walk on the host to a person's folder: the real agent, Borg and appliance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

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

    Indexed = tuple[RealAgent, str, str, dict[str, tuple[int, int]]]


class Looker:
    """Looks into the catalogue as the dashboard does: by the verbs, in another process than the appliance's."""

    def __init__(self, appliance: Appliance) -> None:
        self.settings: Settings = config.load({"data": str(appliance.data)}, {})
        self.database = Database(self.settings.database)
        self.principal: Principal = system(users.default_tenant(self.database))

    def state(self, snapshot_id: str) -> str:
        return catalogue.state(self.database, self.settings, self.principal, snapshot_id=snapshot_id).state.value

    def wait_indexed(self, snapshot_id: str) -> None:
        wait_until(lambda: self.state(snapshot_id) == "indexed", 60, f"{snapshot_id} to be indexed")

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
) -> Iterator[Indexed]:
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


def test_folders_of_both_snapshots_are_what_the_disk_held(looker: Looker, tree: Path, snapshots: Indexed) -> None:
    _agent, first, second, before = snapshots
    top = entry_path(os.fsencode(tree.relative_to("/")))

    for snapshot, expected in ((first, before), (second, _on_disk(tree))):
        found = looker.walk(snapshot, top)
        shown = {path: (0 if entry.kind == "folder" else entry.size_bytes, entry.mode) for path, entry in found.items()}
        assert expected == shown


def test_search_finds_names_of_any_bytes_and_what_is_gone(appliance: Appliance, tree: Path, snapshots: Indexed) -> None:
    agent, first, second, _before = snapshots
    top = entry_path(os.fsencode(tree.relative_to("/")))
    asked = {"日本語": (f"{top}/ünïcödé/日本語", first), "UTF8": (f"{top}/not-utf8-\\xff\\xfe", second), "down": None}

    for text, expected in asked.items():
        page = appliance.call("GET", f"/api/v1/search?{urlencode({'text': text})}").expect(200)
        found = [(hit["path"], hit["newest_snapshot_id"]) for hit in page["hits"]]
        assert ([expected] if expected else []) == found
    gone = appliance.call("GET", f"/api/v1/search?{urlencode({'text': '日本', 'scope': 'deleted'})}").expect(200)
    assert [(agent.id, False)] == [(hit["agent_id"], hit["is_in_latest"]) for hit in gone["hits"]]
    assert [] == appliance.call("GET", f"/api/v1/search?{urlencode({'text': '日本', 'scope': 'latest'})}").body["hits"]


def test_day_of_work_is_shown_as_changes_versions_and_timeline(
    appliance: Appliance, tree: Path, snapshots: Indexed, looker: Looker
) -> None:
    agent, first, second, _before = snapshots
    top = entry_path(os.fsencode(tree.relative_to("/")))
    expected = {
        (f"{top}/plain.txt", "changed"),
        (f"{top}/added", "new"),
        (f"{top}/ünïcödé/日本語", "gone"),
        (f"{top}/ünïcödé", "changed"),
        (f"{top}/modes/0644", "changed"),
        (top, "changed"),
    }

    page = appliance.call("GET", f"/api/v1/snapshots/{second}/changes?since={first}").expect(200)
    compared = looker.walk(second, top, compare=first)
    path = urlencode({"path": f"{top}/plain.txt"})
    versions = appliance.call("GET", f"/api/v1/agents/{agent.id}/versions?{path}").expect(200)["items"]
    timeline = appliance.call("GET", f"/api/v1/agents/{agent.id}/timeline?{urlencode({'path': top})}").expect(200)

    assert expected == {(changed["path"], changed["change"]) for changed in page["changes"]}
    shown = {(entry.path, entry.change.value) for entry in compared.values() if entry.change}
    assert expected - {(top, "changed")} | {(f"{top}/modes", "changed")} == shown
    assert [(second, True, 8), (first, False, 6)] == [
        (version["last_snapshot_id"], version["is_present"], version["size_bytes"]) for version in versions
    ]
    assert [first, second] == [moment["snapshot_id"] for moment in timeline["items"]]


def test_place_is_where_the_archive_has_the_entry(snapshots: Indexed, looker: Looker, tree: Path) -> None:
    _agent, first, _second, _before = snapshots
    top = entry_path(os.fsencode(tree.relative_to("/")))

    places = {entry.place for entry in looker.walk(first, top).values()}

    assert {0} == places  # sixty entries are in the first metadata chunk


def test_rebuilt_catalogue_is_the_one_that_was_made_while_backing_up(
    appliance: Appliance, snapshots: Indexed, looker: Looker
) -> None:
    agent, first, second, _before = snapshots
    before = [looker.walk(snapshot) for snapshot in (first, second)]

    asked = appliance.call("POST", f"/api/v1/agents/{agent.id}/catalogue").expect(202)
    waiting = appliance.call("GET", f"/api/v1/snapshots/{second}/files").expect(200)
    looker.wait_indexed(second)

    assert 2 == asked["wanted_count"]
    assert ([], "waiting") == (waiting["entries"], waiting["state"])
    assert before == [looker.walk(snapshot) for snapshot in (first, second)]


def test_command_lines_show_what_the_catalogue_knows(appliance: Appliance, tree: Path, snapshots: Indexed) -> None:
    agent, _first, second, _before = snapshots

    found = json.loads(appliance.cli("search", "plain", "--json").stdout)
    listed = json.loads(appliance.cli("ls", agent.hostname, f"{tree}/modes", "--json").stdout)
    words = [sys.executable, "-m", "saveos", "ls", "--data", str(appliance.data), second, str(tree)]
    for_people = subprocess.run(words, capture_output=True, text=True, check=True)

    assert [f"{tree}/plain.txt".lstrip("/")] == [hit["path"] for hit in found["hits"]]
    assert ["0000", "0400", "0644", "0755", "1777", "2755", "4755"] == [entry["name"] for entry in listed["entries"]]
    assert "new\\x0aline" in for_people.stdout


def test_backup_by_a_command_is_indexed_without_a_daemon(
    appliance: Appliance, tree: Path, tmp_path: Path, looker: Looker
) -> None:
    agent = RealAgent.enrolled(appliance, tmp_path / "alone", hostname="alone")

    agent.succeed("backup", "--wait", str(tree / "modes"))

    snapshot = appliance.snapshots(agent.id)[0]["id"]
    looker.wait_indexed(snapshot)
    assert 7 == sum(entry.kind == "file" for entry in looker.walk(snapshot).values())


def test_listing_of_a_killed_daemon_is_sent_by_the_next_one(
    appliance: Appliance, snapshots: Indexed, looker: Looker, tree: Path
) -> None:
    agent = snapshots[0]
    (tree / "just before the end").write_text("kept")
    assert appliance.wait_for_job(agent.back_up())["state"] == "done"

    agent.kill()
    agent.start_daemon()

    newest = appliance.snapshots(agent.id)[0]["id"]
    looker.wait_indexed(newest)
    assert [] != [path for path in looker.walk(newest) if path.endswith("/just before the end")]


def test_sealed_names_stay_on_the_host_until_they_may_be_read_again(
    appliance: Appliance, snapshots: Indexed, looker: Looker
) -> None:
    agent, _first, second, _before = snapshots
    before = looker.walk(second)

    appliance.call("PUT", "/api/v1/names", {"names": "sealed"}).expect(200)
    wait_until(lambda: looker.state(second) == "sealed", 60, "the names to be sealed")
    page = appliance.call("GET", f"/api/v1/search?text=plain&agent_id={agent.id}").expect(200)
    files = [path.read_bytes() for path in looker.settings.catalogues.rglob("*") if path.is_file()]
    appliance.call("PUT", "/api/v1/names", {"names": "readable"}).expect(200)
    looker.wait_indexed(second)

    assert ([], 1) == (page["hits"], page["skipped_hosts"])
    assert [] == [data for data in files if b"plain.txt" in data]
    assert before == looker.walk(second)
