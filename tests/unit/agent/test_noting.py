"""Hashes that Borg's own reading gives: right, of the right files, and void once a file has changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from saveos.agent import engine_noting, noted
from saveos.agent.noted import Entry, Noted
from saveos.protocol import entry_bytes
from tests.support.archives import PASSPHRASE, Store

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.agent.noted import Noted as Notes


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.made(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "noted"
    folder.mkdir()
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "empty").touch()
    (tree / "text").write_text("some text\n" * 1000)
    (tree / "large").write_bytes(os.urandom(3_000_000))
    (tree / "sparse").write_bytes(bytes(9_000_000))
    with open(os.path.join(os.fsencode(tree), b"odd-\xff\n"), "wb") as file:
        file.write(b"of any bytes")
    (tree / "link").symlink_to("text")
    os.link(tree / "text", tree / "hard")
    return tree


def back_up(store: Store, folder: Path, name: str, tree: Path, *words: str) -> Notes:
    """Make an archive as the agent does and return what was noted of it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BORG_")} | {
        "BORG_REPO": str(store.repository),
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(store.home),
        "BORG_SELFTEST": "disabled",
        "LC_ALL": "C.UTF-8",
        noted.VARIABLE: str(folder),
    }
    command = [sys.executable, "-m", "saveos.agent", "borg", "create", "--files-cache", "ctime,size,inode", *words]
    done = subprocess.run(
        [*command, f"::{name}", "--", str(tree)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(each for each in noted.load(folder) if each.archive == name)


def settle(tree: Path, moment: int = 1_600_000_000) -> None:
    """Make every file old: Borg reads again what changed in the second of the last backup."""
    for path in tree.iterdir():
        os.utime(path, (moment, moment), follow_symlinks=False)


def by_name(said: Notes) -> dict[bytes, Entry]:
    return {entry_bytes(entry.path).rsplit(b"/", 1)[-1]: entry for entry in said.entries}


def test_hashes_are_those_of_the_files(store: Store, folder: Path, tree: Path) -> None:
    said = by_name(back_up(store, folder, "one", tree))

    names = {b"empty", b"text", b"odd-\xff\n"}
    assert names <= said.keys() | {b"hard"}
    for name, entry in said.items():
        with open(os.path.join(os.fsencode(tree), name), "rb") as file:
            content = file.read()
        status = os.lstat(os.path.join(os.fsencode(tree), name))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry.size, entry.sha256)
        assert (status.st_mtime_ns, status.st_mode & 0o7777) == (entry.mtime, entry.mode)
    assert b"link" not in said
    assert all(oct(path.stat().st_mode)[-3:] == "600" for path in folder.iterdir())


def test_note_of_a_file_that_changed_is_made_anew(store: Store, folder: Path, tree: Path) -> None:
    first = by_name(back_up(store, folder, "one", tree))[b"empty"]
    (tree / "empty").write_text("full now")

    second = by_name(back_up(store, folder, "two", tree))[b"empty"]

    valid = noted.valid(noted.key_of(folder), noted.load(folder))
    assert first.sha256 != second.sha256 == hashlib.sha256(b"full now").hexdigest()
    assert valid[noted.mark_of(noted.key_of(folder), second.path)] == ("two", second)


def test_files_that_borg_does_not_read_are_noted_when_their_turn_comes(folder: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number:03d}" for number in range(300)]
    for path in paths:
        path.write_text(path.name)
    counts = []

    for number in range(engine_noting.SHARES):
        notes = engine_noting.Notes(folder)
        for path in paths:
            if notes.is_due(path.name.encode()):
                notes.look(path.name.encode(), str(path), path.lstat())
        notes.finish(f"{number:02d}")
        counts.append(len(noted.load(folder)[-1].entries))

    valid = noted.valid(noted.key_of(folder), noted.load(folder))
    assert len(valid) == 300
    assert all(entry.sha256 == hashlib.sha256(entry.path.encode()).hexdigest() for _archive, entry in valid.values())
    assert max(counts) < 30


def test_unchanged_files_are_noted_beside_a_backup_that_reads_none(store: Store, folder: Path, tmp_path: Path) -> None:
    tree = tmp_path / "many"
    tree.mkdir()
    for number in range(200):
        (tree / f"{number:03d}").write_text(str(number))
    settle(tree)
    (tree / "new").write_text("so that the others are older")
    back_up(store, folder, "one", tree)

    second = by_name(back_up(store, folder, "two", tree))

    assert len(second.keys() - {b"new"}) >= 1
    for name, entry in second.items():
        assert hashlib.sha256((tree / name.decode()).read_bytes()).hexdigest() == entry.sha256


def test_file_that_changes_while_it_is_looked_at_is_not_noted(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("now")
    seen = path.lstat()
    path.write_text("then")
    notes = engine_noting.Notes(folder)

    notes.look(b"file", str(path), seen)
    notes.finish("one")

    assert noted.load(folder)[0].entries == ()


def test_backup_that_fails_leaves_no_notes(store: Store, folder: Path, tree: Path) -> None:
    with pytest.raises(AssertionError):
        back_up(store, folder, "one", tree, "--no-such-option")

    assert noted.load(folder) == []


def test_older_notes_are_void_when_their_file_was_read_again() -> None:
    key = bytes(32)
    entry = Entry(path="a", size=1, mtime=2, mode=3, sha256="x")
    mark = noted.mark_of(key, "a")

    before = noted.valid(key, [Noted(archive="one", entries=(entry,))])
    after = noted.valid(key, [Noted(archive="one", entries=(entry,)), Noted(archive="two", round=1, changed=(mark,))])

    assert before == {mark: ("one", entry)}
    assert after == {}


def test_only_the_newest_notes_are_kept(tmp_path: Path) -> None:
    for number in range(noted.ARCHIVES_KEPT + 5):
        noted.keep(tmp_path, Noted(archive=f"{number}", round=number))

    kept = noted.load(tmp_path)

    assert [each.round for each in kept] == list(range(5, noted.ARCHIVES_KEPT + 5))


def test_notes_that_cannot_be_read_count_for_nothing(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="one"))
    (tmp_path / "half.json").write_text('{"archive": "ha')

    assert [each.archive for each in noted.load(tmp_path)] == ["one"]
