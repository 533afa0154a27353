"""What would a backup take, and what would its excludes skip? Told by Borg's own walk, without a repository.

Runs in a process of its own beside the daemon: Borg is loaded for this alone, a pattern that never ends can be killed,
and the whole of it gives way to everything else on the host.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import lifeline
from saveos.agent.borg_log import printable
from saveos.agent.counts import Counts
from saveos.agent.engine import PARENT_VARIABLE, end_with
from saveos.agent.settings import is_frozen
from saveos.protocol import ExcludesTried

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NICENESS = 19
CPU_SECONDS = 600  # the end of a pattern that never ends, when the daemon is gone too


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, on stdin: as `borg create` would be given it."""

    paths: list[str]
    excludes: list[str]
    one_file_system: bool = False


def main(_words: Sequence[str] = ()) -> int:
    """Read a Trial and write an ExcludesTried a line, the last one with `is_final`."""
    give_way()
    trial = msgspec.json.decode(sys.stdin.buffer.read(), type=Trial)
    try:
        try_excludes(trial, lambda tried: os.write(sys.stdout.fileno(), msgspec.json.encode(tried) + b"\n"))
    except BrokenPipeError:  # nobody listens any more
        return 1
    return 0


def give_way(cpu_seconds: int | None = CPU_SECONDS) -> None:
    """Let everything else on the host go first, and end with the daemon, or after so many seconds of work."""
    parent = os.environ.get(PARENT_VARIABLE, "")
    lifeline.hold_to_parent()
    if parent.isdigit() and os.getppid() != int(parent) and not is_frozen():
        sys.exit(1)  # it ended before we could hold to it
    if sys.platform != "win32":
        import resource  # noqa: PLC0415

        os.nice(NICENESS)
        if cpu_seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    if parent.isdigit():
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()


def try_excludes(trial: Trial, tell: Callable[[ExcludesTried], Any]) -> None:
    """Walk as `borg create` would, and tell the counts: again and again, at last with `is_final`."""
    from borg.patterns import parse_exclude_pattern  # noqa: PLC0415 - a third of a second, and only here

    patterns = []
    for pattern in trial.excludes:
        try:
            patterns.append(parse_exclude_pattern(pattern))
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            message = f"Borg refuses this pattern: {printable(str(error))}."[:4000]
            tell(ExcludesTried(bad_pattern=printable(pattern)[:4000], message=message, is_final=True))
            return
    counts = Counts(tell)
    message = ""
    try:
        walk(trial, patterns, counts)
    except RecursionError:
        message = "A folder lies too deep: a backup would end there too."
    tell(counts.tried(is_final=True, message=message))


def walk(trial: Trial, patterns: list[Any], counts: Counts) -> None:
    """Let Borg itself walk, as the loop of its `do_create` does, with `counts` in the place of an archive.

    The options are those that `archives.back_up` gives. Source: borg.archiver, Borg 1.4.5.
    """
    from borg.archive import BackupError, backup_io  # noqa: PLC0415
    from borg.archiver import get_strip_prefix  # noqa: PLC0415
    from borg.helpers import os_stat  # noqa: PLC0415
    from borg.patterns import PatternMatcher  # noqa: PLC0415

    matcher = PatternMatcher(fallback=True)
    matcher.add_inclexcl(patterns)
    archiver = _archiver(counts)
    skip_inodes = _own_inodes()
    for source in trial.paths:
        path = os.path.normpath(source)
        try:
            with backup_io("stat"):
                status = os_stat(path=path, parent_fd=None, name=None, follow_symlinks=False)
        except BackupError:
            continue
        archiver._rec_walk(  # noqa: SLF001 - the very thing
            path=path, parent_fd=None, name=None, fso=counts, cache=None, matcher=matcher, exclude_caches=True,
            exclude_if_present=None, keep_exclude_tags=False, skip_inodes=skip_inodes,
            restrict_dev=status.st_dev if trial.one_file_system else None, read_special=False, dry_run=False,
            strip_prefix=get_strip_prefix(source),
        )  # fmt: skip
        skip_inodes.add((status.st_ino, status.st_dev))


def _archiver(counts: Counts) -> Any:
    """Return Borg's archiver, which tells `counts` what it leaves out and keeps silent otherwise."""
    from borg.archiver import Archiver  # noqa: PLC0415

    class Silent(Archiver):  # type: ignore[misc]
        exclude_nodump = exclude_dataless = False

        def print_file_status(self, status: str | None, path: str) -> None:
            if status == "x":
                counts.skip(path)

        def print_warning_instance(self, warning: Any) -> None:
            """Keep silent: what cannot be read is not counted."""

    return Silent()


def _own_inodes() -> set[tuple[int, int]]:
    """Return what Borg never takes: its cache."""
    from borg.helpers import get_cache_dir  # noqa: PLC0415

    try:
        status = Path(get_cache_dir()).stat()
    except OSError:
        return set()
    return {(status.st_ino, status.st_dev)}


if __name__ == "__main__":
    sys.exit(main())
