"""A self-backup and a recovery are killed at each change of files that they make: nothing half is taken for whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saveos.selfbackup.sealed import Opener
from tests.support.selfbackup import Burning, modes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SAMPLES = 6


@pytest.fixture(scope="module")
def burning(tmp_path_factory: pytest.TempPathFactory) -> Burning:
    burning = Burning.made(tmp_path_factory.mktemp("deaths") / "appliance")
    burning.copying.back_up()
    (burning.folder / "code").write_text(burning.code)
    return burning


def run(burning: Burning, what: str, end: int) -> subprocess.CompletedProcess[str]:
    words = [what, str(burning.folder), str(burning.folder / "code"), str(end)]
    return subprocess.run(
        [sys.executable, "-m", "tests.support.selfbackup_process", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )


def deaths(burning: Burning, what: str, request: pytest.FixtureRequest) -> Iterator[int]:
    """Kill it at some of its changes, or with the matrix at each; give after how many."""
    whole = run(burning, what, 0)
    assert 0 == whole.returncode, whole.stderr
    count = int(whole.stdout)
    is_matrix = bool(request.config.option.markexpr)
    for end in range(1, count + 1, 1 if is_matrix else max(1, count // SAMPLES)):
        if what == "recover":
            shutil.rmtree(burning.back.folder, ignore_errors=True)
        assert -9 == run(burning, what, end).returncode
        yield end


def assert_whole(path: Path, burning: Burning) -> None:
    with path.open("rb") as file:
        opener = Opener(file, burning.key)
        while opener.readinto(bytearray(1 << 20)):
            pass


@pytest.mark.faults
def test_self_backup_that_is_killed_leaves_no_half_one(burning: Burning, request: pytest.FixtureRequest) -> None:
    for _end in deaths(burning, "make", request):
        for path in burning.copies:
            assert_whole(path, burning)

    made = burning.back_up()

    assert_whole(made.path, burning)
    assert not list(burning.data.glob("*.part*")) + list((burning.data / "self").glob("*.part"))


@pytest.mark.faults
def test_recovery_that_is_killed_leaves_nothing_half(burning: Burning, request: pytest.FixtureRequest) -> None:
    burning.back_up()

    for end in deaths(burning, "recover", request):
        if burning.back.folder.exists():
            assert_came_back(burning)
        assert 0 == run(burning, "recover", 0).returncode or burning.back.folder.exists(), end
        assert_came_back(burning)

    assert not list(burning.folder.glob(".back.recovering/*"))


def assert_came_back(burning: Burning) -> None:
    assert [("agt_atelier", None)] == burning.rows("SELECT agent_id, away_at FROM repositories")
    assert [("ok",)] == burning.rows("PRAGMA integrity_check")
    assert {"d 700", "f 600"} >= {mode for mode in modes(burning.back.folder) if "repositories" not in mode}
