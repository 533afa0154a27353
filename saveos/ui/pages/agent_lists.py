"""The two lists of a host's page: its snapshots and its jobs, with the log of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, Job, JobLogLine, State
from saveos.snapshots.model import Snapshot, SnapshotKind
from saveos.ui import components
from saveos.ui.components_work import NAMES, STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nicegui import ui

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

KINDS = {SnapshotKind.FULL: "snapshot.full", SnapshotKind.INCREMENTAL: "snapshot.incremental"}
JOB_MOODS = {State.FAILED: "bad", State.WARNED: "warn", State.DONE: "good"}
LINES = 500
NOTHING = "\N{EN DASH}"


class _Table:
    """A table drawn anew only when its contents change."""

    def __init__(self, visit: Visit, label: str, columns: Sequence[tuple[str, str]], empty: str) -> None:
        self._visit = visit
        self._shown: object = None
        self._empty = components.text("p", visit.say(empty), "muted hidden")
        self._frame = components.element("div", "table-frame hidden")
        with self._frame, components.element("table", "list", aria_label=visit.say(label)):
            with components.element("thead"), components.element("tr"):
                for key, classes in columns:
                    components.text("th", visit.say(key), classes, scope="col")
            self._body = components.element("tbody")

    def _begin(self, contents: object, *, is_empty: bool) -> bool:
        """Return whether the rows are to be drawn anew; the old ones are gone then."""
        if contents == self._shown:
            return False
        self._shown = contents
        components.dress(self._empty, "muted" if is_empty else "muted hidden")
        components.dress(self._frame, "table-frame hidden" if is_empty else "table-frame")
        self._body.clear()
        return True


class SnapshotList(_Table):
    """Newest first; each can be restored from."""

    COLUMNS = (
        ("snapshot.when", ""),
        ("snapshot.kind", ""),
        ("snapshot.files", "num"),
        ("snapshot.size", "num"),
        ("snapshot.added_column", "num"),
        ("snapshot.duration", "num"),
        ("overview.actions", "actions"),
    )

    def __init__(self, visit: Visit, on_restore: Callable[[Snapshot], None] | None) -> None:
        """`on_restore` None: the reader may not, or the host is gone."""
        super().__init__(visit, "snapshot.title", self.COLUMNS, "snapshot.none")
        self._on_restore = on_restore

    def show(self, snapshots: list[Snapshot]) -> None:
        """Show these."""
        words = self._visit.words
        shown = [(snapshot.id, words.exact(snapshot.started_at)) for snapshot in snapshots]
        if self._begin(shown, is_empty=not snapshots):
            with self._body:
                for snapshot in snapshots:
                    self._draw(snapshot)

    def _draw(self, snapshot: Snapshot) -> None:
        say, words = self._visit.say, self._visit.words
        when = words.exact(snapshot.started_at)
        with components.element("tr", data_snapshot=snapshot.id):
            with components.element("th", scope="row"):
                components.text("time", when, datetime=snapshot.started_at.isoformat())
                if snapshot.warnings_count:
                    components.text("div", words.count("snapshot.warnings", snapshot.warnings_count), "sub warn")
            _cell(say("snapshot.kind"), say(KINDS[snapshot.kind]), "")
            _cell(say("snapshot.files"), words.number(snapshot.files_count))
            _cell(say("snapshot.size"), words.size(snapshot.original_bytes))
            _cell(say("snapshot.added_column"), f"+{words.size(snapshot.added_bytes)}")
            _cell(say("snapshot.duration"), words.duration(snapshot.duration_seconds))
            with components.element("td", "actions"):
                if self._on_restore is not None:
                    opener = self._on_restore
                    button = components.button(say("snapshot.restore"), lambda: opener(snapshot), "small")
                    components.put(button, "aria-label", f"{say('snapshot.restore')} {when}")


class JobList(_Table):
    """Newest first; each has its log."""

    COLUMNS = (
        ("job.what", ""),
        ("job.state", ""),
        ("job.asked", ""),
        ("job.took", "num"),
        ("overview.actions", "actions"),
    )

    def __init__(self, visit: Visit) -> None:
        """Draw the empty table and the dialog of the log."""
        super().__init__(visit, "job.title", self.COLUMNS, "job.none")
        self._log = Log(visit)

    def show(self, jobs: list[Job]) -> None:
        """Show these."""
        words = self._visit.words
        shown = [(job.id, job.state, job.message, words.exact(job.requested_at)) for job in jobs]
        if self._begin(shown, is_empty=not jobs):
            with self._body:
                for job in jobs:
                    self._draw(job)

    def _draw(self, job: Job) -> None:
        say, words = self._visit.say, self._visit.words
        name = say(NAMES[job.kind])
        with components.element("tr", data_job=job.id):
            components.text("th", name, scope="row")
            with components.element("td", "message-cell"):
                components.text("div", say(STATES[job.state]), f"state {JOB_MOODS.get(job.state, '')}".strip())
                if job.message and job.state is not State.DONE:
                    components.text("div", self._visit.words.problem(job.error_code, job.message), "sub")
            _cell(say("job.asked"), words.exact(job.requested_at), "")
            seconds = (job.ended_at - job.started_at).total_seconds() if job.ended_at and job.started_at else None
            _cell(say("job.took"), words.duration(seconds) if seconds is not None else NOTHING)
            with components.element("td", "actions"):
                button = components.button(
                    say("job.log"), self._visit.doing(partial(self._log.open, job)), "quiet small"
                )
                components.put(button, "aria-label", f"{say('job.log')}: {name}, {words.exact(job.requested_at)}")


class Log:
    """What a job said, line by line, growing while it runs."""

    def __init__(self, visit: Visit) -> None:
        """Draw an empty dialog."""
        self._visit = visit
        self._timer: ui.timer | None = None
        self._dialog, self._body = components.dialog(visit.say("job.log"), visit.say("action.close"))
        self._dialog.on_value_change(self._on_toggle)

    async def open(self, job: Job) -> None:
        """Show the log of this job."""
        self._job_id, self._after = job.id, 0
        self._body.clear()
        with self._body:
            self._lines = components.element(
                "pre", "log", tabindex="0", role="log", aria_label=self._visit.say("job.log")
            )
            self._nothing = components.text("p", self._visit.say("job.log_empty"), "muted")
            self._dialog.open()
            await self._refresh()
            if job.state not in ENDED:
                self._timer = self._visit.every(self._refresh)

    async def _refresh(self) -> None:
        for line in await self._visit.ask(self._read):
            self._after = line.id
            self._nothing.set_visibility(False)
            with self._lines:
                components.text("div", f"{line.at:%H:%M:%S}  {line.line}", line.level)

    def _read(self, database: Database, principal: Principal) -> list[JobLogLine]:
        return lifecycle.log(database, principal, self._job_id, self._after, LINES)

    def _on_toggle(self) -> None:
        if not self._dialog.value and self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _cell(label: str, words: str, classes: str = "num") -> None:
    """Add a cell that also carries its column's name, for narrow screens."""
    components.text("td", words, classes, data_label=label)
