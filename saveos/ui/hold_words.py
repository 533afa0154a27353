"""What keeps a snapshot, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots.model import Hold, HoldKind, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from saveos.ui.words import Words

KINDS = {HoldKind.PIN: "hold.pin", HoldKind.LEGAL: "hold.legal", HoldKind.ANOMALY: "hold.anomaly"}
STANDINGS = {
    Standing.GOOD: "snapshots.good",
    Standing.SUSPECT: "hold.suspect",
    Standing.DAMAGED: "hold.damaged",
    Standing.LOST: "hold.lost",
}


def badges(words: Words, kinds: Iterable[HoldKind]) -> tuple[str, ...]:
    """Return what keeps a snapshot, a word each."""
    return tuple(words.say(KINDS[kind]) for kind in kinds)


def placed(words: Words, hold: Hold) -> str:
    """Say who placed a hold and when, and when it ends."""
    end = words.say("hold.until", when=words.exact(hold.until)) if hold.until else ""
    if hold.kind is HoldKind.LEGAL and not hold.until:
        end = words.say("hold.no_end")
    said = words.say("hold.placed", who=who(words, hold.placed_by), when=words.exact(hold.placed_at))
    return words.listing([said, end])


def over(words: Words, hold: Hold, now: datetime) -> str:
    """Say how a hold ended; empty while it is in force."""
    if hold.released_at is not None:
        if hold.release_asked_by:
            return words.say(
                "hold.released_by_two",
                first=who(words, hold.release_asked_by),
                second=who(words, hold.released_by),
                when=words.exact(hold.released_at),
            )
        return words.say("hold.released", who=who(words, hold.released_by), when=words.exact(hold.released_at))
    if hold.until is not None and hold.until <= now:
        return words.say("hold.ended", when=words.exact(hold.until))
    return ""


def who(words: Words, label: str) -> str:
    """Return an actor of the audit log as a person knows it."""
    kind, _, name = label.partition(":")
    return name if kind == "user" else words.say("jobs.by_appliance")
