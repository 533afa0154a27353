"""A schedule as people choose it (how often, at what time, on which days) and as cron; each becomes the other."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

MONDAY, SUNDAY = 1, 7
WEEKDAYS = (1, 2, 3, 4, 5)
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
LAST_MINUTE, LAST_HOUR, LAST_DAY = 59, 23, 31
_NAMES = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}
_FIELDS = 5


class Pace(StrEnum):
    """How often."""

    OFF = "off"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CRON = "cron"  # anything else, in cron's own words


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is chosen; the parts that the pace does not need are kept for when it changes back."""

    pace: Pace = Pace.DAILY
    minute: int = 0
    hour: int = 2
    weekdays: tuple[int, ...] = WEEKDAYS  # 1 is Monday, 7 is Sunday
    day: int = 1  # of the month
    cron: str = ""

    @property
    def schedule(self) -> str:
        """The plan as cron; empty for never, and for a week without a day."""
        at = f"{self.minute} {self.hour}"
        if self.pace is Pace.HOURLY:
            return f"{self.minute} * * * *"
        if self.pace is Pace.DAILY:
            return f"{at} * * *"
        if self.pace is Pace.WEEKLY:
            return f"{at} * * {_weekday_field(self.weekdays)}" if self.weekdays else ""
        if self.pace is Pace.MONTHLY:
            return f"{at} {self.day} * *"
        return self.cron if self.pace is Pace.CRON else ""


def plan_of(schedule: str, before: Plan | None = None) -> Plan:
    """Return the plan that this cron text is, in its simplest form; what it does not say is as it was `before`."""
    text = " ".join(schedule.split())
    known = msgspec.structs.replace(before or Plan(), cron=text)
    if not text:
        return msgspec.structs.replace(known, pace=Pace.OFF)
    return _simple(text.split(), known) or msgspec.structs.replace(known, pace=Pace.CRON)


def weekdays_of(field: str) -> tuple[int, ...]:
    """Return the weekdays of a cron field such as 1-5 or mon,thu in their order; none if it says something else."""
    days: set[int] = set()
    for part in field.lower().split(","):
        first, _, last = part.partition("-")
        ends = [_weekday(first), _weekday(last or first)]
        if 0 in ends:
            return ()
        if last and first == "0":
            days.add(SUNDAY)
            ends[0] = MONDAY
        if ends[0] > ends[1]:
            return ()
        days.update(range(ends[0], ends[1] + 1))
    return tuple(sorted(days))


def _simple(fields: list[str], known: Plan) -> Plan | None:
    if len(fields) != _FIELDS or fields[3] != "*":
        return None
    minute, hour, day = _number(fields[0], LAST_MINUTE), _number(fields[1], LAST_HOUR), _number(fields[2], LAST_DAY)
    weekdays = fields[4]
    change = msgspec.structs.replace
    if minute is not None and fields[1:] == ["*"] * 4:
        return change(known, pace=Pace.HOURLY, minute=minute)
    if minute is None or hour is None:
        return None
    timed = change(known, minute=minute, hour=hour)
    if fields[2:] == ["*"] * 3:
        return change(timed, pace=Pace.DAILY)
    if fields[2] == "*" and (chosen := weekdays_of(weekdays)):
        return change(timed, pace=Pace.WEEKLY, weekdays=chosen)
    return change(timed, pace=Pace.MONTHLY, day=day) if day and weekdays == "*" else None


def _weekday_field(days: tuple[int, ...]) -> str:
    if days == WEEKDAYS:
        return "1-5"
    return ",".join(str(day % SUNDAY) for day in days)


def _weekday(text: str) -> int:
    """Return 1 to 7 for a number or a name of cron; 0 if it is neither."""
    if re.fullmatch("[0-7]", text):
        return int(text) or SUNDAY
    return _NAMES.get(text, 0)


def _number(text: str, most: int) -> int | None:
    return int(text) if re.fullmatch(r"\d{1,2}", text) and int(text) <= most else None
