"""A policy in words, the simple choice that a cron text is, and paths of hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.policies.model import Retention
from saveos.ui import host_paths, policy_words
from saveos.ui.schedule_plan import Pace, Plan, plan_of, weekdays_of
from saveos.ui.words import Words

ENGLISH, FRENCH = Words("en"), Words("fr")
PLANS = st.builds(
    Plan,
    pace=st.sampled_from([Pace.HOURLY, Pace.DAILY, Pace.WEEKLY, Pace.MONTHLY]),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    weekdays=st.sets(st.integers(1, 7), min_size=1).map(lambda days: tuple(sorted(days))),
    day=st.integers(1, 31),
)


@pytest.mark.parametrize(
    ("cron", "english", "french"),
    [
        ("", "Only by hand", "Seulement à la demande"),
        ("0 2 * * *", "Every day at 02:00", "Chaque jour à 02:00"),
        ("5 14 * * 1-5", "Weekdays at 14:05", "Du lundi au vendredi à 14:05"),
        ("0 2 * * mon,4", "Mondays and Thursdays at 02:00", "Les lundis et jeudis à 02:00"),
        ("0 2 * * 0", "Sundays at 02:00", "Les dimanches à 02:00"),
        ("0 2 * * 0-6", "Every day at 02:00", "Chaque jour à 02:00"),
        ("15 * * * *", "Every hour at :15", "Chaque heure à :15"),
        ("*/15 * * * *", "Every 15 minutes", "Toutes les 15 minutes"),
        ("0 */6 * * *", "Every 6 hours", "Toutes les 6 heures"),
        ("30 1 1 * *", "On the 1st of each month at 01:30", "Le 1er de chaque mois à 01:30"),
        ("30 1 22 * *", "On the 22nd of each month at 01:30", "Le 22 de chaque mois à 01:30"),
        ("*/7 * * * *", "*/7 * * * *", "*/7 * * * *"),  # not even: cron begins anew each hour
        ("0 2 1 6 *", "0 2 1 6 *", "0 2 1 6 *"),
        ("0 2 1 * 1", "0 2 1 * 1", "0 2 1 * 1"),
        ("0 2,14 * * *", "0 2,14 * * *", "0 2,14 * * *"),
    ],
)
def test_schedule_is_said_as_people_say_it(cron: str, english: str, french: str) -> None:
    assert (english, french) == (policy_words.schedule(ENGLISH, cron), policy_words.schedule(FRENCH, cron))


@given(PLANS)
def test_plan_survives_the_way_through_cron(plan: Plan) -> None:
    again = plan_of(plan.schedule)

    assert (plan.pace, plan.schedule) == (again.pace, again.schedule)


def test_plan_of_other_cron_keeps_the_parts_that_were_chosen_before() -> None:
    before = plan_of("5 14 * * 1,3")

    plan = plan_of("*/7 * * * *", before)

    assert (Pace.CRON, "*/7 * * * *", 14, (1, 3)) == (plan.pace, plan.schedule, plan.hour, plan.weekdays)


@pytest.mark.parametrize(
    ("field", "days"),
    [("1-5", (1, 2, 3, 4, 5)), ("6,0", (6, 7)), ("0-2", (1, 2, 7)), ("fri-mon", ()), ("*/2", ()), ("8", ()), ("", ())],
)
def test_weekdays_of_a_cron_field_begin_with_monday(field: str, days: tuple[int, ...]) -> None:
    assert days == weekdays_of(field)


def test_retention_says_only_what_is_kept() -> None:
    kept = Retention(keep_daily=7, keep_weekly=0, keep_monthly=1, keep_yearly=0)

    assert "7\N{NO-BREAK SPACE}days · 1\N{NO-BREAK SPACE}month" == policy_words.retention(ENGLISH, kept)
    assert "everything, for good" == policy_words.retention(
        ENGLISH, Retention(keep_daily=0, keep_weekly=0, keep_monthly=0)
    )


def test_sources_say_the_first_and_how_many_more() -> None:
    assert "/a, /b, /c and 2 more" == policy_words.sources(ENGLISH, ["/a", "/b", "/c", "/d", "/e"])
    assert ENGLISH.say("policies.default_set") == policy_words.sources(ENGLISH, [])


@pytest.mark.parametrize(
    ("folder", "name", "is_windows", "path"),
    [
        ("/", "srv", False, "/srv"),
        ("/srv", "a\\b", False, "/srv/a\\b"),
        ("", "C:\\", True, "C:\\"),
        ("C:\\", "Users", True, "C:\\Users"),
        ("C:\\Users", "Anna", True, "C:\\Users\\Anna"),
    ],
)
def test_join_writes_paths_as_the_host_does(folder: str, name: str, *, is_windows: bool, path: str) -> None:
    assert path == host_paths.join(folder, name, is_windows=is_windows)


def test_crumbs_lead_down_to_the_folder() -> None:
    posix = host_paths.crumbs("/srv/data", is_windows=False)
    windows = host_paths.crumbs("C:\\Users\\Anna", is_windows=True)

    assert [("srv", "/srv"), ("data", "/srv/data")] == [(crumb.name, crumb.path) for crumb in posix]
    assert [("C:", "C:\\"), ("Users", "C:\\Users"), ("Anna", "C:\\Users\\Anna")] == [
        (crumb.name, crumb.path) for crumb in windows
    ]


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/srv/data", "/srv", True),
        ("/srv", "/", True),
        ("/srv2", "/srv", False),
        ("/srv", "/srv", False),
        ("C:\\Users", "C:\\", True),
        ("C:\\Users\\Anna", "C:\\Users", True),
    ],
)
def test_is_within_knows_what_lies_below(path: str, folder: str, *, expected: bool) -> None:
    assert expected is host_paths.is_within(path, folder)
