"""Self-backups: what they are called, when the next one is due, which are kept. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = ".saveos"
HASH_LENGTH = 16
LEAST = timedelta(minutes=1)  # from one to the next, however much changes
SHARE = 20  # and so many times as long as one takes
AFTER_FAILURE = timedelta(minutes=15)
RECORDS_WAIT = timedelta(hours=1)
NIGHT_HOUR = 2  # of the machine's clock
OLD_AFTER = timedelta(days=2)
KEPT_COUNT, KEPT_DAYS, KEPT_WEEKS = 14, 14, 8
_NAME = re.compile(r"(\d{8}T\d{6})Z-([0-9a-f]{16})\.saveos")
_MOMENT = "%Y%m%dT%H%M%S"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How self-backups stand. Times are None when that never happened.

    `changes` of hosts, people and keys, and `records` of snapshots, only grow; the newest one has the `covered_…` ones.
    `store_made_at`: of the newest that is in the store too. `error_code`: of the last attempt, empty if it went well.
    """

    changes: int = 0
    records: int = 0
    covered_changes: int = 0
    covered_records: int = 0
    name: str = ""
    bytes: int = 0
    seconds: float = 0.0
    made_at: datetime | None = None
    store_made_at: datetime | None = None
    tried_at: datetime | None = None
    error_code: str = ""
    error_message: str = ""

    def is_old(self, now: datetime) -> bool:
        """Return whether the newest one is so old that a person has to look."""
        return self.made_at is not None and self.made_at < now - OLD_AFTER


class Named(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A self-backup by its name: when it was made (UTC, whole seconds), and how its SHA-256 begins."""

    made_at: datetime
    sha256: str

    @property
    def name(self) -> str:
        """The name of its file, or of its object."""
        return f"{self.made_at.astimezone(UTC):{_MOMENT}}Z-{self.sha256}{SUFFIX}"


def named(name: str) -> Named | None:
    """Return what a name says; None: it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[1], _MOMENT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return Named(made_at=moment, sha256=found[2])


def is_due(state: State, now: datetime) -> bool:
    """Return whether one is to be made: within a minute of a change, within the hour of a snapshot, every night."""
    wait = AFTER_FAILURE if state.error_code else max(LEAST, timedelta(seconds=SHARE * state.seconds))
    if state.tried_at is not None and timedelta() <= now - state.tried_at < wait:
        return False
    if state.made_at is None or state.error_code or state.changes > state.covered_changes:
        return True
    is_behind = state.records > state.covered_records and now - state.made_at >= RECORDS_WAIT
    return is_behind or state.made_at < _last_night(now) or state.made_at > now + timedelta(hours=1)


def _last_night(now: datetime) -> datetime:
    local = now.astimezone()
    night = local.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return night if night <= local else night - timedelta(days=1)


def to_keep(there: Iterable[Named], now: datetime) -> set[Named]:
    """Return which are kept: the newest, the newest of each of the last days, and of each of the last weeks (UTC)."""
    newest_first = sorted(there, reverse=True)
    kept = set(newest_first[:KEPT_COUNT])
    for count, span in ((KEPT_DAYS, timedelta(days=1)), (KEPT_WEEKS, timedelta(weeks=1))):
        seen: dict[int, Named] = {}
        for one in newest_first:
            if one.made_at > now - count * span:
                seen.setdefault(int(one.made_at.timestamp() // span.total_seconds()), one)
        kept |= set(seen.values())
    return kept
