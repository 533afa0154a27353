"""Which files a drill takes, and in what one that came back can differ."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agent import drill_sample, drills, noted
from saveos.agent.drill_sample import Sample
from saveos.agent.drills import Tally, difference
from saveos.agent.engine_extract import Extracted
from saveos.agent.noted import Entry, Noted
from saveos.protocol import DrillOrder, NamedArchive, RestoreFacts

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


def test_last_word_on_a_file_counts_although_its_archive_is_no_more(tmp_path: Path) -> None:
    """Its mode, or its content at the same time, changed before a backup that retention has removed since."""
    first, second = entry("a"), msgspec.structs.replace(entry("a"), mode=0o600)
    noted.keep(tmp_path, Noted(archive="old", round=0, entries=(first, entry("b"))))
    void = noted.mark_of(noted.key_of(tmp_path), "b")
    noted.keep(tmp_path, Noted(archive="deleted", round=1, entries=(second,), changed=(void,)))
    noted.keep(tmp_path, Noted(archive="new", round=2))

    samples = drill_sample.choose(tmp_path, order())

    assert [("deleted", second)] == [each for sample in samples if sample.archive == NEWEST for each in sample.files]


def test_word_on_a_file_that_came_after_the_archive_does_not_count(tmp_path: Path) -> None:
    noted.keep(tmp_path, Noted(archive="old", round=0, entries=(entry("a"),)))
    noted.keep(tmp_path, Noted(archive="suspect", round=1, entries=(msgspec.structs.replace(entry("a"), mode=0o600),)))

    (sample,) = drill_sample.choose(tmp_path, DrillOrder(nonce="0" * 64, archives=(OLDER,)))

    assert [("old", entry("a"))] == list(sample.files)


def test_what_the_newest_archive_does_not_hold_is_taken_out_of_its_own() -> None:
    passed = [("old", entry("a")), ("gone", entry("b")), ("old", entry("c"))]

    sample = drill_sample.of_their_own(passed, 1, order())

    assert Sample(archive=OLDER, files=(passed[0], passed[2])) == sample
    assert drill_sample.of_their_own(passed, 3, order()) is None  # some files change: most were compared
    assert drill_sample.of_their_own(passed[1:2], 0, order()) is None


@pytest.mark.parametrize(("archive", "count"), [("new", 1), ("old", 0)])
def test_mode_of_another_archives_note_says_nothing_about_restoring(
    restored: tuple[Path, Entry], archive: str, count: int
) -> None:
    path, expected = restored
    path.chmod(0o600)
    tally = Tally()

    sample, extracted = Sample(archive=NEWEST, files=((archive, expected),)), Extracted(facts=RestoreFacts())
    drills._compare(sample, path.parent, extracted, tally)

    assert (count, 1 - count) == (len(tally.mismatches), len(tally.passed_over))


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
