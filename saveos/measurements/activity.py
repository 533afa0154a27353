"""From counts per minute or hour to the bars of a chart: days and weeks begin where the reader lives. Pure."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from saveos.measurements.model import Bar, floor, from_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import tzinfo

    from saveos.measurements.model import Grain

DAY = timedelta(days=1)
NO_MINUTES = ":00"
SLOT_LETTERS = len("2026-01-01T00:00")


def starts(now: datetime, grain: Grain, zone: tzinfo) -> list[datetime]:
    """Return the beginnings of the bars that reach over the range; the last one is under way."""
    if grain.bar < DAY:
        step = int(grain.bar.total_seconds())
        first = floor(now - grain.span, step) + step
        return [from_seconds(second) for second in range(first, floor(now, step) + 1, step)]
    today = now.astimezone(zone).date()
    count, days = grain.span // grain.bar, grain.bar.days
    last = today - timedelta(days=today.weekday()) if days > 1 else today
    dates = [last - timedelta(days=days * number) for number in range(count - 1, -1, -1)]
    return [datetime(date.year, date.month, date.day, tzinfo=zone) for date in dates]


def gather(
    starts: Sequence[datetime], ended: Iterable[Mapping[str, Any]], added: Iterable[Mapping[str, Any]]
) -> list[Bar]:
    """Sum rows of (slot, state, count) and (slot, original_bytes, added_bytes) up into the bars."""
    moments = [start.timestamp() for start in starts]
    sums: list[dict[str, int]] = [{} for _ in starts]

    def put(slot: str, name: str, count: int) -> None:
        place = bisect_right(moments, moment_of(slot).timestamp()) - 1
        if place >= 0:
            sums[place][name] = sums[place].get(name, 0) + count

    for row in ended:
        put(row["slot"], row["state"], row["count"])
    for row in added:
        put(row["slot"], "original_bytes", row["original_bytes"])
        put(row["slot"], "added_bytes", row["added_bytes"])
    return [Bar(start=start, **found) for start, found in zip(starts, sums, strict=True)]


def moment_of(slot: str) -> datetime:
    """Return the moment of a slot: the first letters of a text time, up to its hour or its minute."""
    return datetime.fromisoformat((slot if len(slot) >= SLOT_LETTERS else slot + NO_MINUTES) + "+00:00")
