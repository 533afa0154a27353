"""The only clock of the appliance: aware UTC datetimes, frozen by tests through `set_source`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return _source()


def set_source(source: Callable[[], datetime] | None) -> None:
    """Replace the source of time; None brings the system's back. For tests."""
    global _source  # noqa: PLW0603 - the one clock is one variable on purpose
    _source = source or _system


def to_text(moment: datetime) -> str:
    """Return the moment as fixed-width RFC 3339 text in UTC, so that text order is time order."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Return the aware moment written by `to_text`."""
    return datetime.fromisoformat(text)
