"""The forecast in words: a day, how sure, or why there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.measurements.forecast import Forecast, Trend
from saveos.measurements.outlook import Outlook
from saveos.ui.storage_chart import disk_words, forecast_words
from saveos.ui.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def outlook(trend: Trend, *, is_from_snapshots: bool = False, **values: Any) -> Outlook:
    return Outlook(
        points=(),
        used_bytes=4 * 10**11,
        free_bytes=6 * 10**11,
        total_bytes=10**12,
        forecast=Forecast(trend=trend, **values),
        is_from_snapshots=is_from_snapshots,
    )


def growing(days: int, first: int, last: int | None) -> dict[str, Any]:
    moments = {
        "full_at": NOW + timedelta(days=days),
        "earliest_at": NOW + timedelta(days=first),
        "latest_at": NOW + timedelta(days=last) if last is not None else None,
    }
    return {"daily_bytes": 2e9, **moments}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (outlook(Trend.UNKNOWN), "A forecast needs a few days of history."),
        (outlook(Trend.STEADY, daily_bytes=-1e9), "Storage does not grow."),
        (outlook(Trend.STEADY, daily_bytes=1e3), "It grows so slowly that the disk lasts for years."),
        (
            outlook(Trend.GROWING, **growing(10, 8, 20)),
            (
                "Full around 14 Mar 2026 if it goes on like this · between 12 Mar 2026 and 24 Mar 2026"
                " · growing by 2.0 GB a day"
            ),
        ),
        (
            outlook(Trend.GROWING, **growing(10, 8, None)),
            "Full around 14 Mar 2026 if it goes on like this · not before 12 Mar 2026 · growing by 2.0 GB a day",
        ),
        (
            outlook(Trend.GROWING, **growing(10, 10, 10)),
            "Full around 14 Mar 2026 if it goes on like this · growing by 2.0 GB a day",
        ),
        (
            outlook(Trend.GROWING, **growing(0, 0, 0), is_from_snapshots=True),
            (
                "Full within a day if it goes on like this · growing by 2.0 GB a day"
                " · reckoned from what backups added, since the disk has not been watched for long"
            ),
        ),
    ],
)
def test_forecast_is_said(found: Outlook, said: str) -> None:
    assert said == forecast_words(Words("en"), found).replace("\N{NO-BREAK SPACE}", " ")


def test_disk_is_said_in_french_sizes() -> None:
    said = disk_words(Words("fr"), outlook(Trend.UNKNOWN)).replace("\N{NO-BREAK SPACE}", " ")

    assert "400 Go utilisés sur 1,0 To, 600 Go libres" == said
