"""The calendar across daylight saving, and cron's numbers for weekdays."""

from datetime import UTC, datetime

import pytest

from saveos.errors import InvalidRequest
from saveos.policies.due import due_key, next_due

AUTUMN = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # Berlin goes back from 03:00 to 02:00 at 01:00 UTC


def test_next_due_in_autumn_counts_a_fixed_hour_once() -> None:
    first = next_due("30 2 * * *", "Europe/Berlin", AUTUMN)
    assert first is not None
    second = next_due("30 2 * * *", "Europe/Berlin", first.replace(microsecond=1))
    assert second is not None

    keys = {due_key("p", "a", "30 2 * * *", "Europe/Berlin", moment) for moment in (first, second)}

    assert {"p/a/2026-10-25T02:30"} == keys


def test_next_due_in_autumn_counts_every_hour_twice() -> None:
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    second = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)

    keys = {due_key("p", "a", "30 * * * *", "Europe/Berlin", moment) for moment in (first, second)}

    assert 2 == len(keys)


def test_next_due_in_spring_fires_once_for_an_hour_that_does_not_exist() -> None:
    moment = next_due("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 28, 12, tzinfo=UTC))

    assert datetime(2026, 3, 29, 1, 30, tzinfo=UTC) == moment


@pytest.mark.parametrize(("weekday", "expected_day"), [("0", 29), ("7", 29), ("1", 23), ("1-5", 23), ("mon", 23)])
def test_next_due_reads_weekdays_as_cron_does(weekday: str, expected_day: int) -> None:
    monday_midnight = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)

    moment = next_due(f"0 3 * * {weekday}", "UTC", monday_midnight)

    assert moment is not None
    assert expected_day == moment.day


@pytest.mark.parametrize("schedule", ["every day", "61 2 * * *", "* * * *", "0 2 * * banana"])
def test_next_due_refuses_what_is_not_cron(schedule: str) -> None:
    with pytest.raises(InvalidRequest):
        next_due(schedule, "UTC", AUTUMN)


def test_next_due_of_an_empty_schedule_never_comes() -> None:
    assert next_due("", "UTC", AUTUMN) is None


def test_next_due_in_an_unknown_zone_falls_back_to_utc() -> None:
    assert datetime(2026, 10, 25, 2, 0, tzinfo=UTC) == next_due("0 2 * * *", "Nowhere/Else", AUTUMN)
