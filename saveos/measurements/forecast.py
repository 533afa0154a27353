"""When is the disk full? A robust line over the last days, and how far it can be trusted. Pure."""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from saveos.measurements.model import Point

DAYS = 30
DAYS_NEEDED = 5  # fewer tell of a single backup rather than of a trend
HORIZON = timedelta(days=5 * 365)  # beyond, a line says nothing
DAY_SECONDS = 86400


class Trend(StrEnum):
    """What can be said."""

    UNKNOWN = "unknown"  # too little history
    STEADY = "steady"  # it does not grow, or so slowly that the disk lasts beyond the horizon
    GROWING = "growing"


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The day when nothing is free any more, if things go on as they did.

    `earliest_at` and `latest_at` come from the faster and the slower half of what was seen: half of all pairs of days
    grew at a rate between the two. `latest_at` None: at the slower rate it lasts beyond the horizon.
    """

    trend: Trend
    daily_bytes: float = 0.0
    full_at: datetime | None = None
    earliest_at: datetime | None = None
    latest_at: datetime | None = None


def foresee(points: Iterable[Point], free_bytes: float, now: datetime) -> Forecast:
    """Draw a line through what was used on each of the last 30 days (Theil-Sen: the median slope of all pairs).

    One huge day, a first full backup or something deleted, hardly moves it, where a mean would follow.
    """
    days = _by_day(points, now)
    if len(days) < DAYS_NEEDED:
        return Forecast(trend=Trend.UNKNOWN)
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in combinations(days, 2)]
    low, slope, high = statistics.quantiles(slopes, n=4)
    full_at = _when(free_bytes, slope, now)
    if full_at is None:
        return Forecast(trend=Trend.STEADY, daily_bytes=slope)
    return Forecast(
        trend=Trend.GROWING,
        daily_bytes=slope,
        full_at=full_at,
        earliest_at=_when(free_bytes, high, now),
        latest_at=_when(free_bytes, low, now),
    )


def _by_day(points: Iterable[Point], now: datetime) -> list[tuple[int, float]]:
    """Return (day, median of its values), oldest first; days are spans of 24 h that end now."""
    by_day: dict[int, list[float]] = {}
    for point in points:
        age = (now - point.at).total_seconds()
        if 0 <= age < DAYS * DAY_SECONDS:
            by_day.setdefault(-int(age // DAY_SECONDS), []).append(point.value)
    return [(day, statistics.median(values)) for day, values in sorted(by_day.items())]


def _when(free_bytes: float, daily_bytes: float, now: datetime) -> datetime | None:
    if daily_bytes <= 0 or free_bytes > daily_bytes * HORIZON.days:
        return None
    return now + timedelta(days=max(0.0, free_bytes) / daily_bytes)
