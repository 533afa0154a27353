"""Says what a restore would do, and counts what one does."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from saveos.agent.engine_look import IDENTICAL, NEW, Step
from saveos.agent.ground import Refusal
from saveos.protocol import Fate, entry_path

if TYPE_CHECKING:
    from saveos.agent.engine_look import Look
    from saveos.agent.engine_selection import Parts
    from saveos.agent.tally import Tally


class Foresight:
    """Counts what would happen."""

    def __init__(self, look: Look, tally: Tally) -> None:
        """Nothing is written."""
        self._look, self._tally = look, tally
        self._counted: set[str] = set()  # hard links whose bytes are counted

    def do(self, step: Step) -> None:
        """Count one entry."""
        path = step.item.path
        try:
            fate, detail = self._look.judge(step)
        except Refusal as refusal:
            self._tally.differs(path, Fate.REFUSED, refusal.code)
            return
        except OSError as error:
            self._tally.differs(path, Fate.FAILED, error.strerror or str(error))
            return
        count(self._tally, step, fate, detail)
        if stat.S_ISDIR(step.item.mode) and fate in (Fate.REPLACED, Fate.RENAMED):
            self._look.absent.add(step.parts)
        if fate not in (IDENTICAL, Fate.SKIPPED):
            self._tally.written_bytes += self._bytes_of(step)

    def finish(self, passed: dict[Parts, Any]) -> None:
        """Nothing comes last."""

    def _bytes_of(self, step: Step) -> int:
        item = step.item
        first = item.get("source", item.path)
        if not stat.S_ISREG(item.mode) or first in self._counted:
            return 0
        if "source" in item or item.get("hardlink_master", False):
            self._counted.add(first)
        return sum(chunk.size for chunk in self._look.chunks_of(item) or ())


def count(tally: Tally, step: Step, fate: str, detail: str) -> None:
    """Count what became of an entry."""
    if fate == NEW:
        tally.new()
    elif fate == IDENTICAL:
        tally.identical()
    else:
        shown = entry_path(os.fsencode(detail)) if fate is Fate.RENAMED else detail
        tally.differs(step.item.path, Fate(fate), shown)
