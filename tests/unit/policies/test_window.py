"""The maintenance window by the clock on the wall, also in the two nights when that clock jumps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.policies.window import in_window

BERLIN = ZoneInfo("Europe/Berlin")  # 29 March 2026: from 02:00 to 03:00; 25 October: from 03:00 back to 02:00
SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


def minutes_in(maintenance: str, begin: datetime) -> list[datetime]:
    """Return the minutes of the 24 hours from `begin` on that lie in the window."""
    day = [begin + timedelta(minutes=minute) for minute in range(24 * 60)]
    return [moment for moment in day if in_window(maintenance, BERLIN, moment)]


@pytest.mark.parametrize(
    ("maintenance", "hour", "expected"),
    [
        ("03:00-07:00", 3, True),
        ("03:00-07:00", 6, True),
        ("03:00-07:00", 7, False),
        ("03:00-07:00", 2, False),
        ("22:00-04:00", 23, True),
        ("22:00-04:00", 3, True),
        ("22:00-04:00", 4, False),
        ("22:00-04:00", 21, False),
        ("05:00-05:00", 4, True),
    ],
)
def test_in_window_reads_the_clock_of_the_zone(maintenance: str, hour: int, *, expected: bool) -> None:
    moment = datetime(2026, 7, 1, hour, 0, tzinfo=BERLIN)

    assert expected is in_window(maintenance, BERLIN, moment.astimezone(UTC))


@pytest.mark.parametrize(
    ("maintenance", "start", "first", "count"),
    [
        ("01:00-05:00", SPRING, "2026-03-29T00:00", 180),  # an hour of it does not exist
        ("02:00-03:00", SPRING, "2026-03-29T01:00", 60),  # all of it: it is 03:00 to 04:00
        ("02:10-02:40", SPRING, "2026-03-29T01:10", 30),
        ("01:30-02:30", SPRING, "2026-03-29T00:30", 60),  # its end is as much later
        ("01:00-02:30", SPRING, "2026-03-29T00:00", 90),
        ("02:30-04:00", SPRING, "2026-03-29T01:30", 30),
        ("01:00-05:00", AUTUMN, "2026-10-24T23:00", 300),
        ("02:00-03:00", AUTUMN, "2026-10-25T00:00", 120),  # both times
        ("02:15-02:30", AUTUMN, "2026-10-25T00:15", 75),  # from the first to the second
        ("23:00-02:30", AUTUMN, "2026-10-24T21:00", 270),
    ],
)
def test_in_window_when_the_clock_jumps(maintenance: str, start: datetime, first: str, count: int) -> None:
    inside = minutes_in(maintenance, start)

    assert (datetime.fromisoformat(f"{first}+00:00"), count) == (inside[0], len(inside))
    assert timedelta(minutes=count - 1) == inside[-1] - inside[0]


@given(st.times(), st.times(), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001 - made UTC below
def test_in_window_comes_every_day(begin: object, end: object, start: datetime) -> None:
    quarters = [start.replace(tzinfo=UTC) + timedelta(minutes=minute) for minute in range(0, 26 * 60, 1)]

    assert any(in_window(f"{begin:%H:%M}-{end:%H:%M}", BERLIN, moment) for moment in quarters)
