"""How much is there? A quick walk for the first backup's percentage."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol import NOT_IN_BACKUPS

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

LIMIT_SECONDS = 60.0


class Size(msgspec.Struct, frozen=True):
    """Regular files and their bytes."""

    files_count: int
    original_bytes: int


def measure(paths: Sequence[str], stopping: threading.Event, *, one_file_system: bool) -> Size | None:
    """Return the size of trees, None when it took too long or was stopped. Unreadable folders count nothing."""
    deadline = time.monotonic() + LIMIT_SECONDS
    files, size = 0, 0
    waiting: list[tuple[str, int]] = []
    for path in paths:
        status = os.lstat(path)
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - odd names stay as they are
            waiting.append((path, status.st_dev))
        else:
            files, size = files + 1, size + status.st_size
    while waiting:
        if stopping.is_set() or time.monotonic() > deadline:
            return None
        folder, device = waiting.pop()
        with contextlib.suppress(OSError):
            entries = list(os.scandir(folder))
            if any(entry.name == NOT_IN_BACKUPS for entry in entries):
                continue
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if entry.is_file(follow_symlinks=False):
                    files, size = files + 1, size + status.st_size
                elif entry.is_dir(follow_symlinks=False) and not (one_file_system and status.st_dev != device):
                    waiting.append((entry.path, device))
    return Size(files, size)
