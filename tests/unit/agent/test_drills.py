"""Which files a drill takes, and in what one that came back can differ."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from saveos.agent import drill_sample, noted
from saveos.agent.drills import difference
from saveos.agent.noted import Entry, Noted
from saveos.protocol import DrillOrder, NamedArchive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEWEST, OLDER = (NamedArchive(name=name, archive_id=digit * 64) for name, digit in (("new", "a"), ("old", "b")))


def entry(path: str, size: int = 10) -> Entry:
    return Entry(path=path, size=size, mtime=1_600_000_000_000_000_000, mode=0o644, sha256="0" * 64)


def order(**more: int) -> DrillOrder:
    return DrillOrder(nonce="0" * 64, archives=(NEWEST, OLDER), **more)


def test_all_files_are_taken_in_turn(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="old", entries=tuple(entry(f"{number}") for number in range(100))))
    taken: set[str] = set()

    for _round in range(7):  # sixteen a time follow each other
        samples = drill_sample.choose(tmp_path, order(files_limit=24))
        newest = next(sample for sample in samples if sample.archive == NEWEST)
        assert len({each.path for _archive, each in newest.files}) == 24
        taken |= {each.path for _archive, each in newest.files}

    assert len(taken) == 100


def test_sample_keeps_within_its_bytes(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="new", entries=tuple(entry(f"{number}", 30) for number in range(50))))

    (sample, *_older) = drill_sample.choose(tmp_path, order(bytes_limit=100))

    assert sum(each.size for _archive, each in sample.files) == 90


def test_older_archive_is_taken_now_and_then_with_what_was_noted_of_it(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="old", round=0, entries=(entry("a"), entry("b"))))
    noted.keep(tmp_path, Noted(archive="new", round=1, entries=(entry("a"),)))

    rounds = [drill_sample.choose(tmp_path, order()) for _round in range(60)]

    older = [sample for samples in rounds for sample in samples if sample.archive == OLDER]
    assert 5 <= len(older) <= 40
    assert all(archive == "old" for sample in older for archive, _entry in sample.files)


def test_notes_of_archives_that_are_no_more_are_not_taken(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="deleted", entries=(entry("a"),)))

    assert drill_sample.choose(tmp_path, order()) == []
    assert drill_sample.choose(tmp_path, DrillOrder(nonce="0" * 64)) == []


@pytest.fixture
def restored(tmp_path: Path) -> tuple[Path, Entry]:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_600_000_000_123_456_789))
    digest = hashlib.sha256(b"content").hexdigest()
    return path, Entry(path="file", size=7, mtime=1_600_000_000_123_456_789, mode=0o640, sha256=digest)


def other_bytes(path: Path) -> None:
    path.write_bytes(b"Content")


def longer(path: Path) -> None:
    path.write_bytes(b"content ")


def other_mode(path: Path) -> None:
    path.chmod(0o600)


def other_time(path: Path) -> None:
    os.utime(path, ns=(1, 1_600_000_001_123_456_789))


def gone(path: Path) -> None:
    path.unlink()


def a_link(path: Path) -> None:
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda _path: None, ""),
        (other_bytes, "content"),
        (longer, "size"),
        (other_mode, "mode"),
        (other_time, "time"),
        (gone, "missing"),
        (a_link, "missing"),
        (a_pipe, "missing"),
    ],
)
def test_restored_file_differs_in(restored: tuple[Path, Entry], spoil: Callable[[Path], None], what: str) -> None:
    path, expected = restored

    spoil(path)

    assert what == difference(path, expected)
