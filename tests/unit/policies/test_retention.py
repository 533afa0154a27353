"""What is kept, beside the answer of the real `borg prune`, and the calendar of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from saveos.errors import InvalidRequest
from saveos.policies.model import Retention
from saveos.policies.retention import Rule, calendar, snapshots_to_keep

if TYPE_CHECKING:
    from collections.abc import Callable

BORG = str(Path(sys.executable).with_name("borg"))
TODAY = date(2026, 3, 4)
NOTHING = {f"keep_{rule}": 0 for rule in ("within_hours", "hourly", "daily", "weekly", "monthly", "yearly")}
NEWEST = datetime(2026, 3, 4, 12, 40, tzinfo=UTC)
AGED = int((datetime.now(UTC) - NEWEST).total_seconds() // 3600)  # hours that the newest is old, by Borg's own clock
# some hours of a day, a fortnight of days with a gap, the turn of a year in one ISO week, months, and two old ones
MOMENTS = [
    NEWEST,
    *(NEWEST - timedelta(minutes=minutes) for minutes in (5, 40, 41, 160, 700)),
    *(NEWEST - timedelta(days=days, hours=3) for days in (1, 2, 3, 5, 6, 7, 12, 13, 20)),
    datetime(2026, 1, 1, 0, 30, tzinfo=UTC),
    datetime(2025, 12, 31, 23, 30, tzinfo=UTC),
    datetime(2025, 12, 29, 2, 0, tzinfo=UTC),
    datetime(2025, 11, 30, 2, 0, tzinfo=UTC),
    datetime(2025, 10, 31, 2, 0, tzinfo=UTC),
    datetime(2024, 12, 30, 2, 0, tzinfo=UTC),  # the first ISO week of 2025
    datetime(2023, 1, 1, 2, 0, tzinfo=UTC),
]


def keeping(**numbers: int) -> Retention:
    return Retention(**{**NOTHING, **{f"keep_{rule}": number for rule, number in numbers.items()}})


@pytest.fixture(scope="module")
def borg(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return how to run the real Borg, on a repository with an archive of each moment, named by its position."""
    folder = tmp_path_factory.mktemp("prune")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BORG_")},
        "BORG_REPO": str(folder / "repository"),
        "BORG_BASE_DIR": str(folder),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_SELFTEST": "disabled",
        "TZ": "UTC",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [BORG, *words], env=environment, cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout + done.stderr

    run("init", "--encryption", "none")
    (folder / "file").touch()
    for position, moment in enumerate(MOMENTS):
        run("create", "--timestamp", f"{moment:%Y-%m-%dT%H:%M:%S}", f"::{position}", "file")
    return run


@pytest.mark.parametrize(
    "numbers",
    [
        {"daily": 7, "weekly": 4, "monthly": 12},
        {"hourly": 3},
        {"hourly": 2, "daily": 3, "yearly": 2},
        {"weekly": 9},
        {"monthly": 2, "yearly": 9},
        {"hourly": 99, "daily": 99, "weekly": 99},
        {"daily": 1},
        {"within_hours": AGED + 24 * 3},
        {"within_hours": AGED + 24 * 7, "daily": 2, "monthly": 2, "yearly": 9},
    ],
    ids=str,
)
def test_snapshots_to_keep_are_those_that_borg_keeps(borg: Callable[..., str], numbers: dict[str, int]) -> None:
    spans = {"within_hours": "--keep-within={}H"}
    options = [spans.get(rule, f"--keep-{rule}={{}}").format(number) for rule, number in numbers.items()]
    now = datetime.now(UTC)
    said = borg("prune", "--dry-run", "--list", *options)
    expected = {
        int(position): Rule(rule)
        for rule, position in re.findall(r"Keeping archive \(rule: (\w+)(?:\[oldest\])? #\d+\): +(\d+)", said)
    }

    kept = snapshots_to_keep(MOMENTS, keeping(**numbers), now=now)

    assert expected
    assert expected == kept


def test_snapshots_to_keep_of_an_empty_retention_are_all() -> None:
    assert dict.fromkeys(range(len(MOMENTS)), Rule.ALL) == snapshots_to_keep(MOMENTS, keeping(), now=NEWEST)


def test_snapshots_to_keep_of_none_are_none() -> None:
    assert {} == snapshots_to_keep([], Retention(), now=NEWEST)


def test_calendar_of_a_daily_schedule_shows_days_weeks_and_months() -> None:
    shown = calendar("0 2 * * *", keeping(daily=7, weekly=4, monthly=12), TODAY)

    rules = [day.rule for day in shown.days]
    assert [Rule.DAILY] * 7 + [Rule.WEEKLY] * 4 + [Rule.MONTHLY] * 12 == rules
    assert (23, False) == (shown.count, shown.is_open)
    assert [TODAY - timedelta(days=days) for days in range(7)] == [day.day for day in shown.days[:7]]
    assert date(2026, 2, 22) == shown.days[7].day  # the Sunday of the last week that no day is kept of
    assert shown.days[-1].day == shown.oldest


def test_calendar_agrees_with_what_is_kept_of_a_long_history() -> None:
    retention = keeping(hourly=30, daily=9, weekly=6, monthly=7, yearly=2)
    now = datetime(2026, 3, 4, 23, 59, tzinfo=UTC)
    firings = [now.replace(hour=hour, minute=45) - timedelta(days=days) for days in range(1000) for hour in (18, 6)]
    kept = {firings[position].date() for position in snapshots_to_keep(firings, retention, now=now)}

    shown = calendar("15,45 6,18 * * *", retention, TODAY)

    assert {day for day in kept if (TODAY - day).days < 400} == {day.day for day in shown.days}
    assert min(kept) == shown.oldest
    assert len(snapshots_to_keep(firings, retention, now=now)) == shown.count == 30 + 9 + 6 + 7 + 2


def test_calendar_counts_what_lies_before_the_days_shown() -> None:
    shown = calendar("0 2 * * *", keeping(daily=1, yearly=4), TODAY)

    assert [date(2026, 3, 4), date(2025, 12, 31)] == [day.day for day in shown.days]
    assert (5, date(2022, 12, 31)) == (shown.count, shown.oldest)


def test_calendar_of_a_retention_that_keeps_all_is_open() -> None:
    shown = calendar("0 2 * * mon", keeping(), TODAY)

    assert shown.is_open
    assert {Rule.ALL} == {day.rule for day in shown.days}
    assert date(2026, 3, 2) == shown.days[0].day


def test_calendar_of_a_span_shows_every_firing_within_it() -> None:
    shown = calendar("*/15 8,20 * * *", keeping(within_hours=28, daily=2), TODAY)

    # from 20:00 of the day before on
    assert [(TODAY, Rule.WITHIN, 8), (TODAY - timedelta(days=1), Rule.WITHIN, 4)] == [
        (day.day, day.rule, day.count) for day in shown.days[:2]
    ]
    assert [Rule.DAILY, Rule.DAILY] == [day.rule for day in shown.days[2:]]
    assert (14, TODAY - timedelta(days=3), False) == (shown.count, shown.oldest, shown.is_open)


def test_calendar_of_a_span_agrees_with_what_is_kept_of_a_long_history() -> None:
    retention = keeping(within_hours=24 * 9 + 5, hourly=30, daily=9, weekly=6, monthly=7)
    now = datetime.combine(TODAY, time.max, UTC)
    hours = [now.replace(hour=hour, minute=minute, second=0) for hour in range(23, -1, -1) for minute in (40, 20, 0)]
    firings = [moment.replace(microsecond=0) - timedelta(days=day) for day in range(500) for moment in hours]
    kept = [firings[position].date() for position in snapshots_to_keep(firings, retention, now=now)]

    shown = calendar("*/20 * * * *", retention, TODAY)

    assert len(kept) == shown.count
    assert {day: kept.count(day) for day in set(kept)} == {day.day: day.count for day in shown.days}


def test_calendar_without_a_schedule_is_empty() -> None:
    assert calendar("", Retention(), TODAY).days == ()


def test_calendar_refuses_what_is_not_cron() -> None:
    with pytest.raises(InvalidRequest):
        calendar("at tea time", Retention(), TODAY)
