"""Rates, fractions and the time that remains."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from saveos import clock
from saveos.jobs.progress import advance
from saveos.protocol import JobId, Progress

JOB = JobId("job_1")


@pytest.fixture
def moment() -> Iterator[list[datetime]]:
    current = [datetime(2026, 1, 1, tzinfo=UTC)]
    clock.set_source(lambda: current[0])
    yield current
    clock.set_source(None)


def test_advance_measures_rate_and_remaining_time(moment: list[datetime]) -> None:
    first = advance(None, JOB, Progress(original_bytes=0, total_bytes=1000))
    moment[0] += timedelta(seconds=1)

    second = advance(first, JOB, Progress(original_bytes=100, total_bytes=1000))

    assert 100 == pytest.approx(second.bytes_per_second)
    assert 9 == pytest.approx(second.eta_seconds)
    assert 0.1 == second.fraction


def test_advance_without_a_total_knows_no_end(moment: list[datetime]) -> None:
    first = advance(None, JOB, Progress(original_bytes=0))
    moment[0] += timedelta(seconds=1)

    second = advance(first, JOB, Progress(original_bytes=100))

    assert second.eta_seconds is None
    assert second.fraction is None


def test_fraction_never_says_that_a_running_job_is_finished(moment: list[datetime]) -> None:
    assert moment
    said = advance(None, JOB, Progress(original_bytes=5000, total_bytes=1000))

    assert 0.99 == said.fraction
