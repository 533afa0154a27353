"""What the guard counts while the real Borg backs a real tree up, and what comes of it when a third is encrypted."""

# ruff: noqa: S311 - dice of a test

from __future__ import annotations

import gzip
import random
import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agent import canaries, engine_guard, guard
from saveos.agent.engine_guard import Noted
from saveos.protocol import GuardFacts, SampledFacts
from saveos.snapshots.anomaly import Run, Sign, findings
from tests.support.guarded import LocalHost, encrypted, make_tree, picture, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.protocol import ArchiveFacts

FILES = 10_000  # 100,000 in `packaging/run bench --guard`


def judged(facts: ArchiveFacts, *history: ArchiveFacts) -> set[Sign]:
    """What the appliance finds, after these former backups."""
    return {finding.sign for finding in findings(run_of(facts), [run_of(one) for one in reversed(history)])}


def run_of(facts: ArchiveFacts) -> Run:
    assert facts.guard is not None
    return Run(
        facts=facts.guard,
        files_count=facts.files_count,
        original_bytes=facts.original_bytes,
        added_bytes=facts.added_bytes,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalHost, Path, list[Path]]]:
    """A host with one backup of a large tree."""
    folder = tmp_path_factory.mktemp("guard")
    tree = folder / "tree"
    files = make_tree(tree, FILES)
    host = LocalHost(folder / "host")
    host.back_up(tree)
    yield host, tree, files
    shutil.rmtree(folder)


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    return LocalHost(tmp_path / "host")


def test_a_third_encrypted_is_found_in_the_same_run_with_and_without_another_ending(
    large: tuple[LocalHost, Path, list[Path]],
) -> None:
    host, tree, files = large
    (tree / "one more.txt").write_bytes(text(random.Random(7), 3000))
    calm = host.back_up(tree)
    assert calm.guard is not None
    assert (0, 0) == (calm.guard.changed_files, calm.guard.changed.random)
    assert 1 <= calm.guard.new_files <= 2  # Borg reads the newest file again, as its time may hide a change
    assert set() == judged(calm, host.archives[0])

    harmed = list(encrypted(files, 0.3))
    facts = host.back_up(tree)

    assert facts.guard is not None
    assert len(harmed) == facts.guard.changed_files
    assert facts.guard.changed.random >= 0.95 * len(harmed)
    assert facts.guard.changed.entropy > 7.8
    assert {Sign.BROKEN} == judged(facts, *host.archives[:2])

    left = [path for path in files if path not in set(harmed)]
    for path in encrypted(left, 0.3, seed=3):
        path.rename(path.with_name(path.name + ".locked"))
    facts = host.back_up(tree)

    assert facts.guard is not None
    count = int(len(left) * 0.3)
    assert (count, count, count) == (
        facts.guard.vanished_files,
        facts.guard.renamed_files,
        facts.guard.one_extension_files,
    )
    assert Sign.RENAMED in judged(facts, *host.archives[:2])


def test_another_ending_in_the_place_of_the_first_is_seen(host: LocalHost, tmp_path: Path) -> None:
    files = make_tree(tmp_path / "tree", 100)
    host.back_up(tmp_path / "tree")
    for path in encrypted(files, 0.3):
        path.rename(path.with_suffix(".crypt"))

    facts = host.back_up(tmp_path / "tree")

    assert facts.guard is not None
    assert (30, 30) == (facts.guard.renamed_files, facts.guard.one_extension_files)
    assert Sign.RENAMED in judged(facts, host.archives[0])


def test_pictures_renamed_and_logs_packed_are_no_harm(host: LocalHost, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    dice = random.Random(1)
    for number in range(120):
        (tree / f"picture {number}.jpeg").write_bytes(picture(dice, 5000))
        (tree / f"log.{number}").write_bytes(text(dice, 5000))
    host.back_up(tree)
    for path in [*tree.glob("*.jpeg")]:
        path.rename(path.with_suffix(".jpg"))
    for path in [*tree.glob("log.*")]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes() + dice.randbytes(4000)))
        path.unlink()

    facts = host.back_up(tree)

    assert facts.guard is not None
    assert 240 == facts.guard.renamed_files
    assert (0, 0) == (facts.guard.new.random, facts.guard.new.broken)
    assert set() == judged(facts, host.archives[0])


def test_a_moved_folder_vanishes_and_appears_and_adds_nothing(host: LocalHost, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 400)
    host.back_up(tmp_path / "tree")
    (tmp_path / "tree" / "folder 0000").rename(tmp_path / "tree" / "moved")

    facts = host.back_up(tmp_path / "tree")

    assert facts.guard is not None
    assert (200, 200, 0) == (facts.guard.vanished_files, facts.guard.appeared_files, facts.guard.renamed_files)
    assert set() == judged(facts, host.archives[0])


def test_other_sources_are_not_compared(host: LocalHost, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 10)
    make_tree(tmp_path / "other", 10)
    host.back_up(tmp_path / "tree", tmp_path / "other")

    facts = host.back_up(tmp_path / "tree")

    assert facts.guard is not None
    assert facts.guard.vanished_files is None


def test_counts_of_an_interrupted_attempt_are_added_to_those_of_the_next(host: LocalHost, tmp_path: Path) -> None:
    """What an attempt found changed before its checkpoint, the next one finds unchanged."""
    files = make_tree(tmp_path / "tree", 50)
    host.back_up(tmp_path / "tree")
    list(encrypted(files, 0.2))
    before = GuardFacts(changed_files=5, changed=SampledFacts(count=5, random=5, promised=5, broken=5, entropy=8.0))
    noted = Noted(archive="archive-1", facts=before)
    (host.home.state / engine_guard.NAME).write_bytes(msgspec.json.encode(noted))

    facts = host.guarded(tmp_path / "tree")

    assert (15, 15) == (facts.changed_files, facts.changed.broken)
    assert 50 == facts.unchanged_files + facts.changed_files + facts.new_files


def test_a_damaged_listing_is_compared_with_nothing(host: LocalHost, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 5)
    host.back_up(tmp_path / "tree")
    listing = host.home.listings / "archive-0.gz"
    listing.write_bytes(gzip.compress(b"a\0f 1 1 644 0\n" * 1000)[:-20] + b"damaged")

    facts = host.guarded(tmp_path / "tree")

    assert facts.vanished_files is None
    assert host.guarded(tmp_path / "tree").vanished_files == 0


def test_what_nobody_counted_is_not_told(host: LocalHost, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 5)

    assert host.back_up(tmp_path / "tree", is_guarded=False).guard is None
    assert guard.facts_of(host.home, "another", ()) is None


def test_a_decoy_that_changes_is_lost_and_one_whose_folder_went_is_not(tmp_path: Path) -> None:
    state, first, second = tmp_path / "state", tmp_path / "first", tmp_path / "second"
    for folder in (state, first, second):
        folder.mkdir()
    (first / canaries.NAMES[1]).write_text("my own file")
    sources = [str(first), str(second), str(tmp_path / "missing")]

    canaries.place(state, sources, is_wanted=True)
    assert (3, 0) == canaries.look(state, "first")
    assert "my own file" == (first / canaries.NAMES[1]).read_text()

    (first / canaries.NAMES[0]).write_bytes(b"noise")
    shutil.rmtree(second)
    assert (1, 1) == canaries.look(state, "second")

    canaries.place(state, sources, is_wanted=False)
    assert (0, 0) == canaries.look(state, "third")
    assert b"noise" == (first / canaries.NAMES[0]).read_bytes()


def test_decoys_are_taken_away_when_nobody_wants_them(tmp_path: Path) -> None:
    canaries.place(tmp_path, [str(tmp_path)], is_wanted=True)
    assert (tmp_path / canaries.NAMES[0]).exists()

    canaries.place(tmp_path, [str(tmp_path)], is_wanted=False)

    assert [] == list(tmp_path.glob("*canary*"))


def test_decoys_that_were_taken_are_told_again_of_the_archive_whose_report_did_not_arrive(tmp_path: Path) -> None:
    sources = [str(tmp_path)]
    canaries.place(tmp_path, sources, is_wanted=True)
    (tmp_path / canaries.NAMES[0]).unlink()

    told = [canaries.look(tmp_path, name) for name in ("first", "first", "second")]

    assert [(2, 1), (2, 1), (1, 0)] == told
    canaries.place(tmp_path, sources, is_wanted=True)
    assert (2, 0) == canaries.look(tmp_path, "third")


@pytest.mark.parametrize(("meanwhile", "expected"), [("nothing", (2, 0)), ("changed", (2, 1)), ("anew", (2, 0))])
def test_decoys_of_a_folder_that_was_away_for_a_while_are_watched_again(
    tmp_path: Path, meanwhile: str, expected: tuple[int, int]
) -> None:
    """Such as a disk that is plugged in now and then; a folder that is made anew has lost nothing."""
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    canaries.place(tmp_path, [str(folder)], is_wanted=True)
    folder.rename(away)
    canaries.place(tmp_path, [str(folder)], is_wanted=True)
    assert (0, 0) == canaries.look(tmp_path, "first")
    if meanwhile == "changed":
        (away / canaries.NAMES[0]).write_bytes(b"noise")
    if meanwhile == "anew":
        shutil.rmtree(away)
        away.mkdir()
    away.rename(folder)

    canaries.place(tmp_path, [str(folder)], is_wanted=True)

    assert expected == canaries.look(tmp_path, "second")


def test_decoys_of_a_folder_that_is_away_go_when_it_comes_back_to_a_policy_without_them(tmp_path: Path) -> None:
    folder, away = tmp_path / "folder", tmp_path / "away"
    folder.mkdir()
    canaries.place(tmp_path, [str(folder)], is_wanted=True)
    folder.rename(away)
    canaries.look(tmp_path, "first")
    canaries.place(tmp_path, [str(folder)], is_wanted=False)
    away.rename(folder)

    canaries.place(tmp_path, [str(folder)], is_wanted=False)

    assert [] == list(folder.iterdir())
