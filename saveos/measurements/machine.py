"""What the machine says of itself. Linux tells it under /proc; elsewhere less is to be had, and None is returned."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

PROC = Path("/proc")
_IDLE, _WAITING, _GUEST = 3, 4, 8  # places in the first line of /proc/stat; a guest's time is in its host's already


class Processors(msgspec.Struct, frozen=True, kw_only=True):
    """How long all processors together have been busy, and have been there, in the kernel's ticks."""

    busy: int
    all: int

    def share_since(self, earlier: Processors) -> float | None:
        """Return the busy share since then, 0 to 1; None when no time has passed."""
        passed = self.all - earlier.all
        return min(1.0, max(0.0, (self.busy - earlier.busy) / passed)) if passed > 0 else None


def processors() -> Processors | None:
    """Return the processors' times."""
    try:
        fields = [int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    except (OSError, ValueError):
        return None
    ticks = fields[:_GUEST]
    return Processors(busy=sum(ticks) - ticks[_IDLE] - ticks[_WAITING], all=sum(ticks))


def memory_bytes(root: int) -> int | None:
    """Return what a process and its descendants hold in memory; a page that several share is counted once."""
    parents = dict(_parents())
    if not parents:
        return None
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(_memory(process) for process in family)


def _parents() -> list[tuple[int, int]]:
    """Return (process, its parent) of all that run."""
    found = []
    try:
        names = [name for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
    for name in names:
        try:
            line = (PROC / name / "stat").read_text(errors="replace")
        except OSError:
            continue  # it has just ended
        found.append((int(name), int(line.rpartition(")")[2].split()[1])))  # a name may hold blanks and brackets
    return found


def _memory(process: int) -> int:
    folder = PROC / str(process)
    try:
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
