"""Which entries of an archive a restore is to bring back, and under which name where theirs is taken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from saveos.agent.ground import parts_of
from saveos.protocol import entry_bytes, entry_path

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_LENGTH = 255  # bytes
Parts = tuple[str, ...]


class Selection:
    """Which entries of an archive are wanted: each with all that is below it. No name is a pattern."""

    def __init__(self, entries: Sequence[str]) -> None:
        """`entries`: as `protocol.entry_path` writes them; none for all. Raises Refusal."""
        self._wanted = {parts_of(os.fsdecode(entry_bytes(entry))) for entry in entries}
        self._above = {parts[:depth] for parts in self._wanted for depth in range(len(parts))}
        self._met: set[Parts] = set()
        self.is_all = not self._wanted or () in self._wanted

    def holds(self, parts: Parts) -> bool:
        """Return whether an entry is wanted."""
        if not self._wanted:
            return True
        for depth in range(len(parts) + 1):
            if parts[:depth] in self._wanted:
                self._met.add(parts[:depth])
                return True
        return False

    def is_above(self, parts: Parts) -> bool:
        """Return whether an entry that is wanted lies below this one."""
        return parts in self._above

    def missing(self) -> tuple[str, ...]:
        """Return what was wanted and never met."""
        return tuple(entry_path(os.fsencode("/".join(parts))) for parts in sorted(self._wanted - self._met - {()}))


def another_name(name: str, stamp: str, number: int) -> str:
    """Return the name that something restored gets beside what is there: "a (restored 2026-11-25 14-03).txt".

    As long as a name may be, it is shortened before the brackets.
    """
    stem, dot, suffix = name.rpartition(".")
    if not stem.strip(".") or len(os.fsencode(suffix)) > 20:  # noqa: PLR2004 - a suffix, not the end of a sentence
        stem, dot, suffix = name, "", ""
    said = f" (restored {stamp})" if number == 1 else f" (restored {stamp}, {number})"
    room = NAME_LENGTH - len(os.fsencode(said + dot + suffix))
    raw = os.fsencode(stem)
    if len(raw) > room:
        raw = raw[:room].decode("utf-8", "ignore").encode() or raw[:room]
    return os.fsdecode(raw) + said + dot + suffix
