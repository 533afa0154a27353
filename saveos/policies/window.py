"""When may a repository be tidied? A window of each day by a zone's clock, across midnight and daylight saving."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo


def in_window(maintenance: str, zone: tzinfo, moment: datetime) -> bool:
    """Return whether the moment lies in the window: from its beginning, up to but without its end.

    `maintenance`: "HH:MM-HH:MM" as `terms.checked` lets it pass; the same time twice is any time. In autumn the hour
    that comes twice counts both times. In spring a time that is skipped is as much later, and a window that would be
    left with nothing has its length after the gap: no night goes without.
    """
    begin, end = (time.fromisoformat(text) for text in maintenance.split("-"))
    if begin == end:
        return True
    today = moment.astimezone(zone).date()
    return any(_is_within(day, begin, end, zone, moment) for day in (today - timedelta(days=1), today))


def _is_within(day: date, begin: time, end: time, zone: tzinfo, moment: datetime) -> bool:
    """Return whether the moment lies in the window that begins on that day."""
    last = day if end > begin else day + timedelta(days=1)
    ends = datetime.combine(last, end, zone)
    starts_at = datetime.combine(day, begin, zone).astimezone(UTC)
    ends_at = ends.replace(fold=0 if _is_skipped(ends) else 1).astimezone(UTC)
    if ends_at <= starts_at:
        ends_at = starts_at + (datetime.combine(last, end) - datetime.combine(day, begin))
    return starts_at <= moment < ends_at


def _is_skipped(local: datetime) -> bool:
    """Return whether no clock ever showed this time."""
    return local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None)
