"""What a host tells of its folders."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agent import folders
from saveos.agent.folders import list_folder
from saveos.protocol import FolderListing, ListFolder

if TYPE_CHECKING:
    from pathlib import Path


def listing(path: Path | str) -> FolderListing:
    return list_folder(ListFolder(path=str(path)), threading.Event())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "Zoo").mkdir(parents=True)
    (top / "apple").mkdir()
    (top / "Book").write_bytes(b"x" * 7)
    (top / "away").symlink_to("/etc")
    os.mkfifo(top / "pipe")
    os.utime(top / "Book", (1_700_000_000, 1_700_000_000))
    return top


def test_folders_come_first_then_names_and_links_are_links(folder: Path) -> None:
    told = listing(folder)

    assert [("apple", "folder"), ("Zoo", "folder"), ("away", "link"), ("Book", "file"), ("pipe", "other")] == [
        (entry.name, entry.kind) for entry in told.entries
    ]
    assert (str(folder), False, "") == (told.path, told.is_cut, told.error)


def test_file_is_told_with_size_and_time(folder: Path) -> None:
    book = next(entry for entry in listing(folder).entries if entry.name == "Book")

    assert book.modified_at is not None
    assert (7, 1_700_000_000) == (book.size_bytes, book.modified_at.timestamp())


@pytest.mark.parametrize("path", ["", "/"])
def test_roots_are_what_lies_in_the_first_folder(path: str) -> None:
    told = listing(path)

    assert "/" == told.path
    assert "etc" in {entry.name for entry in told.entries}


@pytest.mark.parametrize(
    ("path", "error"),
    [("none", "not-found"), ("away", "not-a-folder"), ("Book", "not-a-folder"), ("pipe", "not-a-folder")],
)
def test_what_is_no_folder_is_refused_with_a_code(folder: Path, path: str, error: str) -> None:
    told = listing(folder / path)

    assert (error, ()) == (told.error, told.entries)
    assert told.message


@pytest.mark.parametrize("path", ["etc", "../etc", "/a\0b"])
def test_path_that_is_not_whole_is_not_found(path: str) -> None:
    assert "not-found" == listing(path).error


def test_folder_that_may_not_be_read_is_not_permitted() -> None:
    refusal = PermissionError(errno.EACCES, "Permission denied")  # nothing is forbidden to root

    assert "not-permitted" == folders._code(refusal)


def test_names_that_are_no_text_travel_as_escapes(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"odd-\xff\nname"), "wb"):
        pass

    names = [entry.name for entry in listing(tmp_path).entries]

    assert ["odd-\\udcff\nname"] == names
    assert msgspec.json.encode(names)


def test_time_that_no_calendar_holds_is_left_out(folder: Path) -> None:
    os.utime(folder / "Book", (-5_000_000_000, -5_000_000_000))

    assert [None] == [entry.modified_at for entry in listing(folder).entries if entry.name == "Book"]


def test_large_folder_is_cut_behind_its_first_names(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / f"{number:05d}").touch()

    told = listing(tmp_path)

    assert [f"{number:05d}" for number in range(2000)] == [entry.name for entry in told.entries]
    assert told.is_cut


def test_folder_of_long_names_is_cut_before_its_answer_is_too_large(tmp_path: Path) -> None:
    for number in range(1000):
        with open(os.path.join(os.fsencode(tmp_path), b"%03d" % number + b"\xff" * 250), "wb"):
            pass

    told = listing(tmp_path)

    assert told.is_cut
    assert 300_000 < len(msgspec.json.encode(told)) < 1_000_000


def test_slow_folder_is_cut_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SCAN_SECONDS", -1.0)

    told = listing(folder)

    assert ((), True) == (told.entries, told.is_cut)
