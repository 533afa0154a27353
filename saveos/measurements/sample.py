"""Take one sample: what the appliance does at this moment, in one reading of the tables and one write."""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.measurements import machine, table
from saveos.measurements.model import Sample, thinnings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from saveos.agents.pulse import Pulse
    from saveos.config import Settings
    from saveos.database.connection import Database

SILENT_AFTER = timedelta(seconds=60)  # a running job that says nothing for so long reads nothing that we know of


class Sampler:
    """Remembers the last counts, since rates are differences. Used by one thread at a time."""

    def __init__(self, database: Database, settings: Settings, pulse: Pulse, sessions_count: Callable[[], int]) -> None:
        """Begin to count now; nothing is written yet."""
        self._database, self._settings = database, settings
        self._pulse, self._sessions_count = pulse, sessions_count
        self._processors = machine.processors()
        self._beats = pulse.count
        self._counted_at = time.monotonic()
        self._added: dict[str, int] = {}  # by running job, as last heard

    def take(self) -> Sample:
        """Measure, keep, and return what was measured."""
        sample = self._measure(self._database.read)
        self._database.write(lambda connection: table.insert(connection, sample))
        return sample

    def thin_out(self) -> int:
        """Replace what is old by means, in one transaction; return how many rows went."""
        steps = thinnings(clock.now())
        return self._database.write(lambda connection: sum(table.thin(connection, step) for step in steps))

    def _measure(self, connection: sqlite3.Connection) -> Sample:
        seconds = max(1.0, time.monotonic() - self._counted_at)
        self._counted_at = time.monotonic()
        beats, self._beats = self._pulse.count - self._beats, self._pulse.count
        counts = table.job_counts(connection)
        disk = shutil.disk_usage(self._settings.folder)
        read, stored = self._rates(connection, seconds)
        return Sample(
            at=clock.now(),
            cpu_share=self._cpu_share(),
            memory_bytes=machine.memory_bytes(os.getpid()),
            disk_used_bytes=disk.used,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            jobs_queued=counts.get("queued", 0),
            jobs_running=counts.get("running", 0),
            heartbeats_per_minute=beats * 60 / seconds,
            read_bytes_per_second=read,
            stored_bytes_per_second=stored / seconds,
            tunnel_sessions=self._sessions_count(),
        )

    def _cpu_share(self) -> float | None:
        before, self._processors = self._processors, machine.processors()
        return self._processors.share_since(before) if self._processors and before else None

    def _rates(self, connection: sqlite3.Connection, seconds: float) -> tuple[float, float]:
        """Return what running jobs read a second, and what was added since the last sample.

        A job that ended in between counts with its last word. One that began and ended in between is not seen; what
        it added is in its snapshot.
        """
        since = clock.to_text(clock.now() - max(SILENT_AFTER, timedelta(seconds=seconds)))
        rows = table.progress_of(connection, self._added)
        read = sum(row["bytes_per_second"] for row in rows if row["is_running"] and row["updated_at"] >= since)
        stored = sum(max(0, row["added_bytes"] - self._added.get(row["job_id"], 0)) for row in rows)
        self._added = {row["job_id"]: row["added_bytes"] for row in rows if row["is_running"]}
        return read, stored
