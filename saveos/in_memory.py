"""The machine's file system in memory: for what is never to reach a disk."""

from __future__ import annotations

import functools
import os
from pathlib import Path

KINDS = frozenset({"tmpfs", "ramfs"})
PLACES = ("/dev/shm", "/run/shm")  # noqa: S108 - what lies there is for everybody: our folders in it are checked


def place_in(mounts: str) -> str:
    """Return the file system in memory among mounts, which are lines as of /proc/self/mounts; "" when none is."""
    kinds = {place: kind for _device, place, kind, *_more in (line.split() for line in mounts.splitlines())}
    return next((place for place in PLACES if kinds.get(place) in KINDS), "")


@functools.cache
def place() -> str:
    """Return this machine's, if we may write there; else ""."""
    try:
        found = place_in(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found if os.access(found, os.W_OK) else ""
