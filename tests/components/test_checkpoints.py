"""What checkpoints stand on: Borg never changes a finished segment, whatever is done to a repository."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.errors import StorageError
from saveos.repositories import evidence, quarantine, upkeep
from saveos.repositories.guarded import Guarded
from tests.support.agent import stock_borg
from tests.support.trees import differences

if TYPE_CHECKING:
    from pathlib import Path

PASSPHRASE = "open sesame"
SEGMENT_BYTES = 1_000_000
MAKING = (
    "import sys; from pathlib import Path; from saveos.repositories import quarantine; print(flush=True);"
    " quarantine.make(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))"
)


@dataclass
class Kept:
    """A repository of small segments, and the tree that its archives are of."""

    folder: Path
    life: int = 0

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def borg(self, *words: str, cwd: Path | None = None) -> str:
        # a home for each life of the repository: Borg itself refuses one that went back in time
        home = self.folder / f"home {self.life}"
        done = stock_borg(self.repository, PASSPHRASE, home, *words, folder=cwd or self.tree)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def change(self, number: int) -> None:
        """Let half of the files be others, as random as before."""
        self.tree.mkdir(exist_ok=True)
        for file in range(12):
            if file % 2 == number % 2 or not number:
                (self.tree / f"{file}").write_bytes(os.urandom(200_000))
        self.borg("create", f"::archive-{number}", ".")

    def roll_back(self, checkpoint: Path, spare: Path) -> None:
        quarantine.prepare(self.repository, checkpoint)
        quarantine.swap(self.repository, spare)
        self.life += 1

    def segments(self) -> dict[str, tuple[int, str]]:
        """Return inode and content of each segment, by its number."""
        return {
            path.name: (path.stat().st_ino, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in (self.repository / "data").glob("*/*")
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    kept = Kept(tmp_path_factory.mktemp("made"))
    kept.tree.mkdir()
    kept.borg("init", "--encryption=repokey-blake2")
    kept.borg("config", "::", "max_segment_size", str(SEGMENT_BYTES))
    for number in range(3):
        kept.change(number)
    return kept


@pytest.fixture
def kept(made: Kept, tmp_path: Path) -> Kept:
    """A copy with three archives of each test's own."""
    subprocess.run(["cp", "-a", f"{made.folder}/.", tmp_path], check=True)
    return Kept(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["create", "::another", "."],
        ["delete", "::archive-0"],
        ["prune", "--keep-last", "1"],
        ["compact", "--threshold", "0"],
        ["check"],
        ["check", "--verify-data"],
        ["rename", "::archive-1", "renamed"],
        ["recreate", "--exclude", "1", "::archive-1"],
        ["key", "change-passphrase"],
        ["config", "::", "additional_free_space", "0"],
    ],
    ids=" ".join,
)
def test_borg_replaces_segments_and_changes_none(kept: Kept, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BORG_NEW_PASSPHRASE", PASSPHRASE)
    kept.borg("delete", "::archive-2")  # so that there is something to compact
    before = kept.segments()

    kept.borg(*words)

    after = kept.segments()
    assert {} == {name: found for name, found in after.items() if name in before and before[name] != found}


def test_checkpoint_is_whole_after_all_that_it_was_kept_from(kept: Kept) -> None:
    checkpoint = kept.folder / "quarantine" / "one"
    tree = kept.folder / "as it was"
    subprocess.run(["cp", "-a", kept.tree, tree], check=True)
    quarantine.make(kept.repository, checkpoint, evidence.last_commit(kept.repository))
    assert quarantine.held_bytes(checkpoint.parent, kept.repository) < 5_000  # what is copied

    for number in range(3):
        kept.borg("delete", f"::archive-{number}")
    kept.change(4)
    compact(kept)

    assert quarantine.held_bytes(checkpoint.parent, kept.repository) > 2_000_000
    spare = checkpoint.with_name("spare")
    kept.roll_back(checkpoint, spare)
    assert ["archive-0", "archive-1", "archive-2"] == kept.borg("list", "--short").split()
    kept.borg("check", "--verify-data")
    target = kept.folder / "back"
    target.mkdir()
    kept.borg("extract", "::archive-2", cwd=target)
    os.utime(target, ns=(0, tree.stat().st_mtime_ns))  # Borg leaves the folder that it extracts into as it is
    assert [] == differences(tree, target)
    kept.roll_back(spare, checkpoint.with_name("third"))
    assert ["archive-4"] == kept.borg("list", "--short").split()
    kept.borg("check", "--verify-data")


def test_checkpoint_of_an_earlier_commit_is_what_was_then(kept: Kept) -> None:
    moment = evidence.last_commit(kept.repository)
    kept.borg("delete", "::archive-0", "archive-1", "archive-2")
    checkpoint = kept.folder / "quarantine" / "then"

    quarantine.make(kept.repository, checkpoint, moment)

    kept.roll_back(checkpoint, checkpoint.with_name("spare"))
    assert moment == upkeep.perform(order(kept)).segment
    assert ["archive-0", "archive-1", "archive-2"] == kept.borg("list", "--short").split()
    kept.borg("check", "--verify-data")


def test_nonce_never_goes_back(kept: Kept) -> None:
    checkpoint = kept.folder / "quarantine" / "one"
    quarantine.make(kept.repository, checkpoint, evidence.last_commit(kept.repository))
    kept.change(3)
    reached = int((kept.repository / "nonce").read_text(), 16)
    assert int((checkpoint / "nonce").read_text(), 16) < reached

    kept.roll_back(checkpoint, checkpoint.with_name("spare"))

    assert reached == int((kept.repository / "nonce").read_text(), 16)


def test_checkpoint_that_is_not_there_is_no_empty_repository(kept: Kept) -> None:
    with pytest.raises(StorageError):
        quarantine.prepare(kept.repository, kept.folder / "quarantine" / "gone")


def test_nonces_are_reserved_forwards_and_no_more_than_a_session_needs(kept: Kept) -> None:
    counter = evidence.Counter(kept.folder / "evidence", "", 0, ())
    reached = int((kept.repository / "nonce").read_text(), 16)
    with Guarded(str(kept.repository), counter, None, exclusive=True) as repository:
        for wrong in (reached - 1, 0, -1, reached + 2**44 + 1, 2**64 - 1, 2**64):
            with pytest.raises(ValueError, match="not to be had"):
                repository.commit_nonce_reservation(wrong, reached)
        repository.commit_nonce_reservation(reached + 2**29, reached)
        with pytest.raises(ValueError, match="not to be had"):
            repository.commit_nonce_reservation(reached, reached + 2**29)

    assert reached + 2**29 == int((kept.repository / "nonce").read_text(), 16)


def test_checkpoint_whose_making_is_killed_is_none_until_it_is_made_again(kept: Kept) -> None:
    for number in range(1000, 4000):  # so that there is something to interrupt
        folder = kept.repository / "data" / str(number // 1000)
        folder.mkdir(exist_ok=True)
        (folder / str(number)).write_bytes(evidence.COMMIT)
    quarantine_folder, moment = kept.folder / "quarantine", evidence.last_commit(kept.repository)
    whole = {path.relative_to(kept.repository / "data") for path in (kept.repository / "data").glob("*/*")}

    def segments(checkpoint: Path) -> set[Path]:
        return {path.relative_to(checkpoint / "data") for path in (checkpoint / "data").glob("*/*")}

    cut = 0
    for attempt in range(12):
        checkpoint = quarantine_folder / f"chk_{attempt}"
        words = ["-c", MAKING, str(kept.repository), str(checkpoint), str(moment)]
        with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(attempt * 0.02)
            process.kill()
        cut += not checkpoint.exists()
        assert not checkpoint.exists() or segments(checkpoint) == whole
        quarantine.make(kept.repository, checkpoint, moment)
        assert segments(checkpoint) == whole
        quarantine.remove(checkpoint)
        assert [] == list(quarantine_folder.iterdir())
    assert cut >= 2


@pytest.mark.faults
@pytest.mark.parametrize("seconds", [0.4, 0.6, 0.8])
def test_killed_compaction_loses_nothing(kept: Kept, seconds: float) -> None:
    kept.borg("delete", "::archive-0")
    process = subprocess.Popen(
        [sys.executable, "-m", "saveos.repositories.upkeep"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(order(kept, is_compacting=True)))
    process.stdin.close()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept.borg("break-lock")  # the lock is named as ours are: stock Borg does not know whether its holder lives

    assert {"archive-1", "archive-2"} == set(kept.borg("list", "--short").split())
    kept.borg("check", "--verify-data")
    compact(kept)
    kept.borg("check", "--verify-data")


def compact(kept: Kept) -> None:
    ending = upkeep.perform(order(kept, is_compacting=True))
    assert ("", evidence.last_commit(kept.repository)) == (ending.code, ending.segment)


def order(kept: Kept, *, is_compacting: bool = False) -> upkeep.Order:
    return upkeep.Order(repository=str(kept.repository), home=str(kept.folder / "upkeep"), compact=is_compacting)
