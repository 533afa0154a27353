"""What counts as taken and what as skipped."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from saveos.agent.counts import Counts
from saveos.protocol import ExcludesTried

if TYPE_CHECKING:
    from pathlib import Path


def counts() -> Counts:
    return Counts(lambda _tried: None)


def put(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def test_file_with_several_names_is_taken_once(tmp_path: Path) -> None:
    first = put(tmp_path / "first", 10)
    os.link(first, tmp_path / "second")
    made = counts()

    for path in (first, tmp_path / "second"):
        made.process_file(path=str(path), st=path.lstat())

    assert (1, 10) == (made.tried().files_count, made.tried().original_bytes)


def test_skipped_folder_counts_all_that_it_holds_and_follows_no_link(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "one", 10)
    put(tmp_path / "cache" / "deep" / "two", 20)
    os.link(tmp_path / "cache" / "one", tmp_path / "cache" / "deep" / "again")
    (tmp_path / "cache" / "away").symlink_to("/usr")
    made = counts()

    made.skip(str(tmp_path / "cache"))

    assert ExcludesTried(
        skipped_files_count=2, skipped_bytes=30, examples=(str(tmp_path / "cache"),), is_final=True
    ) == made.tried(is_final=True)


def test_examples_are_the_largest_and_fifty_at_most(tmp_path: Path) -> None:
    made = counts()

    for size in range(60):
        made.skip(str(put(tmp_path / f"{size:02d}", size)))

    assert tuple(str(tmp_path / f"{size:02d}") for size in range(59, 9, -1)) == made.tried().examples


def test_what_is_gone_meanwhile_counts_nothing(tmp_path: Path) -> None:
    made = counts()

    made.skip(str(tmp_path / "gone"))

    assert ExcludesTried() == made.tried()


def test_sizes_of_a_file_system_that_stores_nothing_do_not_count() -> None:
    made = counts()

    made.skip("/proc")

    assert 0 == made.tried().skipped_bytes
