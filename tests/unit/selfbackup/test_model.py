"""When a self-backup is due, what it is called, and which are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from saveos.selfbackup.model import Named, State, is_due, named, to_keep

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def state(**said: object) -> State:
    usual = {"changes": 5, "covered_changes": 5, "made_at": NOW - HOUR, "tried_at": NOW - HOUR}
    return State(**{**usual, **said})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, False),
        ({"made_at": None, "tried_at": None}, True),
        ({"changes": 6}, True),
        ({"changes": 6, "tried_at": NOW - MINUTE / 2}, False),  # within a minute of the last one
        (
            {"changes": 6, "tried_at": NOW - 2 * MINUTE, "seconds": 30.0},
            False,
        ),  # so large that it would do nothing else
        ({"changes": 6, "tried_at": NOW - 11 * MINUTE, "seconds": 30.0}, True),
        ({"records": 1}, True),
        ({"records": 1, "made_at": NOW - HOUR / 2}, False),
        ({"made_at": NOW - 11 * HOUR}, True),  # before two in the night
        ({"made_at": NOW - 9 * HOUR}, False),
        ({"error_code": "x", "tried_at": NOW - 10 * MINUTE}, False),
        ({"error_code": "x", "tried_at": NOW - 16 * MINUTE}, True),
        ({"changes": 6, "tried_at": NOW + DAY}, True),  # a clock that went back
        ({"made_at": NOW + DAY}, True),
    ],
)
def test_is_due(said: dict[str, object], expected: bool) -> None:  # noqa: FBT001 - a row
    assert expected == is_due(state(**said), NOW)


def test_name_is_read_as_it_was_written() -> None:
    one = Named(made_at=NOW, sha256="0123456789abcdef")

    assert "20260310T120000Z-0123456789abcdef.saveos" == one.name
    assert one == named(one.name)


@pytest.mark.parametrize(
    "name", ["", "README.txt", "20260310T120000Z-0123.saveos", "20261310T120000Z-0123456789abcdef.saveos", "../x"]
)
def test_name_of_something_else_is_none(name: str) -> None:
    assert named(name) is None


def test_kept_are_the_last_the_days_and_the_weeks() -> None:
    hours = [Named(made_at=NOW - HOUR * count, sha256=f"{count:016x}") for count in range(24 * 70)]

    kept = to_keep(hours, NOW)

    ages = sorted((NOW - one.made_at) // HOUR for one in kept)
    assert ages[:14] == list(range(14))
    assert 14 + 13 <= len(kept) <= 14 + 14 + 8
    assert timedelta(weeks=7) <= NOW - min(kept).made_at <= timedelta(weeks=8)


def test_kept_is_the_newest_however_old() -> None:
    only = Named(made_at=NOW - 400 * DAY, sha256="0" * 16)

    assert {only} == to_keep([only], NOW)
