"""A day that is typed lasts until its end, by the machine's own clock."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from saveos import cli_days

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["Europe/Paris", "America/New_York"])
def offset_hours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Live in a zone; give by how much its winter is ahead of UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield 1 if request.param == "Europe/Paris" else -5
    monkeypatch.undo()
    time.tzset()


def test_day_is_bounded_by_midnights_of_the_machine(offset_hours: int) -> None:
    assert 24 * 3600 == (cli_days.last("2027-01-31") - cli_days.first("2027-01-31")).total_seconds()
    assert offset_hours * 3600 == (datetime(2027, 1, 31, tzinfo=UTC) - cli_days.first("2027-01-31")).total_seconds()


def test_end_is_the_end_of_a_day_or_the_very_moment(offset_hours: int) -> None:
    assert cli_days.last("2027-01-31") == cli_days.end("2027-01-31")
    assert datetime(2027, 1, 31, 12, tzinfo=UTC) == cli_days.end("2027-01-31T12:00Z")
    ours = (datetime(2027, 1, 31, 12, tzinfo=UTC) - cli_days.end("2027-01-31T12:00")).total_seconds()
    assert offset_hours * 3600 == ours


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-02-30", "9999-12-31", "2027-01-31T25:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    for read in (cli_days.last, cli_days.end):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)
