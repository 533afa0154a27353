"""Huey as hands: a queue of job ids in a file of its own, worked off by threads of this process.

The jobs table is the truth. Huey forgets a task when it hands it out, so a killed process loses it there; the lease
in the table runs out and the doorbell rings again. Losing Huey's file loses nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from huey import SqliteHuey
from huey.consumer import Consumer
from huey.storage import SqliteStorage

from saveos import clock
from saveos.errors import SaveOSError
from saveos.jobs import lifecycle, table
from saveos.protocol import JobId, JobReport, LogLine, Outcome, Progress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.protocol import Kind

log = logging.getLogger("saveos.worker")
OWNER = "appliance"
RING_SECONDS = 0.25
REAP_SECONDS = 2.0
WORKERS = 6  # a check, of which there is one at a time, and two offsite copies may hold theirs for hours


class QuickStorage(SqliteStorage):  # type: ignore[misc]
    """SQLite without waiting for the disk at each task: what is lost is rebuilt from the jobs table."""

    def _create_connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._create_connection()
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


class EmbeddedConsumer(Consumer):  # type: ignore[misc]
    """Huey's consumer without its signal handlers: uvicorn owns the signals."""

    def _set_signal_handlers(self) -> None:
        """Leave the signals alone."""


class Running:
    """A job in the hands of this process: its log, its progress, its end."""

    def __init__(self, database: Database, job: Job, lease_seconds: float) -> None:
        """Keep the lease alive from a thread of its own until `close`."""
        self.job = job
        self._database = database
        self._lease_seconds = lease_seconds
        self._lines: list[LogLine] = []
        self._phase = "running"
        self._done = self._total = 0
        self._ended = threading.Event()
        self.is_cancelled = threading.Event()
        self._thread = threading.Thread(target=self._report_until_ended, name=f"lease-{job.id}", daemon=True)
        self._thread.start()

    def say(self, line: str, *, phase: str | None = None, done: int = 0, total: int = 0) -> None:
        """Add a line to the job's log, if there is one; optionally how far it is."""
        if line:
            self._lines.append(LogLine(line=line[:2000]))
        if phase is not None:
            self._phase = phase
        if total:
            self._done, self._total = done, total

    def close(self) -> tuple[LogLine, ...]:
        """Stop reporting; return the lines not yet kept."""
        self._ended.set()
        self._thread.join()
        lines, self._lines = self._lines, []
        return tuple(lines[-500:])

    def _report_until_ended(self) -> None:
        while not self._ended.wait(1.0):
            lines, self._lines = self._lines, []
            said = Progress(
                phase=self._phase, files_count=self._done, total_files_count=self._total, log=tuple(lines[-500:])
            )
            with contextlib.suppress(SaveOSError):
                if self._database.write(self._note(said)):
                    self.is_cancelled.set()

    def _note(self, said: Progress) -> Callable[[sqlite3.Connection], bool]:
        return lambda connection: lifecycle.note_progress(connection, self.job.id, None, said, self._lease_seconds)


class Worker:
    """Claims the appliance's own jobs and runs them in threads."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        handlers: Mapping[Kind, Callable[[Running], str]],
        endings: Mapping[Kind, Any],
    ) -> None:
        """`handlers`: what to do per kind; returns a sentence for the job, raises SaveOSError to fail it."""
        self._settings, self._database = settings, database
        self._handlers, self._endings = handlers, endings
        self._stopping = threading.Event()
        self._rung: set[JobId] = set()
        self._active: set[Running] = set()
        self.huey = SqliteHuey(name="saveos", filename=str(settings.queue), storage_class=QuickStorage, results=False)
        self._task = self.huey.task(name="run_job")(self.run)
        self._consumer = EmbeddedConsumer(
            self.huey,
            workers=WORKERS,
            worker_type="thread",
            periodic=False,
            initial_delay=0.05,
            max_delay=0.5,
            backoff=1.3,
            check_worker_health=True,
        )
        self._doorbell = threading.Thread(target=self._ring, name="doorbell", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self.huey.flush()  # ids of a former life: the table knows better
        self._consumer.start()
        self._doorbell.start()

    def stop(self) -> None:
        """Interrupt running jobs, which go back to the queue for the next start, and stop."""
        self._stopping.set()
        for running in list(self._active):
            running.is_cancelled.set()
        self._doorbell.join()
        self._consumer.stop(graceful=True)

    def run(self, job_id: str) -> None:
        """Claim a job and do it. A second ring for the same id finds nothing to claim."""
        lease = timedelta(seconds=self._settings.lease_seconds)
        job = self._database.write(
            lambda connection: table.claim(connection, JobId(job_id), OWNER, clock.now() + lease)
        )
        self._rung.discard(JobId(job_id))
        if job is not None:
            self.perform(job)

    def perform(self, job: Job) -> None:
        """Do a claimed job and write how it ended."""
        running = Running(self._database, job, self._settings.lease_seconds)
        self._active.add(running)
        try:
            message = self._handlers[job.kind](running)
            outcome, code = Outcome.DONE, ""
        except SaveOSError as error:
            message, code = error.message, error.code
            outcome = Outcome.CANCELLED if running.is_cancelled.is_set() else Outcome.FAILED
        except Exception as error:
            log.exception("Job %s failed unexpectedly.", job.id)
            message, code, outcome = f"Unexpected: {error!r}", "internal-error", Outcome.FAILED
        finally:
            self._active.discard(running)
        if self._stopping.is_set() and outcome is not Outcome.DONE:
            running.close()
            why = "Interrupted by a stop of the appliance."
            self._database.write(lambda connection: lifecycle.lost(connection, job, why, self._endings))
            return
        report = JobReport(outcome=outcome, error_code=code, message=message[:4096], log=running.close())
        self._database.write(lambda connection: lifecycle.finish(connection, job.id, None, report, self._endings))

    def _ring(self) -> None:
        """Put due ids into the queue, and take back what nobody works on any more."""
        passed = REAP_SECONDS
        while not self._stopping.wait(RING_SECONDS):
            passed += RING_SECONDS
            try:
                if passed >= REAP_SECONDS:
                    passed = 0.0
                    lifecycle.reap(self._database, self._endings)
                for job_id in table.due_on_appliance(self._database.read):
                    if job_id not in self._rung:
                        self._rung.add(job_id)
                        self._task(job_id)
            except Exception:
                log.exception("The doorbell failed; it rings again.")
