"""How many files a backup would take, and how many it would skip."""

from __future__ import annotations

import heapq
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from saveos.agent.borg_log import printable
from saveos.protocol import ExcludesTried

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_SECONDS = 1.0
EXAMPLES_LIMIT = 50
EXAMPLE_LENGTH = 1024
LINKED_LIMIT = 500_000  # inodes with several names that are remembered, so that each counts once


class Counts:
    """What is taken and what is skipped; to Borg's walk it is what makes archive members of files."""

    def __init__(self, tell: Callable[[ExcludesTried], Any]) -> None:
        """`tell` hears the counts so far about once a second."""
        self._tell = tell
        self._told = time.monotonic()
        self.files = self.size = self.skipped_files = self.skipped_size = 0
        self._linked: set[tuple[int, int]] = set()
        self._skipped_linked: set[tuple[int, int]] = set()
        self._largest: list[tuple[int, str]] = []  # a heap: the least of the largest first

    def tried(self, *, is_final: bool = False, message: str = "") -> ExcludesTried:
        """Return the counts so far."""
        examples = tuple(path for _size, path in sorted(self._largest, key=lambda one: (-one[0], one[1])))
        return ExcludesTried(
            files_count=self.files,
            original_bytes=self.size,
            skipped_files_count=self.skipped_files,
            skipped_bytes=self.skipped_size,
            examples=examples,
            is_final=is_final,
            message=message,
        )

    def _go_on(self) -> None:
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self._tell(self.tried())

    def process_file(self, *, path: str, st: os.stat_result, **_: Any) -> None:
        """Count a regular file that is taken; one with several names counts once, as in an archive."""
        del path
        if _is_first(self._linked, st):
            self.files += 1
            self.size += st.st_size
        self._go_on()

    def process_dir_with_fd(self, **_: Any) -> None:
        """Take notice of a folder: the walk goes on."""
        self._go_on()

    def process_symlink(self, **_: Any) -> None:
        """Count nothing."""

    process_fifo = process_dev = process_symlink

    def skip(self, path: str) -> None:
        """Count all that an excluded path holds."""
        before = self.skipped_size
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                self._skip_below(path, status.st_dev)
            else:
                self._skip_one(status)
        except OSError:
            return
        entry = (self.skipped_size - before, printable(path)[:EXAMPLE_LENGTH])
        if len(self._largest) < EXAMPLES_LIMIT:
            heapq.heappush(self._largest, entry)
        else:
            heapq.heappushpop(self._largest, entry)
        self._go_on()

    def _skip_below(self, top: str, device: int) -> None:
        """Count without recursion, as nothing is known of what lies there; other file systems are other matters."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            try:
                if folder == top and _is_made_up(folder):
                    continue
                with os.scandir(folder) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        if not stat.S_ISDIR(status.st_mode):
                            self._skip_one(status)
                        elif status.st_dev == device:
                            waiting.append(entry.path)
            except OSError:
                continue
            self._go_on()

    def _skip_one(self, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode) and _is_first(self._skipped_linked, status):
            self.skipped_files += 1
            self.skipped_size += status.st_size


def _is_first(linked: set[tuple[int, int]], status: os.stat_result) -> bool:
    """Return whether an inode comes for the first time."""
    if status.st_nlink == 1:
        return True
    inode = (status.st_ino, status.st_dev)
    if inode in linked:
        return False
    if len(linked) < LINKED_LIMIT:
        linked.add(inode)
    return True


def _is_made_up(folder: str) -> bool:
    """Return whether a file system stores nothing (/proc, /sys): its files have sizes without meaning."""
    return hasattr(os, "statvfs") and os.statvfs(folder).f_blocks == 0
