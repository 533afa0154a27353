"""Who fetches a rescue system's executable. Anybody may, so there are few places: not all of the line is theirs.

A place is free again after some minutes, whatever becomes of its reader.
"""

from __future__ import annotations

import time

from saveos.errors import TooMany

PLACES = 8
LIMIT_SECONDS = 600.0


class Place:
    """One reader's, until they leave it or their time is over."""

    def __init__(self, taken: set[Place]) -> None:
        """Take it."""
        self._taken = taken
        self._ends_at = time.monotonic() + LIMIT_SECONDS
        taken.add(self)

    @property
    def seconds_left(self) -> float:
        """How long the reader may still read."""
        return max(0.0, self._ends_at - time.monotonic())

    def leave(self) -> None:
        """Let another have it."""
        self._taken.discard(self)


class Rescues:
    """The places of this process, for the event loop."""

    def __init__(self) -> None:
        """All are free."""
        self._taken: set[Place] = set()

    def take(self) -> Place:
        """Return a place. Raises TooMany."""
        for place in list(self._taken):
            if not place.seconds_left:  # its reader went before anything was sent
                place.leave()
        if len(self._taken) >= PLACES:
            message = "Others fetch it now. Try again in a minute."
            raise TooMany(message, retry_seconds=60)
        return Place(self._taken)
