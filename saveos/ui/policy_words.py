"""A policy in a few words: when, how long, what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from saveos.ui.schedule_plan import EVERY_DAY, WEEKDAYS, Pace, plan_of
from saveos.ui.words import NO_BREAK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.policies.model import Retention
    from saveos.ui.words import Words

SHOWN_SOURCES = 3
HOUR_MINUTES, DAY_HOURS = 60, 24


def schedule(words: Words, cron: str) -> str:
    """Return a schedule as a person says it; what has no words of ours stays cron."""
    plan = plan_of(cron)
    time = f"{plan.hour:02d}:{plan.minute:02d}"
    if plan.pace is Pace.OFF:
        return words.say("schedule.by_hand")
    if plan.pace is Pace.HOURLY:
        return words.say("schedule.each_hour", minute=f"{plan.minute:02d}")
    if plan.pace is Pace.MONTHLY:
        ordinal = words.say("schedule.ordinals").split()[plan.day - 1]
        return words.say("schedule.each_month", day=ordinal, time=time)
    if plan.pace is Pace.CRON:
        return _interval(words, plan.cron) or plan.cron
    return _on_days(words, EVERY_DAY if plan.pace is Pace.DAILY else plan.weekdays, time)


def retention(words: Words, kept: Retention) -> str:
    """Return how long snapshots are kept, in short: all of 2 days · 7 days · 4 weeks · 12 months."""
    parts = [
        _span(words, kept.keep_within_hours) if kept.keep_within_hours else "",
        words.count("policies.keep_hours", kept.keep_hourly) if kept.keep_hourly else "",
        words.count("policies.keep_days", kept.keep_daily) if kept.keep_daily else "",
        words.count("policies.keep_weeks", kept.keep_weekly) if kept.keep_weekly else "",
        words.count("policies.keep_months", kept.keep_monthly) if kept.keep_monthly else "",
        words.count("policies.keep_years", kept.keep_yearly) if kept.keep_yearly else "",
    ]
    whole = [part.replace(" ", NO_BREAK) for part in parts]
    return words.listing(whole) or words.say("policies.keep_all")


def _span(words: Words, hours: int) -> str:
    days, rest = divmod(hours, DAY_HOURS)
    return words.count("retention.within_hours", hours) if rest else words.count("retention.within_days", days)


def sources(words: Words, paths: Sequence[str]) -> str:
    """Return what is backed up: the first paths, and how many more."""
    if not paths:
        return words.say("policies.default_set")
    more = len(paths) - SHOWN_SOURCES
    shown = ", ".join(paths[:SHOWN_SOURCES])
    return f"{shown} {words.count('policies.more', more)}" if more > 0 else shown


def _on_days(words: Words, weekdays: tuple[int, ...], time: str) -> str:
    if weekdays == EVERY_DAY:
        return words.say("schedule.each_day", time=time)
    if weekdays == WEEKDAYS:
        return words.say("schedule.each_weekday", time=time)
    names = words.say("schedule.days").split()
    return words.say("schedule.on_days", days=_and(words, [names[day - 1] for day in weekdays]), time=time)


def _interval(words: Words, cron: str) -> str:
    """Return "every 15 minutes" or "every 6 hours" if the steps are even: cron begins anew each hour and each day."""
    minutes = re.fullmatch(r"\*/(\d{1,2}) \* \* \* \*", cron)
    if minutes and int(minutes[1]) and HOUR_MINUTES % int(minutes[1]) == 0:
        return words.count("schedule.minutes", int(minutes[1]))
    hours = re.fullmatch(r"0 \*/(\d{1,2}) \* \* \*", cron)
    if hours and int(hours[1]) and DAY_HOURS % int(hours[1]) == 0:
        return words.count("schedule.hours", int(hours[1]))
    return ""


def _and(words: Words, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return words.say("schedule.and", first=", ".join(names[:-1]), last=names[-1])
