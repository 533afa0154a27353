"""Days as they are typed on the command line: by this machine's clock, the last one up to its end."""

from __future__ import annotations

import argparse
from datetime import date, datetime, time, timedelta


def first(text: str) -> datetime:
    """Return when a day begins. Raises ArgumentTypeError."""
    return _midnight(text, 0)


def last(text: str) -> datetime:
    """Return when a day is over. Raises ArgumentTypeError."""
    return _midnight(text, 1)


def end(text: str) -> datetime:
    """Return a moment, or when a day is over; without a zone it is this machine's. Raises ArgumentTypeError."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return _aware(text)
    return last(text)


def _midnight(text: str, days: int) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text) + timedelta(days=days), time()).astimezone()
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is no day: write it as 2027-01-31"
        raise argparse.ArgumentTypeError(message) from error


def _aware(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is no time: write it as 2027-01-31 or 2027-01-31T12:00Z"
        raise argparse.ArgumentTypeError(message) from error
