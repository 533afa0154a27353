"""When is a policy due for a host? Cron in the host's own zone, across daylight saving.

APScheduler's CronTrigger is only the calculator. Two of its habits are corrected: `0` is Monday there and Sunday in
cron, and in autumn it fires twice for one local time, which `due_key` makes one again.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger

from saveos.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELDS = 5


def next_due(schedule: str, zone_name: str, after: datetime) -> datetime | None:
    """Return the first moment after `after` at which the schedule fires, in UTC; None for an empty schedule.

    Raises InvalidRequest for a schedule that is not cron.
    """
    if not schedule:
        return None
    moment: datetime | None = _trigger(schedule, zone_of(zone_name)).get_next_fire_time(after, after)
    return moment.astimezone(UTC) if moment else None


def next_runs(schedule: str, zone_name: str, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` moments after `after` at which a host is backed up, in UTC; fewer if none follow.

    The second firing of an hour that comes twice is left out, as the backup is. Raises InvalidRequest as `next_due`.
    """
    runs: list[datetime] = []
    keys: set[str] = set()
    moment = next_due(schedule, zone_name, after)
    while moment is not None and len(runs) < count:
        key = due_key("", "", schedule, zone_name, moment)
        if key not in keys:
            keys.add(key)
            runs.append(moment)
        moment = next_due(schedule, zone_name, moment + timedelta(microseconds=1))
    return runs


def past_hours(schedule: str, today: date, days: int) -> Iterator[list[datetime]]:
    """Yield, for each of so many days back from today on which the schedule fires, the last firing of each hour.

    Newest first, in local time without a zone. Raises InvalidRequest as `next_due`.
    """
    fields = {field.name: field for field in _trigger(schedule, ZoneInfo("UTC")).fields}
    day_fields = [fields[name] for name in ("month", "day", "day_of_week")]
    start = datetime.combine(today, time())
    hours = [hour for hour in range(24) if fields["hour"].get_next_value(start.replace(hour=hour)) == hour]
    minute = minutes(schedule)[-1]
    for back in range(days):
        day = start - timedelta(days=back)
        if all(field.get_next_value(day) == field.get_value(day) for field in day_fields):
            yield [day.replace(hour=hour, minute=minute) for hour in reversed(hours)]


def minutes(schedule: str) -> list[int]:
    """Return at which minutes of an hour the schedule fires. Raises InvalidRequest as `next_due`."""
    field = next(field for field in _trigger(schedule, ZoneInfo("UTC")).fields if field.name == "minute")
    start = datetime.combine(date(2000, 1, 1), time())
    return [minute for minute in range(60) if field.get_next_value(start.replace(minute=minute)) == minute]


def due_key(policy_id: str, agent_id: str, schedule: str, zone_name: str, moment: datetime) -> str:
    """Return the name of this firing: asked for twice, it is one job.

    Schedules at fixed hours are named by local time, so that the hour that comes twice in autumn counts once; the
    others (every hour, every quarter) by UTC, as they are meant to run in both.
    """
    hour_field = schedule.split()[1] if len(schedule.split()) == _FIELDS else "*"
    local = moment.astimezone(zone_of(zone_name)) if re.fullmatch(r"[\d,-]+", hour_field) else moment.astimezone(UTC)
    return f"{policy_id}/{agent_id}/{local:%Y-%m-%dT%H:%M}"


def zone_of(name: str) -> ZoneInfo:
    """Return the zone of that name; UTC for an empty or unknown one, as a host may say anything."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _trigger(schedule: str, zone: ZoneInfo) -> CronTrigger:
    fields = schedule.split()
    if len(fields) != _FIELDS:
        message = f"A schedule has five fields (minute hour day month weekday): {schedule!r}."
        raise InvalidRequest(message, field="schedule")
    minute, hour, day, month, weekday = fields
    try:
        return CronTrigger(
            minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=zone
        )
    except ValueError as error:
        message = f"The schedule {schedule!r} cannot be read: {error}."
        raise InvalidRequest(message, field="schedule") from error


def _weekdays(field: str) -> str:
    """Turn cron's weekday numbers (0 and 7: Sunday) into lists of names; a range over Saturday would not parse."""
    parts = []
    for part in field.lower().split(","):
        span = re.fullmatch(r"([0-7])-([0-7])", part)
        if span and int(span[1]) <= int(span[2]):
            parts += [_DAYS[number] for number in range(int(span[1]), int(span[2]) + 1)]
        elif re.fullmatch(r"[0-7]", part):
            parts.append(_DAYS[int(part)])
        else:
            parts.append(part)
    return ",".join(dict.fromkeys(parts))
