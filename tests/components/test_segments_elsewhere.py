"""What Borg 1.4 does when old segments are not on the disk: why all of them stay here (note 30)."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.agent import stock_borg

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

PASSPHRASE = "open sesame"
OLD = 8  # segments that lie elsewhere: the first two archives


@dataclass
class Thinned:
    """A repository of four archives whose oldest segments lie elsewhere."""

    folder: Path

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def borg(self, *words: str) -> subprocess.CompletedProcess[str]:
        return stock_borg(self.repository, PASSPHRASE, self.folder / "home", *words, folder=self.folder / "tree")

    def make(self) -> None:
        tree = self.folder / "tree"
        tree.mkdir()
        self.borg("init", "--encryption=repokey-blake2")
        self.borg("config", "::", "max_segment_size", "1000000")
        for number in range(4):
            shutil.rmtree(tree)
            tree.mkdir()
            for file in "ab":
                (tree / file).write_bytes(os.urandom(900_000))
            assert 0 == self.borg("create", f"::{number}", ".").returncode

    def thin_out(self) -> None:
        shutil.copytree(self.repository, self.folder / "whole")
        segments = sorted((self.repository / "data" / "0").iterdir(), key=lambda path: int(path.name))
        for segment in segments[:OLD]:
            segment.unlink()

    def fetch_back(self) -> None:
        for segment in (self.folder / "whole" / "data" / "0").iterdir():
            if not (self.repository / "data" / "0" / segment.name).exists():
                shutil.copy2(segment, self.repository / "data" / "0")


@pytest.fixture
def thinned(tmp_path: Path) -> Thinned:
    thinned = Thinned(tmp_path)
    thinned.make()
    thinned.thin_out()
    return thinned


def test_only_a_backup_whose_host_remembers_everything_goes_well(thinned: Thinned) -> None:
    warm = thinned.borg("create", "::warm", ".")
    shutil.rmtree(thinned.folder / "home" / ".cache")  # a host that was set up anew
    cold = thinned.borg("create", "::cold", ".")

    assert 0 == warm.returncode
    assert 0 != cold.returncode


def test_old_snapshot_cannot_be_deleted(thinned: Thinned) -> None:
    done = thinned.borg("delete", "::0")

    assert 0 != done.returncode


def test_index_that_is_made_anew_forgets_what_lies_elsewhere_and_says_nothing(thinned: Thinned) -> None:
    for path in thinned.repository.glob("[ih]n*.*"):  # index, integrity, hints: as after a crash
        path.unlink()
    listed = thinned.borg("list", "--short")
    thinned.fetch_back()
    extracted = thinned.borg("extract", "--dry-run", "::0")
    checked = thinned.borg("check", "--repository-only")

    assert (0, ["0", "1", "2", "3"]) == (listed.returncode, listed.stdout.split())
    assert 0 != extracted.returncode  # though every segment is here again
    assert 0 != checked.returncode


def test_compaction_forgets_what_it_could_free(thinned: Thinned) -> None:
    thinned.fetch_back()
    thinned.borg("delete", "::0", "1")
    shutil.rmtree(thinned.folder / "whole")
    thinned.thin_out()
    compacted = thinned.borg("compact", "--threshold=1")
    thinned.fetch_back()

    again = thinned.borg("compact", "--threshold=1")

    assert (0, 0) == (compacted.returncode, again.returncode)
    assert "listed in compaction data" in compacted.stderr
    left = sum(path.stat().st_size for path in (thinned.repository / "data" / "0").iterdir())
    assert left > 4 * 1_800_000 - 500_000  # of four archives, two of which are no more
