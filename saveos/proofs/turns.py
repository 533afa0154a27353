"""Whose turn is it to prove something? Pure decisions on the clock, and the tick that asks the hosts."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from saveos import clock
from saveos.agents.model import SILENT_AFTER
from saveos.offsite import table_states
from saveos.proofs import drills, table_drills, verifications
from saveos.protocol import Kind

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.proofs.table_drills import Turn

DRILL_EVERY, DRILL_PATIENCE = timedelta(days=7), timedelta(days=2)
FIRST_DRILL_AFTER = timedelta(hours=1)
COPY_DRILL_EVERY = timedelta(days=30)  # out of the offsite copy: what travels is paid for
DRILL_AGAIN = timedelta(days=1)  # after one that came to no verdict
VERIFY_EVERY, VERIFY_PATIENCE = timedelta(hours=20), timedelta(days=3)
LOCATE_AGAIN = timedelta(minutes=30)  # and twice as long after each time that it failed, a day at most
AT_ONCE = 16  # hosts: their hours of maintenance begin together
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def queue_due(database: Database) -> int:
    """Ask hosts that are there for the one thing whose turn it is, some at a time; return how many were asked."""
    now, connection = clock.now(), database.read
    turns = table_drills.turns(connection, now - SILENT_AFTER, now - DRILL_AGAIN)
    due = [(turn, kind) for turn in turns if (kind := wanted(turn, now))]
    due.sort(key=lambda each: each[0].unlocated_at is None)  # what is damaged first
    chosen = due[: max(0, AT_ONCE - table_drills.active_count(connection))]

    def write(connection: sqlite3.Connection) -> None:
        for turn, kind in chosen:
            if kind is Kind.DRILL:
                drills.queue(connection, turn.agent_id, turn.tenant_id, "system:schedule")
            elif kind is Kind.OFFSITE_DRILL:
                copy = table_states.state_of(connection, turn.agent_id)
                drills.queue(connection, turn.agent_id, turn.tenant_id, "system:schedule", copy=copy)
            else:
                verifications.queue(connection, turn.agent_id, turn.tenant_id, turn.stored_bytes)

    if chosen:
        database.write(write)
    return len(chosen)


def wanted(turn: Turn, now: datetime) -> Kind | None:
    """Return what a host is to do now: damage is located first, then come drills and a part of the verification.

    A drill and a verification keep to the hours of maintenance, unless the host was never there in them for long.
    """
    known = turn.kinds.split()
    is_calm = is_within(turn.maintenance, turn.time_zone, now)
    if Kind.VERIFY in known and is_to_locate(turn, now):
        return Kind.VERIFY
    first_at = turn.backed_up_at + FIRST_DRILL_AFTER
    drill_at = turn.drilled_at + DRILL_EVERY if turn.drilled_at else first_at
    if Kind.DRILL in known and now >= drill_at and (is_calm or now >= drill_at + DRILL_PATIENCE):
        return Kind.DRILL
    if Kind.OFFSITE_DRILL in known and turn.copied_at is not None:
        copy_at = turn.copy_drilled_at + COPY_DRILL_EVERY if turn.copy_drilled_at else turn.copied_at
        if now >= copy_at and (is_calm or now >= copy_at + DRILL_PATIENCE):
            return Kind.OFFSITE_DRILL
    verify_at = turn.verified_at + VERIFY_EVERY if turn.verified_at else first_at
    if Kind.VERIFY in known and now >= verify_at and (is_calm or now >= verify_at + VERIFY_PATIENCE):
        return Kind.VERIFY
    return None


def is_within(window: str, zone_name: str, now: datetime) -> bool:
    """Return whether a host's clock is in "HH:MM-HH:MM", which may span midnight; what is no such text is always."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        return True
    begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    local = now.astimezone(_zone(zone_name)).time()
    return begin <= local < end if begin < end else local >= begin or local < end


def is_to_locate(turn: Turn, now: datetime) -> bool:
    """Return whether the host was not asked since damage was found or another snapshot made, or did not tell."""
    if turn.unlocated_at is None:
        return False
    asked_at = turn.verified_at
    wait = min(LOCATE_AGAIN * 2 ** min(turn.verify_failures, 8), timedelta(days=1))
    return asked_at is None or turn.unlocated_at > asked_at or now - asked_at >= wait


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
