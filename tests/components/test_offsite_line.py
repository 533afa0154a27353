"""Copies over a line, and to a store, that are not what one would wish."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from saveos.errors import OffsiteTaken
from saveos.offsite import upload
from saveos.offsite.model import StepName
from saveos.offsite.probe import probe
from tests.support.offsite import Copying
from tests.support.s3 import SECRET
from tests.support.s3_line import line_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3 import Weed


@pytest.mark.parametrize("fault", ["busy", "cut-request", "cut-answer"])
def test_copy_and_way_back_bear_a_line_that_fails_each_third_time(s3: Weed, tmp_path: Path, fault: str) -> None:
    with line_to(s3.port, fault=fault) as line:
        copying = Copying.made(tmp_path, s3.place(s3.bucket(), endpoint=line.endpoint))
        copying.back_up()

        copying.copy()
        assert copying.verify().endswith("all as it was written.")
        shutil.rmtree(copying.repository)
        copying.rehydrate()

        assert line.faults_count > 5
        copying.assert_restores("archive-0")
        copying.world.close()


def test_parts_that_are_cut_in_the_middle_are_sent_again(
    s3: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 5 * 1024**2)
    with line_to(s3.port, fault="cut-request") as line:
        copying = Copying.made(tmp_path, s3.place(s3.bucket(), endpoint=line.endpoint))
        copying.borg("config", "::", "max_segment_size", "40000000")
        copying.back_up(files=3, size=9_000_000)

        copying.copy()

        assert line.faults_count > 2
        assert copying.verify().endswith("all as it was written.")
        copying.world.close()


def test_store_without_conditions_is_held_all_the_same(s3: Weed, tmp_path: Path) -> None:
    with line_to(s3.port, has_conditions=False) as line:
        copying = Copying.made(tmp_path / "one", s3.place(s3.bucket(), endpoint=line.endpoint))
        other = Copying.made(tmp_path / "other", copying.store.place)
        report = probe(copying.store.place, SECRET)
        for each in (copying, other):
            each.back_up()

        copying.copy()
        with pytest.raises(OffsiteTaken):
            other.copy()

        assert report.is_usable
        assert not report.is_ok(StepName.CONDITION)
        for each in (copying, other):
            each.world.close()
