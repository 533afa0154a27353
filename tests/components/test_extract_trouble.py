"""The agent's own extraction in trouble: a repository that lost something, a full disk, an early end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from saveos.protocol import Difference, Fate, OnConflict
from tests.support.appliance import wait_until
from tests.support.archives import FOLDER, MOMENT, Store, item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAMP = "2026-11-25 14-03"
FILES = tuple(f"src/sub/{number:02d}" for number in range(12))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.made(tmp_path_factory.mktemp("trouble") / "store")


class TestLost:
    """The repository has lost the content of a file: Borg gives zeros instead."""

    @pytest.fixture
    def out(self, store: Store, tmp_path: Path) -> Path:
        if "lost" not in store.names:
            store.craft(
                "lost", item("a.txt", content="precious", is_lost=True, hardlink_master=True), item("b", source="a.txt")
            )
        (tmp_path / "out").mkdir()
        return tmp_path / "out"

    def test_file_that_is_healthy_on_the_host_is_left(self, store: Store, out: Path) -> None:
        (out / "a.txt").write_text("precious")
        os.utime(out / "a.txt", ns=(MOMENT, MOMENT))

        extracted = store.restore("lost", out)

        assert "precious" == (out / "a.txt").read_text() == (out / "b").read_text()
        assert (1, 1, ()) == (extracted.facts.identical, extracted.facts.new, extracted.facts.differences)

    def test_file_that_is_healthy_gets_its_attributes(self, store: Store, out: Path) -> None:
        (out / "a.txt").write_text("precious")

        extracted = store.restore("lost", out, b"a.txt")

        assert ("precious", MOMENT) == ((out / "a.txt").read_text(), (out / "a.txt").stat().st_mtime_ns)
        assert (Difference(path="a.txt", what=Fate.REPLACED, detail="time"),) == extracted.facts.differences

    @pytest.mark.parametrize("is_dry_run", [True, False])
    def test_what_may_be_healthy_is_not_replaced_by_zeros(self, store: Store, out: Path, *, is_dry_run: bool) -> None:
        (out / "a.txt").write_text("precious, and more")
        (out / "b").write_text("of its own")

        extracted = store.restore("lost", out, is_dry_run=is_dry_run)

        assert ["precious, and more", "of its own"] == [(out / name).read_text() for name in ("a.txt", "b")]
        assert 2 == extracted.facts.refused
        assert {"damaged"} == {entry.detail for entry in extracted.facts.differences}

    def test_name_of_a_damaged_file_that_has_one_of_its_own_is_not_replaced(self, store: Store, out: Path) -> None:
        (out / "b").write_text("precious")

        extracted = store.restore("lost", out)

        assert "precious" == (out / "b").read_text()
        assert [Fate.FAILED, Fate.REFUSED] == [entry.what for entry in extracted.facts.differences]

    @pytest.mark.parametrize("conflict", [OnConflict.OVERWRITE, OnConflict.RENAME])
    def test_zeros_are_written_once_and_said_each_time(self, store: Store, out: Path, conflict: OnConflict) -> None:
        (out / "a.txt").write_text("mine" if conflict is OnConflict.RENAME else "")
        if conflict is OnConflict.OVERWRITE:
            (out / "a.txt").unlink()

        first = store.restore("lost", out, b"a.txt", conflict=conflict, stamp=STAMP)
        again = store.restore("lost", out, b"a.txt", conflict=conflict, stamp=STAMP)

        assert bytes(8) in [path.read_bytes() for path in out.iterdir()]
        assert (1, 1) == (first.facts.failed, again.facts.refused)
        assert (2 if conflict is OnConflict.RENAME else 1) == len(os.listdir(out))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Files that take a while to write, two folders down, in a repository that a kill leaves locked."""
    store = Store.made(tmp_path_factory.mktemp("locked") / "store")
    folder = tmp_path_factory.mktemp("large") / "src" / "sub"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder.parent.parent / name).write_bytes(os.urandom(8_000_000))
    for made, its_mode in ((folder.parent, 0o751), (folder, 0o2775)):
        made.chmod(its_mode)
        os.utime(made, ns=(MOMENT, MOMENT))
    store.back_up("large", "src", folder=folder.parent.parent)
    return store


class TestCutShort:
    """The restore ends before its time, and begins again."""

    def cut(self, store: Store, out: Path, number: signal.Signals, entries: tuple[str, ...]) -> None:
        process = store.start("large", out, conflict=OnConflict.SKIP, entries=entries)
        place = out / "src" / "sub"
        wait_until(lambda: place.is_dir() and len(os.listdir(place)) >= 1, 30, "the first file")
        process.send_signal(number)
        assert process.stdout is not None
        process.stdout.close()
        process.wait(timeout=30)
        assert len(os.listdir(place)) < len(FILES)
        store.unlock()

    def modes(self, out: Path) -> list[tuple[int, int]]:
        folders = [out / "src", out / "src" / "sub"]
        return [(mode(folder), folder.stat().st_mtime_ns) for folder in folders]

    @pytest.mark.parametrize("entries", [(), FILES], ids=["all", "files"])
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_end_in_order_leaves_folders_as_in_the_archive(
        self, large: Store, tmp_path: Path, number: signal.Signals, entries: tuple[str, ...]
    ) -> None:
        self.cut(large, tmp_path / "out", number, entries)

        assert [(0o751, MOMENT), (0o2775, MOMENT)] == self.modes(tmp_path / "out")

    @pytest.mark.parametrize("entries", [(), FILES], ids=["all", "files"])
    @pytest.mark.parametrize("conflict", list(OnConflict))
    def test_restore_after_a_kill_finishes_folders(
        self, large: Store, tmp_path: Path, conflict: OnConflict, entries: tuple[str, ...]
    ) -> None:
        self.cut(large, tmp_path / "out", signal.SIGKILL, entries)

        again = large.restore("large", tmp_path / "out", *map(os.fsencode, entries), conflict=conflict, stamp=STAMP)

        assert () == again.facts.differences
        assert [(0o751, MOMENT), (0o2775, MOMENT)] == self.modes(tmp_path / "out")

    @pytest.mark.parametrize("conflict", [OnConflict.SKIP, OnConflict.RENAME])
    def test_folder_that_somebody_closed_stays_closed(self, store: Store, tmp_path: Path, conflict: OnConflict) -> None:
        if "open" not in store.names:
            store.craft("open", item("d", FOLDER), item("d/a.txt"))
        (tmp_path / "out" / "d").mkdir(parents=True, mode=0o700)

        store.restore("open", tmp_path / "out", conflict=conflict)

        assert 0o700 == mode(tmp_path / "out" / "d")

    def test_folder_that_the_archive_does_not_know_is_ours_alone(self, store: Store, tmp_path: Path) -> None:
        store.craft("parentless", item("a/b/c.txt"))

        store.restore("parentless", tmp_path / "out")

        assert [0o700] * 3 == [mode(tmp_path / place) for place in ("out", "out/a", "out/a/b")]

    def test_folder_under_another_name_is_found_again_with_all_that_is_in_it(
        self, store: Store, tmp_path: Path
    ) -> None:
        store.craft("beside", item("a", FOLDER), item("a/f.txt", content="hello"), item("a/g.txt", content="bye"))
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a").write_text("a file of this name")

        for _again in range(2):
            extracted = store.restore("beside", tmp_path / "out", conflict=OnConflict.RENAME, stamp=STAMP)

        assert ["f.txt", "g.txt"] == sorted(os.listdir(tmp_path / "out" / f"a (restored {STAMP})"))
        assert (2, 1) == (extracted.facts.identical, extracted.facts.renamed)

    @pytest.mark.parametrize("conflict", list(OnConflict))
    def test_what_a_kill_left_is_removed(self, store: Store, tmp_path: Path, conflict: OnConflict) -> None:
        if "left" not in store.names:
            store.craft("left", item("d", FOLDER), item("d/f", content="f"), item("d/e", FOLDER), item("d/g"))
        folder = tmp_path / "out" / "d"
        store.restore("left", folder.parent)
        kept = {"f", "e", "g", f".saveos-restoring-{'1' * 16}", ".saveos-restoring-mine"}
        (folder / f".saveos-restoring-{'1' * 16}").mkdir()
        (folder / ".saveos-restoring-mine").write_text("")
        os.link(folder / "f", folder / f".saveos-restoring-{'a' * 16}")
        (folder / f".saveos-restoring-{'b' * 16}").write_text("half of")
        (folder.parent / f".saveos-restoring-{'c' * 16}").symlink_to(folder)

        store.restore("left", folder.parent, conflict=conflict, is_dry_run=True)
        assert 7 == len(os.listdir(folder))
        store.restore("left", folder.parent, conflict=conflict, stamp=STAMP)

        assert kept == set(os.listdir(folder))
        assert ["d"] == os.listdir(folder.parent)


class TestTarget:
    """The folder to restore into cannot be had."""

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs a link of another owner")
    @pytest.mark.parametrize("is_dry_run", [True, False])
    def test_target_that_leads_astray_is_refused(self, store: Store, tmp_path: Path, *, is_dry_run: bool) -> None:
        if "any" not in store.names:
            store.craft("any", item("a"))
        (tmp_path / "file").write_text("")
        (tmp_path / "theirs").symlink_to(tmp_path)
        os.lchown(tmp_path / "theirs", 4242, 4242)
        targets = {"theirs/out": "link", "file/out": "not-a-folder", "x/../out": "outside"}

        refusals = {place: store.restore("any", tmp_path / place, is_dry_run=is_dry_run).refusal for place in targets}

        assert targets == refusals
        assert ["file", "theirs"] == sorted(os.listdir(tmp_path))

    def test_target_that_the_system_refuses_says_why(self, store: Store, tmp_path: Path) -> None:
        store.craft("some", item("a"))

        assert errno.ENAMETOOLONG == store.restore("some", tmp_path / ("x" * 300)).error


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to mount")
class TestFileSystems:
    """Other file systems are mounted below the target."""

    @pytest.fixture
    def mounted(self, store: Store, tmp_path: Path) -> Iterator[Path]:
        """A folder where a file system of two megabytes is mounted at `b`."""
        if "mounts" not in store.names:
            large = {f"b/{number}": str(number) * 1_500_000 for number in range(3)}
            folders = (item(name, FOLDER) for name in ("a", "b", "c"))
            files = {"a/a.txt": "a", **large, "b/same.txt": "same", "c/c.txt": "c"}
            store.craft("mounts", *folders, *(item(name, content=content) for name, content in files.items()))
        place = tmp_path / "out" / "b"
        place.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "none", place]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            pytest.skip("nothing can be mounted here")
        with contextlib.ExitStack() as stack:
            stack.callback(subprocess.run, ["umount", place], check=True)
            yield tmp_path / "out"

    def test_full_one_costs_its_own_files_alone(self, store: Store, mounted: Path) -> None:
        extracted = store.restore("mounts", mounted)

        assert {"a.txt", "0", "c.txt"} == {path.name for path in mounted.rglob("*") if path.is_file()}
        assert errno.ENOSPC == extracted.error
        assert ["b/1", "b/2", "b/same.txt"] == [entry.path for entry in extracted.facts.differences]
        assert {os.strerror(errno.ENOSPC)} == {entry.detail for entry in extracted.facts.differences}

    def test_read_only_one_is_left_where_it_is_as_it_should_be(self, store: Store, mounted: Path) -> None:
        store.restore("mounts", mounted, b"b/same.txt", b"b/0")
        os.utime(mounted / "b", ns=(MOMENT, MOMENT))
        subprocess.run(["mount", "-o", "remount,ro", mounted / "b"], check=True)

        extracted = store.restore("mounts", mounted)

        assert "c" == (mounted / "c" / "c.txt").read_text()
        assert 0 == extracted.error
        assert ["b/1", "b/2"] == [entry.path for entry in extracted.facts.differences]
        assert {os.strerror(errno.EROFS)} == {entry.detail for entry in extracted.facts.differences}
