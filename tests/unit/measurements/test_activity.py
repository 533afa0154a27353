"""Bars begin where the reader's hours, days and weeks begin, and everything counted falls into one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from saveos.measurements import activity
from saveos.measurements.model import GRAINS, Bar, Range

NOW = datetime(2026, 3, 31, 12, 7, 9, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


@pytest.mark.parametrize(
    ("span", "count"), [(Range.HOUR, 12), (Range.DAY, 24), (Range.WEEK, 7), (Range.MONTH, 30), (Range.YEAR, 52)]
)
def test_starts_cover_the_range_and_hold_this_moment(span: Range, count: int) -> None:
    starts = activity.starts(NOW, GRAINS[span], PARIS)

    assert count == len(starts)
    assert starts[-1] <= NOW < starts[-1] + GRAINS[span].bar


def test_starts_of_days_are_local_midnights_across_a_change_of_clocks() -> None:
    starts = activity.starts(NOW, GRAINS[Range.WEEK], PARIS)  # summer time began on the 29th

    assert {0} == {start.hour for start in starts}
    assert timedelta(hours=23) in {
        later.astimezone(UTC) - earlier.astimezone(UTC) for earlier, later in pairwise(starts)
    }


def test_gather_puts_a_late_evening_into_the_readers_next_day() -> None:
    starts = activity.starts(NOW, GRAINS[Range.WEEK], PARIS)
    ended = [{"slot": "2026-03-30T22", "state": "failed", "count": 2}]  # midnight in Paris
    added = [{"slot": "2026-03-30T21", "original_bytes": 9, "added_bytes": 3}]

    bars = activity.gather(starts, ended, added)

    assert Bar(start=starts[-1], failed=2) == bars[-1]
    assert Bar(start=starts[-2], original_bytes=9, added_bytes=3) == bars[-2]


def test_gather_leaves_out_what_was_before() -> None:
    starts = activity.starts(NOW, GRAINS[Range.DAY], UTC)

    bars = activity.gather(starts, [{"slot": "2026-03-30T11", "state": "done", "count": 1}], [])

    assert 0 == sum(bar.done for bar in bars)


def test_gather_reads_slots_of_minutes() -> None:
    starts = activity.starts(NOW, GRAINS[Range.HOUR], UTC)

    bars = activity.gather(starts, [{"slot": "2026-03-31T12:06", "state": "done", "count": 1}], [])

    assert Bar(start=starts[-1], done=1) == bars[-1]
