"""What a person sees in a terminal: a moving bar, sizes and times in human units."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saveos.protocol import Progress, RestoreFacts

LISTED = 100
BAR = 24
THOUSAND = 1000


def size(count: float) -> str:
    """Return bytes in human units (powers of 1000, as disks are sold)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= THOUSAND
    return f"{count:.1f} PB"


def restored_lines(facts: RestoreFacts) -> list[str]:
    """Return what a restore found and made: the counts, then what differs."""
    counts = {
        name: getattr(facts, name) for name in ("identical", "replaced", "skipped", "renamed", "refused", "failed")
    }
    parts = [f"{facts.new} new", *(f"{count} {name}" for name, count in counts.items() if count)]
    verb = "to write" if facts.is_dry_run else "written"
    lines = [f"{', '.join(parts)}; {size(facts.written_bytes)} {verb}"]
    lines += [f"  {entry.what.value}: {entry.path} ({entry.detail})" for entry in facts.differences[:LISTED]]
    if facts.is_cut or len(facts.differences) > LISTED:
        lines.append("  and more: see the job in the dashboard, or --json")
    return lines


class Bar:
    """One line of progress on standard error, drawn only on a terminal."""

    def __init__(self) -> None:
        """Begin to count the time."""
        self._started = time.monotonic()
        self._is_shown = sys.stderr.isatty()

    def show(self, said: Progress) -> None:
        """Draw how far it is."""
        if not self._is_shown:
            return
        elapsed = max(time.monotonic() - self._started, 0.1)
        text = f"{said.phase}: {said.files_count} files, {size(said.original_bytes)}"
        text += f", {size(said.original_bytes / elapsed)}/s"
        fraction = _fraction(said)
        if fraction:
            done = int(BAR * fraction)
            text = f"[{'#' * done}{'.' * (BAR - done)}] {fraction:4.0%} {text}"
            text += f", {_clock(elapsed * (1 - fraction) / fraction)} left"
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r" + text[:width].ljust(width))
        sys.stderr.flush()

    def close(self) -> None:
        """Leave a clean line."""
        if self._is_shown:
            sys.stderr.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            sys.stderr.flush()


def _fraction(said: Progress) -> float:
    parts = [
        done / total
        for done, total in ((said.files_count, said.total_files_count), (said.original_bytes, said.total_bytes))
        if total
    ]
    return min(0.99, max(parts)) if parts else 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
