"""Which snapshots does a retention keep? Pure, and the same answer as Borg's own."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from saveos.policies import due

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from saveos.policies.model import Retention

SHOWN_DAYS = 400  # a year, and the month that it began in
HISTORY_DAYS = 3_700  # ten years: what lies further back is not counted


class Rule(StrEnum):
    """Why a snapshot is kept."""

    ALL = "all"  # nothing is ever removed
    WITHIN = "within"  # it is not old enough
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


PERIODS: dict[Rule, Callable[[datetime], tuple[int, ...]]] = {
    Rule.HOURLY: lambda at: (at.year, at.month, at.day, at.hour),
    Rule.DAILY: lambda at: (at.year, at.month, at.day),
    Rule.WEEKLY: lambda at: at.isocalendar()[:2],
    Rule.MONTHLY: lambda at: (at.year, at.month),
    Rule.YEARLY: lambda at: (at.year,),
}


class KeptDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of which snapshots are kept. `rule`: what keeps the newest of them."""

    day: date
    rule: Rule
    count: int


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """What a host that has long been backed up on schedule still has. `days`: of the last 400, newest first.

    `count` and `oldest` are of all that is kept; `is_open`: more than ten years' worth is, so they are not the whole.
    """

    days: tuple[KeptDay, ...] = ()
    count: int = 0
    oldest: date | None = None
    is_open: bool = False


def snapshots_to_keep(
    moments: Sequence[datetime], retention: Retention, zone: tzinfo = UTC, *, now: datetime
) -> dict[int, Rule]:
    """Return which snapshots the retention keeps, by position, and why; the rest may be pruned.

    `moments`: of one agent, newest first. First come those of the last `keep_within_hours` before `now`. Then a rule
    keeps the newest snapshot of each of its last N periods in `zone`; a snapshot kept before is not counted by the
    next rule; a rule that does not find N keeps the oldest of all beside. An empty retention keeps all.
    Source: borg-prune(1), "keep" options, Borg 1.4; checked against the real `borg prune --dry-run --list`.
    """
    local = [moment.astimezone(zone) for moment in moments]
    return _keep(local, retention, _recent(moments, retention, now))[0]


def calendar(schedule: str, retention: Retention, today: date) -> Calendar:
    """Return which days a host backed up on schedule for years still holds at the end of `today`, its own date.

    Raises InvalidRequest for a schedule that is not cron; an empty one gives an empty calendar.
    """
    if not schedule:
        return Calendar()
    since = datetime.combine(today, time.max) - timedelta(hours=retention.keep_within_hours)
    moments = list(_history(schedule, retention.keep_hourly, since, today))
    recent = _recent(moments, retention, datetime.combine(today, time.max))
    kept, is_open = _keep(moments, retention, recent, is_whole=False)
    # a moment stands for all firings of its hour, and only of the last hours are all of them kept
    minutes = due.minutes(schedule)
    counts = {
        position: sum(moments[position].replace(minute=minute) > since for minute in minutes)
        if rule is Rule.WITHIN
        else 1
        for position, rule in kept.items()
    }
    oldest = moments[max(kept)].date() if kept else None
    days = _days(moments, kept, counts, today)
    return Calendar(days=days, count=sum(counts.values()), oldest=oldest, is_open=is_open)


def _days(
    moments: Sequence[datetime], kept: Mapping[int, Rule], counts: Mapping[int, int], today: date
) -> tuple[KeptDay, ...]:
    days: dict[date, KeptDay] = {}
    for position in sorted(kept):
        day = moments[position].date()
        if (today - day).days < SHOWN_DAYS:
            rule, before = (days[day].rule, days[day].count) if day in days else (kept[position], 0)
            days[day] = KeptDay(day=day, rule=rule, count=before + counts[position])
    return tuple(days.values())


def _history(schedule: str, keep_hourly: int, since: datetime, today: date) -> Iterator[datetime]:
    """Yield the snapshots that could be kept, the last of an hour for all of it: of each hour down to `since`.

    Then of each hour for as long as hours count, then only the last of a day.
    """
    hours = 0
    for firings in due.past_hours(schedule, today, HISTORY_DAYS):
        for number, moment in enumerate(firings):
            if moment > since:
                yield moment
            elif number == 0 or hours < keep_hourly:
                hours += 1
                yield moment


def _recent(moments: Iterable[datetime], retention: Retention, now: datetime) -> dict[int, Rule]:
    """Return what is kept because it is not old enough."""
    if not retention.keep_within_hours:
        return {}
    since = now - timedelta(hours=retention.keep_within_hours)
    return {position: Rule.WITHIN for position, moment in enumerate(moments) if moment > since}


def _keep(
    local: Sequence[datetime], retention: Retention, recent: Mapping[int, Rule], *, is_whole: bool = True
) -> tuple[dict[int, Rule], bool]:
    """Return what is kept, by position, and whether a rule wanted more than there is.

    `recent`: what is kept already. `is_whole`: nothing is older than these; then a rule that wants more takes the
    oldest.
    """
    wanted = {rule: int(getattr(retention, f"keep_{rule}")) for rule in PERIODS}
    if not any(wanted.values()) and not retention.keep_within_hours:
        return dict.fromkeys(range(len(local)), Rule.ALL), True
    kept: dict[int, Rule] = dict(recent)
    is_open = False
    for rule, number in wanted.items():
        missing = number - _keep_by(rule, number, local, kept)
        if missing and local:
            is_open = True
            if is_whole:
                kept.setdefault(len(local) - 1, rule)
    return kept, is_open


def _keep_by(rule: Rule, number: int, local: Sequence[datetime], kept: dict[int, Rule]) -> int:
    """Add what one rule keeps; return how many that are."""
    period_of, last, count = PERIODS[rule], None, 0
    for position, moment in enumerate(local):
        if count == number:
            break
        period = period_of(moment)
        if period != last:
            last = period
            if position not in kept:
                kept[position] = rule
                count += 1
    return count
