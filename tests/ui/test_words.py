"""Numbers, sizes and times as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.ui.words import Words

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SPACE, THIN = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"


@pytest.fixture(autouse=True)
def _noon() -> Iterator[None]:
    clock.set_source(lambda: NOON)
    yield
    clock.set_source(None)


@pytest.mark.parametrize(
    ("count", "english", "french"),
    [
        (0, "0 B", "0 o"),
        (999, "999 B", "999 o"),
        (1_000, "1.0 kB", "1,0 ko"),
        (999_600, "1.0 MB", "1,0 Mo"),
        (12_300_000, "12 MB", "12 Mo"),
        (9_940_000_000, "9.9 GB", "9,9 Go"),
        (10**18, "1,000 PB", f"1{THIN}000 Po"),
    ],
)
def test_size_is_short_in_each_language(count: int, english: str, french: str) -> None:
    assert (english.replace(" ", SPACE), french.replace(" ", SPACE)) == (
        Words("en").size(count),
        Words("fr").size(count),
    )


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (10, "just now", "à l’instant"),  # noqa: RUF001 - the apostrophe of French print
        (60, "1 minute ago", "il y a 1 minute"),
        (59 * 60, "59 minutes ago", "il y a 59 minutes"),
        (3600, "1 hour ago", "il y a 1 heure"),
        (35 * 3600, "35 hours ago", "il y a 35 heures"),
        (72 * 3600, "3 days ago", "il y a 3 jours"),
        (-7200, "in 2 hours", "dans 2 heures"),
    ],
)
def test_ago_says_roughly_when(seconds: int, english: str, french: str) -> None:
    moment = NOON - timedelta(seconds=seconds)

    assert (english, french) == (Words("en").ago(moment), Words("fr").ago(moment))


def test_exact_is_in_the_zone_of_the_reader() -> None:
    words = Words("en")
    before = words.exact(NOON)
    words.set_zone("Asia/Tokyo")

    assert (before, words.exact(NOON)) == ("4 Mar 2026, 12:00 UTC", "4 Mar 2026, 21:00")


def test_set_zone_with_nonsense_stays_in_utc() -> None:
    words = Words("fr")
    words.set_zone("../../etc/passwd")

    assert words.exact(NOON) == "4 mars 2026, 12:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (59, "59 s"), (125, "2 min 05 s"), (3_900, "1 h 05 min"), (100_000, "1 d 3 h")],
)
def test_duration_has_its_two_largest_units(seconds: float, expected: str) -> None:
    assert expected == Words("en").duration(seconds)


def test_count_follows_the_number_and_the_language() -> None:
    counted = [Words(language).count("job.files", number) for language in ("en", "fr") for number in (0, 1, 2)]

    assert counted == ["0 files", "1 file", "2 files", "0 fichier", "1 fichier", "2 fichiers"]
