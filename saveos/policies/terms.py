"""Can these terms be kept? Pure: each refusal names the field, why, and which entry of a list."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from saveos.errors import InvalidRequest
from saveos.policies import due
from saveos.policies.model import COMPRESSION, MAINTENANCE, PATHS_LIMIT, WITHIN_LIMIT, Retention, Terms

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT, LONG = 255, 4096
ABSOLUTE = re.compile(r"/|[A-Za-z]:[/\\]|\\\\[^\\]")  # POSIX, a Windows drive, a Windows share
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SOME_SUMMER = datetime(2026, 7, 1, tzinfo=UTC)


class Why(StrEnum):
    """What is wrong with a value; the dashboard has a sentence for each."""

    EMPTY = "empty"
    TOO_LONG = "too-long"
    TOO_MANY = "too-many"
    TAKEN = "taken"
    UNCLEAN = "unclean"
    RELATIVE = "relative"
    TWICE = "twice"
    PATTERN = "pattern"
    CRON = "cron"
    NEVER = "never"
    ZONE = "zone"
    OUT_OF_RANGE = "out-of-range"
    COMPRESSION = "compression"
    WINDOW = "window"


def checked(terms: Terms) -> Terms:
    """Return the terms with their texts trimmed. Raises InvalidRequest with `field`, `why` and perhaps `position`."""
    terms = msgspec.structs.replace(
        terms,
        name=terms.name.strip(),
        schedule=" ".join(terms.schedule.split()),
        time_zone=terms.time_zone.strip(),
        maintenance=terms.maintenance.strip(),
    )
    _check_name(terms.name)
    _check_list("sources", terms.sources)
    _check_list("excludes", terms.excludes)
    for position, path in enumerate(terms.sources):
        _check_source(path, position)
    for position, pattern in enumerate(terms.excludes):
        _check_pattern(pattern, position)
    check_schedule(terms.schedule)
    _check_zone(terms.time_zone)
    _check_retention(terms.retention)
    if not re.fullmatch(COMPRESSION, terms.compression):
        raise _wrong("compression", Why.COMPRESSION, f"Borg knows no compression {terms.compression!r}.")
    if not re.fullmatch(MAINTENANCE, terms.maintenance):
        message = f"The maintenance window {terms.maintenance!r} is none: write it as 03:00-07:00."
        raise _wrong("maintenance", Why.WINDOW, message)
    return terms


def check_schedule(schedule: str) -> None:
    """Raise InvalidRequest for a schedule that is not cron, or that no day ever meets."""
    if len(schedule) > SHORT:
        raise _wrong("schedule", Why.TOO_LONG, "The schedule is too long.")
    try:
        is_never = bool(schedule) and due.next_due(schedule, "UTC", SOME_SUMMER) is None
    except InvalidRequest as error:
        raise _wrong("schedule", Why.CRON, error.message) from error
    if is_never:
        raise _wrong("schedule", Why.NEVER, f"The schedule {schedule!r} never comes.")


def _wrong(field: str, why: Why, message: str, position: int | None = None) -> InvalidRequest:
    return InvalidRequest(message, field=field, why=why, position=position)


def _check_name(name: str) -> None:
    if not name:
        raise _wrong("name", Why.EMPTY, "A policy needs a name.")
    if len(name) > SHORT:
        raise _wrong("name", Why.TOO_LONG, f"A name has {SHORT} characters at most.")
    if CONTROL.search(name):
        raise _wrong("name", Why.UNCLEAN, "The name holds a control character.")


def _check_list(field: str, entries: Sequence[str]) -> None:
    if len(entries) > PATHS_LIMIT:
        raise _wrong(field, Why.TOO_MANY, f"A policy has {PATHS_LIMIT} {field} at most.")
    known: set[str] = set()
    for position, entry in enumerate(entries):
        if not entry:
            raise _wrong(field, Why.EMPTY, "An entry is empty.", position)
        if len(entry) > LONG:
            raise _wrong(field, Why.TOO_LONG, f"A path has {LONG} characters at most.", position)
        if CONTROL.search(entry):
            raise _wrong(field, Why.UNCLEAN, "A path holds a control character.", position)
        if entry in known:
            raise _wrong(field, Why.TWICE, f"{entry} is named twice.", position)
        known.add(entry)


def _check_source(path: str, position: int) -> None:
    if not ABSOLUTE.match(path):
        message = f"{path} is not a whole path: write /srv/data, or C:\\Data on Windows."
        raise _wrong("sources", Why.RELATIVE, message, position)
    separators = r"/" if path.startswith("/") else r"[/\\]"
    if ".." in re.split(separators, path):
        raise _wrong("sources", Why.UNCLEAN, "A path holds a '..' part.", position)


def _check_pattern(pattern: str, position: int) -> None:
    style, _, rest = pattern.partition(":")
    if style == "re":
        try:
            re.compile(rest)
        except (re.error, OverflowError, RecursionError) as error:
            message = f"The regular expression of {pattern} cannot be read: {error}."
            raise _wrong("excludes", Why.PATTERN, message, position) from error


def _check_zone(name: str) -> None:
    try:
        if name:
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _wrong("time_zone", Why.ZONE, f"There is no time zone {name!r}.") from error


def _check_retention(retention: Retention) -> None:
    try:
        msgspec.convert(msgspec.to_builtins(retention), Retention)
    except msgspec.ValidationError as error:
        message = f"A number to keep is from 0 to 10,000, and a span {WITHIN_LIMIT:,} hours at most."
        raise _wrong("retention", Why.OUT_OF_RANGE, message) from error
