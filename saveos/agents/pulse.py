"""Heartbeats of this process, counted in memory: a count costs no write."""

from __future__ import annotations


class Pulse:
    """Counted in the event loop, read from any thread."""

    def __init__(self) -> None:
        """Nothing has been heard yet."""
        self._count = 0

    def beat(self) -> None:
        """Count one: a host has said that it lives."""
        self._count += 1

    @property
    def count(self) -> int:
        """How many heartbeats there were since the process began."""
        return self._count
