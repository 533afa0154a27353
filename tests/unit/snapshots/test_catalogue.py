"""The catalogue beside a naive model: whatever happens to a tree, it tells the same as dictionaries would."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saveos.protocol import entry_path
from saveos.snapshots import catalogue, catalogue_changes, catalogue_search
from saveos.snapshots.catalogue_model import CatalogueState, Change, SearchQuery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator

Tree = dict[bytes, bytes]
LIMIT = 3  # entries a page: every tree has several

parts = st.sampled_from([b"a", b"a-b", b"B", b"b.txt", b"\xff", b"\x01", b"\x02\x03", b"n\nl", b"e\\x", "é".encode()])
paths = st.lists(parts, min_size=1, max_size=3).map(b"/".join)
facts = st.builds(
    lambda kind, size, moment, mode: b"%b %d %d %o 0" % (kind, size, moment, mode),
    st.sampled_from([b"f", b"f", b"f", b"l", b"d"]),
    st.integers(0, 5),
    st.integers(-1000, 1000),
    st.sampled_from([0o644, 0o755]),
)
trees = st.dictionaries(paths, facts, max_size=12)
histories = st.lists(st.tuples(trees, st.booleans()), min_size=1, max_size=5)
quickly = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_stored(tree: Tree) -> Tree:
    """Return the tree as an archive can hold it: what holds others is a folder, every folder is there."""
    found: Tree = {}
    for path, said in tree.items():
        kind = said.split()[0]
        is_parent = any(other.startswith(path + b"/") for other in tree)
        size = b"0" if kind == b"d" else said.split()[1]
        words = [kind, size, *said.split()[2:4]]
        found[path] = b"i 0 ? 0" if is_parent and kind != b"d" else b" ".join(words)
        above = path.rpartition(b"/")[0]
        while above:
            if above not in tree:
                found[above] = b"i 0 ? 0"
            above = above.rpartition(b"/")[0]
    return found


def is_folder(said: bytes) -> bool:
    return said[:1] in b"di"


def shown(entry: Any) -> tuple[Any, ...]:
    moment = None if entry.modified_at is None else int(entry.modified_at.timestamp() * 1000)
    return entry.kind.value[0], moment, entry.mode


def expected_of(said: bytes) -> tuple[Any, ...]:
    kind, _size, moment, mode = said.split()
    return {"i": "f", "d": "f"}.get(kind.decode(), kind.decode()), None if moment == b"?" else int(moment), int(mode, 8)


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        world = World.made(Path(folder) / "data")
        world.add_host("h")
        yield world
        world.close()


class Told:
    """A history in the catalogue of one host, and the trees of it."""

    def __init__(self, world: World, history: list[tuple[Tree, bool]]) -> None:
        self.world = world
        self.agent = world.add_host(f"h{world.count}x{len(world.heads)}")
        self.trees = [as_stored(tree) for tree, _is_whole in history]
        with_sizes = [
            {path: said if said[:1] != b"d" else b"d 0 " + b" ".join(said.split()[2:]) for path, said in tree.items()}
            for tree, _is_whole in history
        ]
        self.ids, self.heads = [], []  # the heads: what the host builds its next difference on
        for tree, (_tree, is_whole) in zip(with_sizes, history, strict=True):
            self.ids.append(world.back_up(self.agent, tree, is_whole=is_whole))
            self.heads.append(world.heads[self.agent])

    def pages(self, snapshot: str, path: bytes, **how: Any) -> list[Any]:
        found, after = [], ""
        while True:
            page = catalogue.folder(
                self.world.database,
                self.world.settings,
                self.world.principal,
                snapshot,
                entry_path(path),
                after=after,
                limit=LIMIT,
                **how,
            )
            assert page.state is CatalogueState.INDEXED
            found += page.entries
            if page.next_after is None:
                return found
            after = page.next_after


def children(tree: Tree, folder: bytes) -> list[tuple[bytes, bytes]]:
    """Folders first, then by name."""
    inside = [(path, said) for path, said in tree.items() if path.rpartition(b"/")[0] == folder]
    return sorted(inside, key=lambda one: (not is_folder(one[1]), one[0]))


def folders(tree: Tree) -> list[bytes]:
    return [b"", *(path for path, said in tree.items() if is_folder(said))]


@quickly
@given(history=histories)
def test_folder_of_every_snapshot_is_the_tree_of_then(world: World, history: list[tuple[Tree, bool]]) -> None:
    told = Told(world, history)

    for snapshot, tree in zip(told.ids, told.trees, strict=True):
        for folder in folders(tree):
            found = told.pages(snapshot, folder)

            assert [entry_path(path) for path, _said in children(tree, folder)] == [entry.path for entry in found]
            assert [expected_of(said) for _path, said in children(tree, folder)] == [shown(entry) for entry in found]
            for entry, (path, said) in zip(found, children(tree, folder), strict=True):
                below = [size for other, size in leaves(tree) if other.startswith(path + b"/")]
                size = sum(below) if is_folder(said) else int(said.split()[1])
                assert (size, len(below) if is_folder(said) else None) == (entry.size_bytes, entry.files_count)


def leaves(tree: Tree) -> list[tuple[bytes, int]]:
    return [(path, int(said.split()[1])) for path, said in tree.items() if not is_folder(said)]


@quickly
@given(history=histories, data=st.data())
def test_changes_are_the_difference_of_the_trees(
    world: World, history: list[tuple[Tree, bool]], data: st.DataObject
) -> None:
    told = Told(world, history)
    older, newer = (data.draw(st.integers(0, len(history) - 1)) for _ in range(2))
    before, now = told.trees[older], told.trees[newer]

    found, after = set(), ""
    while True:
        page = catalogue_changes.changes(
            world.database,
            world.settings,
            world.principal,
            told.ids[older],
            told.ids[newer],
            after=after,
            limit=LIMIT,
        )
        found |= {(changed.path, changed.change) for changed in page.changes}
        if page.next_after is None:
            break
        after = page.next_after

    expected = set()
    for path in before.keys() | now.keys():
        was, is_now = before.get(path), now.get(path)
        name = entry_path(path)
        if was is not None and is_now is not None and is_folder(was) != is_folder(is_now):
            expected |= {(name, Change.GONE), (name, Change.NEW)}
        elif was is None:
            expected.add((name, Change.NEW))
        elif is_now is None:
            expected.add((name, Change.GONE))
        elif was != is_now:
            expected.add((name, Change.CHANGED))
    # A version that went and came back the same is another version of the same facts.
    extra = {(entry_path(path), Change.CHANGED) for path in before.keys() & now.keys() if before[path] == now[path]}
    assert expected <= found <= expected | extra


@quickly
@given(history=histories)
def test_versions_cover_exactly_the_snapshots_that_have_the_path(
    world: World, history: list[tuple[Tree, bool]]
) -> None:
    told = Told(world, history)

    for path in {path for tree in told.trees for path in tree}:
        found = catalogue.versions(world.database, world.settings, world.principal, told.agent, entry_path(path))
        covered = {
            number: shown(version)
            for version in found
            for number, snapshot in enumerate(told.ids)
            if version.first_snapshot_id <= snapshot <= version.last_snapshot_id
        }
        expected = {number: expected_of(tree[path]) for number, tree in enumerate(told.trees) if path in tree}
        assert expected == covered
        assert [version.is_present for version in found] == [
            path in told.trees[-1] and version.last_snapshot_id == told.ids[-1] for version in found
        ]


@quickly
@given(history=histories, data=st.data())
def test_forgotten_snapshots_leave_the_others_as_they_were(
    world: World, history: list[tuple[Tree, bool]], data: st.DataObject
) -> None:
    told = Told(world, history)
    forgotten = data.draw(st.sets(st.sampled_from(told.ids)))

    world.remove(told.agent, forgotten)
    kept = [head for snapshot, head in zip(told.ids, told.heads, strict=True) if snapshot not in forgotten]
    world.heads[told.agent] = kept[-1] if kept else ("", [])
    newest = told.ids[told.heads.index(kept[-1])] if kept else ""
    for path in {path for tree in told.trees for path in tree}:
        found = catalogue.versions(world.database, world.settings, world.principal, told.agent, entry_path(path))
        is_there = bool(newest) and path in told.trees[told.ids.index(newest)]
        assert is_there == any(version.is_present for version in found)
    told.ids.append(world.back_up(told.agent, {b"later": b"f 1 1 644 0"}))
    told.trees.append({b"later": b"f 1 1 644"})

    for snapshot, tree in zip(told.ids, told.trees, strict=True):
        if snapshot not in forgotten:
            found = told.pages(snapshot, b"")
            assert [entry_path(path) for path, _said in children(tree, b"")] == [entry.path for entry in found]
            assert [expected_of(said) for _path, said in children(tree, b"")] == [shown(entry) for entry in found]
    left = set(told.ids) - forgotten
    for path in {path for tree in told.trees for path in tree}:
        for version in catalogue.versions(
            world.database, world.settings, world.principal, told.agent, entry_path(path)
        ):
            assert {version.first_snapshot_id, version.last_snapshot_id} <= left
            assert path in told.trees[told.ids.index(version.first_snapshot_id)]


@quickly
@given(
    history=histories, text=st.sampled_from(["a", "a-b", "B.TX", "b.txt", "\\xff", "É", "*.txt", "?-*", "a/b", "/a"])
)
def test_search_finds_what_a_look_at_every_name_finds(
    world: World, history: list[tuple[Tree, bool]], text: str
) -> None:
    told = Told(world, history)
    query = SearchQuery(text=text, agent_ids=(told.agent,))  # type: ignore[arg-type]

    found, after = [], ""
    while True:
        page = catalogue_search.search(world.database, world.settings, world.principal, query, limit=LIMIT, after=after)
        found += page.hits
        if page.next_after is None:
            break
        after = page.next_after

    last: dict[tuple[bytes, bool], int] = {}
    for number, tree in enumerate(told.trees):
        last |= {(path, is_folder(said)): number for path, said in tree.items() if fits(path, text)}
    expected = {(entry_path(path), told.ids[number]) for (path, _is_folder), number in last.items()}
    assert expected == {(hit.path, hit.newest_snapshot_id) for hit in found}
    assert len(last) == len(found)


def fits(path: bytes, text: str) -> bool:
    shown = f"/{entry_path(path)}".lower()
    name = shown.rpartition("/")[2]
    match text:
        case "*.txt":
            return name.endswith(".txt")
        case "?-*":
            return name[1:2] == "-"
        case "a/b":
            return "a/b" in shown and name.startswith("b") and shown.rpartition("/")[0].endswith("a")
        case "/a":
            return shown.count("/") == 1 and name.startswith("a")
        case _:
            return text.lower() in name
