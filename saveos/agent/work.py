"""Do one assignment: run Borg, tell how far it is, hear whether to stop, and say how it ended."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import archives, drills, pruning, restores, update, verifying
from saveos.agent.borg import WAITING, Run
from saveos.agent.borg_log import printable
from saveos.agent.client import Client
from saveos.agent.engine_extract import RESTORING
from saveos.agent.failures import Failure
from saveos.agent.reports import send_or_keep
from saveos.protocol import JobReport, Kind, LogLine, Outcome, Progress, TunnelMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.agent import borg_log
    from saveos.agent.borg import Lent
    from saveos.agent.settings import Config, Home
    from saveos.agent.update import Successor
    from saveos.protocol import Assignment, Question

PROGRESS_SECONDS = 1.0
LINES_AT_ONCE = 200
WAITS_FOR_ANOTHER = "Another backup or restore of this host is running; this one follows it."
LINES_KEPT = 2000  # until the appliance takes them
LINE_LENGTH = 2000
LONGEST_WAIT_SECONDS = 60.0
# The line was cut or the appliance restarted: Borg goes on from its last checkpoint.
PASSING = frozenset({"connection-lost", "unreachable", "repository-locked", "stopping"})
RECONNECT_SECONDS = (2, 5, 10, 20, 30)


class Work:
    """One assignment in hand."""

    def __init__(
        self,
        home: Home,
        config: Config,
        assignment: Assignment,
        show: Callable[[Progress], None] = lambda _said: None,
        hear: Callable[[Sequence[Question]], None] = lambda _asked: None,
    ) -> None:
        """`show` hears each progress, for a terminal; `hear` what people ask of the host meanwhile."""
        self.home, self.config, self.assignment = home, config, assignment
        self._show, self._hear_questions = show, hear
        self.progress = Progress(phase="starting")
        self._lines: deque[LogLine] = deque(maxlen=LINES_KEPT)
        self._run: Run | None = None
        self.successor: Successor | None = None  # of this executable; then the report is the successor's to make
        self._ended = threading.Event()
        self.lent: Lent | None = None  # another host's repository, instead of our own
        self.is_cancelled = threading.Event()
        self.is_abandoned = threading.Event()  # we are told to end: the appliance gives the job out again

    def perform(self) -> JobReport:
        """Do it and return the report; it is sent, or kept for later, unless the work was abandoned."""
        reporter = threading.Thread(target=self._report_until_ended, name="progress", daemon=True)
        reporter.start()
        try:
            report = self._do()
        except Failure as failure:
            outcome = Outcome.CANCELLED if self.is_cancelled.is_set() else Outcome.FAILED
            report = JobReport(outcome=outcome, error_code=failure.code, message=printable(str(failure)))
        except OSError as error:
            code = "disk-full-on-host" if error.errno == errno.ENOSPC else "host-error"
            report = JobReport(outcome=Outcome.FAILED, error_code=code, message=printable(f"On the host: {error}."))
        finally:
            self._ended.set()
            reporter.join()
        if self.successor is not None:
            self._say_last()
        report = msgspec.structs.replace(report, log=tuple(self._lines)[-LINES_AT_ONCE:] + report.log)
        if not self.is_abandoned.is_set() and self.successor is None:
            send_or_keep(self.home, self.config, self.assignment.job_id, report)
        return report

    def cancel(self) -> None:
        """Stop Borg; the job ends as cancelled."""
        self.is_cancelled.set()
        if self._run is not None:
            self._run.stop()

    def go_on(self) -> None:
        """Raise Failure `cancelled` once nobody wants the work any more; for what changes nothing until its end."""
        if self.is_cancelled.is_set():
            raise Failure("cancelled", "Cancelled before anything was changed.")

    def abandon(self) -> None:
        """Stop Borg and report nothing: this agent is ending."""
        self.is_abandoned.set()
        self.cancel()

    def say(self, line: str, level: str = "info") -> None:
        """Add a line to the job's log."""
        self._lines.append(LogLine(level=level, line=printable(line)[:LINE_LENGTH]))

    def note(self, **changes: Any) -> None:
        """Say how far the work is."""
        self.progress = msgspec.structs.replace(self.progress, **changes)

    def run(self, arguments: Sequence[str | bytes], mode: TunnelMode, told: bytes | None = None) -> borg_log.Outcome:
        """Run Borg to its end; again when the line was cut, for as long as a restart of the appliance may take."""
        for wait in (*RECONNECT_SECONDS, None):
            outcome = self._run_once(arguments, mode, told)
            if wait is None or outcome.code not in PASSING or self.is_cancelled.is_set():
                return outcome
            self.say(f"{outcome.message} Trying again in {wait} s.", "warning")
            self.note(phase="reconnecting")
            self.is_cancelled.wait(wait)
        raise AssertionError  # the last round returns

    def _run_once(self, arguments: Sequence[str | bytes], mode: TunnelMode, told: bytes | None) -> borg_log.Outcome:
        phase = self.progress.phase
        self._run = Run(
            self.home,
            self.config,
            arguments,
            mode=mode,
            job_id=self.assignment.job_id,
            told=told,
            lent=self.lent,
            on_event=self._hear,
            cancelled=self.is_cancelled,
        )
        self.note(phase=phase)
        if self.is_cancelled.is_set():
            self._run.stop()
        try:
            return self._run.wait()
        finally:
            self._run = None

    def _do(self) -> JobReport:
        pruning.follow_generation(self.home, self.assignment.generation)
        if self.assignment.kind is Kind.BACKUP and self.assignment.backup is not None:
            return archives.back_up(self, self.assignment.backup)
        restore = self.assignment.restore or self.assignment.chosen_restore
        if self.assignment.kind is Kind.RESTORE and restore is not None:
            return restores.restore(self, restore)
        if self.assignment.kind is Kind.PRUNE and self.assignment.prune is not None:
            return pruning.prune(self, self.assignment.prune)
        if self.assignment.kind is Kind.UPDATE and self.assignment.update is not None:
            self.successor = update.prepare(self, self.assignment.update)
            return JobReport(outcome=Outcome.DONE, message="This is the ordered version already.")
        if self.assignment.kind in (Kind.DRILL, Kind.OFFSITE_DRILL) and self.assignment.drill is not None:
            return drills.drill(self, self.assignment.drill)
        if self.assignment.kind is Kind.VERIFY and self.assignment.verify is not None:
            return verifying.verify(self, self.assignment.verify)
        message = f"This agent does not know how to do {self.assignment.kind}. Update it."
        raise Failure("unknown-kind", message)

    def _hear(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "archive_progress" and not event.get("finished"):
            self.note(
                phase="backing up",
                files_count=int(event.get("nfiles", 0)),
                original_bytes=int(event.get("original_size", 0)),
                compressed_bytes=int(event.get("compressed_size", 0)),
                added_bytes=int(event.get("deduplicated_size", 0)),
                current_path=printable(str(event.get("path", "")))[:4000],
            )
        elif kind == RESTORING:
            self.note(
                files_count=int(event.get("files", 0)),
                original_bytes=int(event.get("bytes", 0)),
                current_path=printable(str(event.get("path", "")))[:4000],
            )
        elif kind == WAITING:
            self.note(phase="waiting for its turn")
            self.say(WAITS_FOR_ANOTHER)
        elif kind == "log_message" and event.get("levelname") in ("WARNING", "ERROR", "CRITICAL"):
            level = "warning" if event["levelname"] == "WARNING" else "error"
            self.say(str(event.get("message", "")), level)

    def _report_until_ended(self) -> None:
        client = Client.for_host(self.home, self.config)
        wait = 0.3  # soon after the start, so that a click is seen to work
        while not self._ended.wait(wait):
            wait = PROGRESS_SECONDS
            self._show(self.progress)
            lines = [self._lines.popleft() for _ in range(min(len(self._lines), LINES_AT_ONCE))]
            said = msgspec.structs.replace(self.progress, log=tuple(lines))
            try:
                answer = client.progress(self.assignment.job_id, said)
            except Failure:
                self._lines.extendleft(reversed(lines))
                wait = min(wait * 2, LONGEST_WAIT_SECONDS)
                continue
            self._hear_questions(answer.questions)
            if answer.cancel and not self.is_cancelled.is_set():
                self.cancel()
        self._show(self.progress)
        client.close()

    def _say_last(self) -> None:
        """Pass on what was said since the last progress: a successor reports the end, and knows none of it."""
        client = Client.for_host(self.home, self.config)
        with contextlib.closing(client), contextlib.suppress(Failure):
            lines = tuple(self._lines)[-LINES_AT_ONCE:]
            client.progress(self.assignment.job_id, msgspec.structs.replace(self.progress, log=lines))
