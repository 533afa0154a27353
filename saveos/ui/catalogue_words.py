"""How far the catalogue of a host is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots.catalogue import State

if TYPE_CHECKING:
    from saveos.ui.words import Words

STATES = {
    State.WAITING: "catalogue.waiting",
    State.MISSING: "catalogue.missing",
    State.SEALED: "catalogue.sealed",
}


def state(words: Words, said: State, hostname: str) -> str:
    """Return why nothing can be looked at; empty when it can."""
    return words.say(STATES[said], host=hostname) if said in STATES else ""
