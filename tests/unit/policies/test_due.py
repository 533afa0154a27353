"""The calendar across daylight saving, and cron's numbers for weekdays."""

from datetime import UTC, date, datetime

import pytest

from saveos.errors import InvalidRequest
from saveos.policies.due import due_key, next_due, next_runs, past_hours

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


def test_next_runs_count_the_hour_that_comes_twice_once() -> None:
    runs = next_runs("30 2 * * *", "Europe/Berlin", AUTUMN, 3)

    assert [(25, 0), (26, 1), (27, 1)] == [(run.day, run.hour) for run in runs]


def test_next_runs_of_every_hour_are_an_hour_apart_in_autumn() -> None:
    runs = next_runs("15 * * * *", "Europe/Berlin", AUTUMN, 4)

    assert [0, 1, 2, 3] == [run.hour for run in runs]


@pytest.mark.parametrize("schedule", ["", "0 2 31 2 *"])
def test_next_runs_of_what_never_comes_are_none(schedule: str) -> None:
    assert next_runs(schedule, "UTC", AUTUMN, 5) == []


def test_past_hours_are_the_last_firings_of_each_hour_newest_first() -> None:
    days = list(past_hours("*/20 8,20 * * 1-5", date(2026, 11, 23), 4))  # a Monday and the weekend before it

    assert [datetime(2026, 11, 23, 20, 40), datetime(2026, 11, 23, 8, 40)] == days[0]  # noqa: DTZ001 - local
    assert [23, 20] == [day[0].day for day in days]
