"""The day the disk is full: from growth that is steady, uneven, absent, or hardly known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from saveos.measurements.forecast import Trend, foresee
from saveos.measurements.model import Point

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
GB = 1e9


def grown(*values: float) -> list[Point]:
    """One value a day, the last one an hour ago."""
    count = len(values)
    return [
        Point(at=NOW - timedelta(days=count - 1 - place, hours=1), value=value) for place, value in enumerate(values)
    ]


def test_foresee_steady_growth_says_the_day() -> None:
    found = foresee(grown(*(100 * GB + day * GB for day in range(20))), 50 * GB, NOW)

    assert found.trend is Trend.GROWING
    assert found.daily_bytes == pytest.approx(GB)
    assert found.full_at == found.earliest_at == found.latest_at
    assert abs(found.full_at - (NOW + timedelta(days=50))) < timedelta(minutes=1)  # type: ignore[operator]


def test_foresee_one_huge_first_backup_hardly_moves_the_line() -> None:
    found = foresee(grown(0, *(900 * GB + day * GB for day in range(25))), 50 * GB, NOW)

    assert found.daily_bytes == pytest.approx(GB, rel=0.05)


def test_foresee_uneven_growth_says_how_unsure_it_is() -> None:
    steps, total = [0.2, 3.0, 0.5, 1.5, 0.1, 2.5, 4.0, 0.3] * 3, 0.0
    values = [total := total + step * GB for step in steps]

    found = foresee(grown(*values), 50 * GB, NOW)

    assert found.earliest_at and found.full_at and found.latest_at  # noqa: PT018 - all of them
    assert found.earliest_at < found.full_at < found.latest_at


def test_foresee_what_shrinks_is_steady() -> None:
    found = foresee(grown(*(100 * GB - day * GB for day in range(10))), 50 * GB, NOW)

    assert found.trend is Trend.STEADY
    assert found.full_at is None


def test_foresee_growth_beyond_the_horizon_is_steady() -> None:
    assert foresee(grown(*(day * 1e6 for day in range(10))), 900 * GB, NOW).trend is Trend.STEADY


@pytest.mark.parametrize("days", [0, 1, 4])
def test_foresee_too_little_history_is_unknown(days: int) -> None:
    assert foresee(grown(*(day * GB for day in range(days))), 50 * GB, NOW).trend is Trend.UNKNOWN


def test_foresee_many_samples_of_one_day_are_still_one_day() -> None:
    points = [Point(at=NOW - timedelta(minutes=minute), value=minute * GB) for minute in range(1, 600)]

    assert foresee(points, 50 * GB, NOW).trend is Trend.UNKNOWN


def test_foresee_a_full_disk_is_full_now() -> None:
    assert foresee(grown(*(day * GB for day in range(10))), 0, NOW).full_at == NOW
