"""The agent's own extraction against real archives, honest and hostile: what it writes, leaves, refuses and says."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agent.engine_extract import Extracted
from saveos.protocol import Difference, Fate, OnConflict
from tests.support import odd_tree
from tests.support.appliance import wait_until
from tests.support.archives import FOLDER, LINK, Store, item
from tests.support.trees import describe, differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE = 8_000_000
STAMP = "2026-11-25 14-03"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.made(tmp_path_factory.mktemp("extract") / "store")


@pytest.fixture(scope="module")
def tree(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with everything, in the archive `odd`."""
    tree = tmp_path_factory.mktemp("odd") / "tree"
    odd_tree.make(tree)
    store.back_up("odd", "tree", folder=tree.parent)
    return tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that no restore may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "passwd").write_text("untouched")
    return folder


def only(extracted: Extracted) -> tuple[Difference, ...]:
    return extracted.facts.differences


def untouched(outside: Path) -> bool:
    return ["passwd"] == os.listdir(outside) and "untouched" == (outside / "passwd").read_text()


def test_restore_of_a_tree_brings_everything_back(store: Store, tree: Path, tmp_path: Path) -> None:
    extracted = store.restore("odd", tmp_path / "out")

    assert [] == differences(tree, tmp_path / "out" / "tree")
    assert () == only(extracted)
    assert len(describe(tree)) == extracted.facts.new


def test_restore_again_finds_everything_identical(store: Store, tree: Path, tmp_path: Path) -> None:
    store.restore("odd", tmp_path / "out")

    again = store.restore("odd", tmp_path / "out")

    assert [] == differences(tree, tmp_path / "out" / "tree")
    assert () == only(again)
    assert (0, 0) == (again.facts.new, again.facts.written_bytes)


@pytest.mark.parametrize("conflict", list(OnConflict))
def test_dry_run_counts_and_writes_nothing(store: Store, tree: Path, tmp_path: Path, conflict: OnConflict) -> None:
    extracted = store.restore("odd", tmp_path / "out", conflict=conflict, is_dry_run=True)

    real = store.restore("odd", tmp_path / "real", conflict=conflict)
    assert not (tmp_path / "out").exists()
    assert real.facts.new == extracted.facts.new
    assert real.facts.written_bytes == extracted.facts.written_bytes
    assert [] == differences(tree, tmp_path / "real" / "tree")


def test_restore_of_entries_takes_their_names_literally(store: Store, tmp_path: Path) -> None:
    names = [b"*", b"re:.*", b"sh:**", b"pp:a", b"\xff\xfe", b"new\nline", b" a ", b"a\\b", b"-x"]
    (tmp_path / "src").mkdir()
    for name in [*names, b"a", b"b"]:
        with open(os.path.join(os.fsencode(tmp_path / "src"), name), "wb") as file:
            file.write(name)
    store.back_up("names", "src", folder=tmp_path)

    extracted = store.restore("names", tmp_path / "out", *(b"src/" + name for name in names))

    assert sorted(names) == sorted(os.listdir(os.fsencode(tmp_path / "out" / "src")))
    assert len(names) == extracted.facts.new


@pytest.mark.usefixtures("tree")
def test_restore_of_an_entry_that_is_not_there_names_it(store: Store, tmp_path: Path) -> None:
    extracted = store.restore("odd", tmp_path / "out", b"tree/plain.txt", b"tree/pl*", b"tree/\xff")

    assert ("tree/\\xff", "tree/pl*") == extracted.missing[::-1] or ("tree/pl*", "tree/\\xff") == extracted.missing
    assert 1 == extracted.facts.new


def test_restore_of_hard_links_without_the_first_links_them_again(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_text("shared" * 1000)
    for name in ("b", "c"):
        os.link(source / "a", source / name)
    store.back_up("hard", "src", folder=tmp_path)

    store.restore("hard", tmp_path / "out", b"src/b", b"src/c")

    restored = tmp_path / "out" / "src"
    assert ["b", "c"] == sorted(os.listdir(restored))
    assert (restored / "b").stat().st_ino == (restored / "c").stat().st_ino
    assert "shared" * 1000 == (restored / "c").read_text()


def test_folder_above_a_chosen_entry_gets_its_own_mode_and_owner(store: Store, tmp_path: Path) -> None:
    store.craft("above", item("home", FOLDER), item("home/bob", FOLDER, uid=4242), item("home/bob/file", uid=4242))

    store.restore("above", tmp_path / "out", b"home/bob/file")

    status = (tmp_path / "out" / "home" / "bob").stat()
    assert (4242, 0o755) == (status.st_uid, stat.S_IMODE(status.st_mode))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    """Files that take a while to write, in the archive `large` of a repository of its own: a kill leaves it locked."""
    store = Store.made(tmp_path_factory.mktemp("locked") / "store")
    folder = tmp_path_factory.mktemp("large") / "src"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}").write_bytes(os.urandom(SIZE))
    store.back_up("large", "src", folder=folder.parent)
    return store, folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_restore_that_is_cut_short_leaves_whole_files_and_goes_on(
    large: tuple[Store, Path], tmp_path: Path, number: signal.Signals
) -> None:
    store, tree = large
    place = tmp_path / "out" / "src"
    process = store.start("large", tmp_path / "out")
    wait_until(lambda: place.is_dir() and len(os.listdir(place)) >= 2, 30, "the first files")

    process.send_signal(number)
    assert process.stdout is not None
    with process.stdout as stdout:
        said = stdout.read()
    process.wait(timeout=30)

    names = os.listdir(place)
    assert 2 <= len(names) < 12
    assert {SIZE} == {(place / name).stat().st_size for name in names}
    if number is signal.SIGINT:
        assert errno.EINTR == msgspec.json.decode(said, type=Extracted).error
    store.unlock()
    again = store.restore("large", tmp_path / "out")
    assert len(names) == again.facts.identical - 1  # and the folder
    assert [] == differences(tree, place)


@pytest.fixture
def removed(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed by other hands afterwards: Python would run out of stack."""
    yield tmp_path / "out"
    subprocess.run(["rm", "-rf", tmp_path / "out"], check=True)


def test_restore_of_a_very_deep_tree_reaches_its_bottom(store: Store, removed: Path) -> None:
    deep = "/".join(["d"] * 1500 + ["bottom"])
    store.craft("deep", *(item(deep[: 2 * depth - 1], FOLDER) for depth in range(1, 1501)), item(deep, content="here"))

    extracted = store.restore("deep", removed)

    assert (1501, ()) == (extracted.facts.new, only(extracted))
    again = store.restore("deep", removed)
    assert 1501 == again.facts.identical


class TestConflicts:
    """Something else stands there."""

    @pytest.fixture
    def target(self, store: Store, tmp_path: Path) -> Path:
        folder = tmp_path / "there"
        (folder / "docs").mkdir(parents=True)
        (folder / "docs" / "a.txt").write_text("mine")
        (folder / "docs" / "own.txt").write_text("not in the snapshot")
        if "docs" not in store.names:
            store.craft(
                "docs", item("docs", FOLDER), item("docs/a.txt", content="old"), item("docs/b.txt", content="b")
            )
        return folder

    def test_overwrite_replaces_what_differs_alone(self, store: Store, target: Path) -> None:
        extracted = store.restore("docs", target)

        assert "old" == (target / "docs" / "a.txt").read_text()
        assert "not in the snapshot" == (target / "docs" / "own.txt").read_text()
        assert (Difference(path="docs/a.txt", what=Fate.REPLACED, detail="size time"),) == only(extracted)
        assert (1, 1, 4) == (extracted.facts.new, extracted.facts.identical, extracted.facts.written_bytes)

    def test_skip_leaves_what_is_there_and_says_so(self, store: Store, target: Path) -> None:
        extracted = store.restore("docs", target, conflict=OnConflict.SKIP)

        assert "mine" == (target / "docs" / "a.txt").read_text()
        assert "b" == (target / "docs" / "b.txt").read_text()
        assert (Difference(path="docs/a.txt", what=Fate.SKIPPED, detail="size time"),) == only(extracted)

    def test_rename_keeps_both_and_does_so_once(self, store: Store, target: Path) -> None:
        for _again in range(2):
            extracted = store.restore("docs", target, conflict=OnConflict.RENAME, stamp=STAMP)

        assert "mine" == (target / "docs" / "a.txt").read_text()
        assert "old" == (target / "docs" / f"a (restored {STAMP}).txt").read_text()
        assert 4 == len(os.listdir(target / "docs"))
        assert () == only(extracted)

    def test_rename_of_a_folder_takes_what_is_in_it_along(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "docs").write_text("a file of this name")

        store.restore("docs", tmp_path / "other", conflict=OnConflict.RENAME, stamp=STAMP)

        assert "a file of this name" == (tmp_path / "other" / "docs").read_text()
        assert ["a.txt", "b.txt"] == sorted(os.listdir(tmp_path / "other" / f"docs (restored {STAMP})"))

    def test_overwrite_of_a_folder_that_is_not_empty_by_a_file_fails_for_it(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "other" / "docs" / "a.txt" / "kept").mkdir(parents=True)

        extracted = store.restore("docs", tmp_path / "other")

        assert Fate.FAILED is only(extracted)[0].what
        assert (tmp_path / "other" / "docs" / "a.txt" / "kept").is_dir()
        assert "b" == (tmp_path / "other" / "docs" / "b.txt").read_text()

    def test_same_size_and_time_but_other_content_is_replaced(self, store: Store, target: Path) -> None:
        store.restore("docs", target)
        status = (target / "docs" / "b.txt").stat()
        (target / "docs" / "b.txt").write_text("x")
        os.utime(target / "docs" / "b.txt", ns=(status.st_atime_ns, status.st_mtime_ns))

        extracted = store.restore("docs", target)

        assert "b" == (target / "docs" / "b.txt").read_text()
        assert (Difference(path="docs/b.txt", what=Fate.REPLACED, detail="content"),) == only(extracted)

    def test_dry_run_says_what_the_restore_then_does(self, store: Store, target: Path) -> None:
        foreseen = store.restore("docs", target, is_dry_run=True)

        assert "mine" == (target / "docs" / "a.txt").read_text()
        done = store.restore("docs", target)
        assert only(done) == only(foreseen)
        assert done.facts.written_bytes == foreseen.facts.written_bytes


class TestHostile:
    """Archives that no `borg create` makes, and hosts on which somebody waits with a link."""

    def test_link_in_the_archive_is_not_written_through(self, store: Store, outside: Path, tmp_path: Path) -> None:
        store.craft("trap", item("a", LINK, source=str(outside)), item("a/passwd", content="evil"))

        extracted = store.restore("trap", tmp_path / "out")

        assert untouched(outside)
        assert (Difference(path="a/passwd", what=Fate.REFUSED, detail="link"),) == only(extracted)

    def test_link_that_waits_in_the_target_is_not_written_through(
        self, store: Store, outside: Path, tmp_path: Path
    ) -> None:
        store.craft("through", item("a/passwd", content="evil"), item("b", content="good"))
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").symlink_to(outside)

        extracted = store.restore("through", tmp_path / "out")

        assert untouched(outside)
        assert "good" == (tmp_path / "out" / "b").read_text()
        assert (Difference(path="a/passwd", what=Fate.REFUSED, detail="link"),) == only(extracted)

    def test_link_in_the_place_of_a_folder_is_replaced_not_followed(
        self, store: Store, outside: Path, tmp_path: Path
    ) -> None:
        store.craft("folder", item("a", FOLDER), item("a/passwd", content="good"))
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").symlink_to(outside)

        store.restore("folder", tmp_path / "out")

        assert untouched(outside)
        assert "good" == (tmp_path / "out" / "a" / "passwd").read_text()

    def test_link_in_the_place_of_a_file_is_replaced_not_followed(
        self, store: Store, outside: Path, tmp_path: Path
    ) -> None:
        store.craft("file", item("f", content="good"))
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "f").symlink_to(outside / "passwd")

        store.restore("file", tmp_path / "out")

        assert untouched(outside)
        assert "good" == (tmp_path / "out" / "f").read_text()

    def test_paths_that_lead_out_are_refused(self, store: Store, outside: Path, tmp_path: Path) -> None:
        up = f"../{outside.name}/passwd"
        store.craft("climb", item(up), item("x/../../" + up[3:]), item(str(outside / "passwd")), item("good"))

        extracted = store.restore("climb", tmp_path / "out")

        assert untouched(outside)
        assert ["good"] == os.listdir(tmp_path / "out")
        assert {"outside"} == {entry.detail for entry in only(extracted)}
        assert 3 == extracted.facts.refused

    def test_hard_link_to_a_file_outside_is_not_made(self, store: Store, outside: Path, tmp_path: Path) -> None:
        store.craft(
            "stolen",
            item("a", LINK, source=str(outside)),
            item("b", source="a/passwd", content=None),
            item("c", source=f"../{outside.name}/passwd", content=None),
        )

        extracted = store.restore("stolen", tmp_path / "out")

        assert untouched(outside)
        assert ["a"] == os.listdir(tmp_path / "out")
        assert 2 == extracted.facts.failed

    def test_entry_that_comes_twice_does_not_open_a_way_out(self, store: Store, outside: Path, tmp_path: Path) -> None:
        store.craft(
            "twice",
            item("a", FOLDER),
            item("a", LINK, source=str(outside)),
            item("a/passwd", content="evil"),
        )

        store.restore("twice", tmp_path / "out")

        assert untouched(outside)

    def test_devices_and_set_id_bits_of_another_host_are_not_made(self, store: Store, tmp_path: Path) -> None:
        mode = stat.S_IFREG | 0o6755
        store.craft("foreign", item("sda", stat.S_IFBLK | 0o600, rdev=os.makedev(8, 0)), item("sh", mode))

        extracted = store.restore("foreign", tmp_path / "out", is_foreign=True)

        assert ["sh"] == os.listdir(tmp_path / "out")
        assert 0o755 == stat.S_IMODE((tmp_path / "out" / "sh").stat().st_mode)
        assert (Difference(path="sda", what=Fate.REFUSED, detail="device"),) == only(extracted)

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another owner")
    def test_link_of_another_user_is_not_followed_at_the_original_place(
        self, store: Store, outside: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "home").mkdir()
        theirs = tmp_path / "home" / "theirs"
        theirs.symlink_to(outside)
        os.lchown(theirs, 4242, 4242)
        ours = tmp_path / "home" / "ours"
        (tmp_path / "moved").mkdir()
        ours.symlink_to(tmp_path / "moved")
        store.craft("original", *(item(str(place / "passwd")[1:], content="new") for place in (theirs, ours)))

        extracted = store.restore("original", None)

        assert untouched(outside)
        assert "new" == (tmp_path / "moved" / "passwd").read_text()
        assert ["link"] == [entry.detail for entry in only(extracted)]
