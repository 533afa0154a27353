"""What the appliance's jobs on repositories say at their end: exact in the record, understood again by who shows it."""

from __future__ import annotations

import re
from enum import StrEnum


class Ended(StrEnum):
    """How such a job ended."""

    ORDERED = "ordered"
    NOTHING = "nothing"
    FROZEN = "frozen"
    COMPACTED = "compacted"
    ROLLED_BACK = "rolled-back"


SENTENCES = {
    Ended.ORDERED: "The host is to delete {count} archives.",
    Ended.NOTHING: "Nothing is to be removed.",
    Ended.FROZEN: "Not done: the repository is frozen.",
    Ended.COMPACTED: "{freed_bytes} bytes are free in the repository; checkpoints hold {held_bytes} bytes.",
    Ended.ROLLED_BACK: "The repository is what it was; {count} snapshots came back.",
}
_PATTERNS = {
    ended: re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[0-9]+)", re.escape(SENTENCES[ended]))) for ended in Ended
}


def told(ended: Ended, **numbers: int) -> str:
    """Return the sentence that is kept with the job."""
    return SENTENCES[ended].format(**numbers)


def understood(message: str) -> tuple[Ended, dict[str, int]] | None:
    """Return how a job ended and its numbers, from the sentence that `told` made; None for any other message."""
    for ended, pattern in _PATTERNS.items():
        if found := pattern.fullmatch(message):
            return ended, {name: int(number) for name, number in found.groupdict().items()}
    return None
