"""What is kept, beside the real `borg prune`, on thousands of histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from saveos.policies.model import Retention
from saveos.policies.retention import Rule, snapshots_to_keep
from tests.support.pruning import Pruner, pruner

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 2000
RULES = ("within", "hourly", "daily", "weekly", "monthly", "yearly")
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"),
    "Australia/Lord_Howe",  # its summer is half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "America/Sao_Paulo",  # its clocks jumped at midnight: days that begin at one
)
# turns of clocks, of years in the middle of an ISO week, of a month in February, and of the day that never was
TURNS = [
    datetime.fromisoformat(f"{text}+00:00")
    for text in (
        *("2026-03-29T01:00", "2026-10-25T01:00", "2025-11-02T06:00", "2026-04-04T15:00", "2018-11-04T03:00"),
        *("2026-01-01T00:00", "2025-01-01T04:00", "2024-12-30T00:00", "2021-01-03T23:59:59", "2024-02-29T12:00"),
        "2011-12-30T10:00",
    )
]

seconds = st.integers(-400 * 86400, 400 * 86400).map(lambda number: timedelta(seconds=number))
hours = st.integers(-60, 60).map(lambda number: timedelta(minutes=30 * number))
days = st.integers(-900, 900).map(lambda number: timedelta(days=number))
instants = st.builds(
    lambda turn, distance, microsecond: (turn + distance).replace(microsecond=microsecond),
    st.sampled_from(TURNS),
    st.one_of(hours, days, seconds),
    st.sampled_from((0, 0, 0, 1, 999_999)),
)


@st.composite
def histories(draw: st.DrawFn) -> list[datetime]:
    """Draw moments newest first: lone ones, series at one pace, and several of one second."""
    found = draw(st.lists(instants, max_size=12))
    for _ in range(draw(st.integers(0, 3))):
        last, pace = draw(instants), draw(st.sampled_from((0, 1, 600, 3600, 7200, 86400, 7 * 86400, 30 * 86400)))
        found += [last - timedelta(seconds=pace * number) for number in range(draw(st.integers(1, 15)))]
    return sorted(found, reverse=True)


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, int]:
    """Draw what is to be kept; something is."""
    rules = draw(st.sets(st.sampled_from(RULES), min_size=1))
    few = st.one_of(st.integers(1, 6), st.integers(1, 40))
    span = st.one_of(st.integers(1, 72), st.sampled_from((24 * 7, 24 * 31, 24 * 365)))
    return {rule: draw(span if rule == "within" else few) for rule in sorted(rules)}


@pytest.fixture(scope="module")
def borg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pruner]:
    with pruner(tmp_path_factory.mktemp("pruner")) as made:
        yield made


def retention(wanted: dict[str, int]) -> Retention:
    named = {f"keep_{rule}": wanted.get(rule, 0) for rule in RULES if rule != "within"}
    return Retention(keep_within_hours=wanted.get("within", 0), **named)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), numbers(), st.sampled_from(ZONES), st.one_of(st.none(), instants))
@example(
    [TURNS[0]] * 3, {"within": 1, "daily": 1}, "UTC", TURNS[0] + timedelta(hours=1)
)  # exactly on its edge: too old
@example([TURNS[1] + timedelta(hours=1), TURNS[1]], {"hourly": 2}, "Europe/Berlin", None)  # 02:00 twice is one hour
@example([TURNS[1], TURNS[1] - timedelta(days=9)], {"within": 1, "yearly": 5}, "UTC", TURNS[1])  # kept as the oldest
def test_snapshots_to_keep_are_those_that_borg_keeps(
    borg: Pruner, moments: list[datetime], wanted: dict[str, int], zone: str, now: datetime | None
) -> None:
    now = now or (moments[0] if moments else TURNS[0])
    expected = {position: Rule(rule) for position, rule in borg.kept(moments, wanted, zone, now).items()}

    kept = snapshots_to_keep(moments, retention(wanted), ZoneInfo(zone), now=now)

    assert expected == kept


@given(histories(), numbers(), st.sampled_from(ZONES))
def test_snapshots_to_keep_of_what_is_kept_are_the_same(
    moments: list[datetime], wanted: dict[str, int], zone: str
) -> None:
    now = moments[0] if moments else datetime.now(UTC)
    kept = snapshots_to_keep(moments, retention(wanted), ZoneInfo(zone), now=now)
    rest = [moments[position] for position in sorted(kept)]

    again = snapshots_to_keep(rest, retention(wanted), ZoneInfo(zone), now=now)

    assert {rank: kept[position] for rank, position in enumerate(sorted(kept))} == again
