"""A job that waits or runs, as a person sees it: what, how far, how long yet, and a way to stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.jobs import lifecycle
from saveos.jobs.model import RunsOn, State
from saveos.protocol import Kind
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.jobs.model import Job, JobProgress
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

RUNNING = {
    Kind.BACKUP: "job.backing_up",
    Kind.RESTORE: "job.restoring",
    Kind.UPDATE: "update.running",
    Kind.BUILD_AGENT: "job.building",
    Kind.PROTECT_APPLIANCE: "job.protecting",
    Kind.RETENTION: "upkeep.retaining",
    Kind.PRUNE: "upkeep.pruning",
    Kind.COMPACT: "upkeep.compacting",
    Kind.ROLL_BACK: "upkeep.rolling_back",
    Kind.CHECK: "proof.checking",
    Kind.VERIFY: "proof.verifying",
    Kind.DRILL: "proof.drilling",
    Kind.OFFSITE: "offsite.copying",
    Kind.OFFSITE_VERIFY: "offsite.verifying",
    Kind.OFFSITE_DRILL: "proof.drilling",
    Kind.REHYDRATE: "offsite.rehydrating",
    Kind.SELF_BACKUP: "self.making",
}
NAMES = {
    Kind.BACKUP: "job.backup",
    Kind.RESTORE: "job.restore",
    Kind.UPDATE: "update.name",
    Kind.BUILD_AGENT: "job.build",
    Kind.PROTECT_APPLIANCE: "job.protect",
    Kind.RETENTION: "upkeep.retention",
    Kind.PRUNE: "upkeep.prune",
    Kind.COMPACT: "upkeep.compact",
    Kind.ROLL_BACK: "upkeep.roll_back",
    Kind.CHECK: "proof.check",
    Kind.VERIFY: "proof.verify",
    Kind.DRILL: "proof.drill",
    Kind.OFFSITE: "offsite.copy",
    Kind.OFFSITE_VERIFY: "offsite.verification",
    Kind.OFFSITE_DRILL: "proof.copy_drill",
    Kind.REHYDRATE: "offsite.rehydration",
    Kind.SELF_BACKUP: "self.job",
}
# Their progress counts hundredths, thousandths or archives: no files.
PORTIONED = frozenset(
    {Kind.BUILD_AGENT, Kind.PROTECT_APPLIANCE, Kind.COMPACT, Kind.PRUNE, Kind.CHECK}
    | {Kind.OFFSITE, Kind.OFFSITE_VERIFY, Kind.REHYDRATE, Kind.SELF_BACKUP}
)
PHASES = {
    "starting": "job.starting",
    "waiting for its turn": "job.waiting_turn",
    "reconnecting": "job.reconnecting",
    "downloading": "update.downloading",
    "trying": "update.trying",
    "restarting": "update.restarting",
    "indexing": "upkeep.indexing",
    "uploading": "offsite.uploading",
    "locking": "offsite.locking",
    "fetching": "offsite.fetching",
    "sealing": "self.sealing",
}
HELD = {"disk-full": "space.waits", "moved": "moving.waits", "repository-away": "self.waits"}
STATES = {
    State.QUEUED: "job.queued",
    State.RUNNING: "job.running",
    State.DONE: "job.done",
    State.WARNED: "job.warned",
    State.FAILED: "job.failed",
    State.CANCELLED: "job.cancelled",
}


class Work:
    """A line, a bar and a button; hidden while there is no job."""

    def __init__(self, visit: Visit, whose: str, *, may_cancel: bool) -> None:
        """`whose`: the host, for those who hear the bar instead of seeing it."""
        self._visit = visit
        self._job: Job | None = None
        self.box = components.element("div", "work hidden")
        with self.box:
            with components.element("div", "work-line"):
                self._what = components.text("span", "", "work-what")
                self._far = components.text("span", "", "work-far num")
            with components.element("div", "work-line"):
                self._bar = components.Bar(visit.say("job.progress_of", host=whose))
                self._cancel = components.button(visit.say("action.cancel"), visit.doing(self._stop), "quiet small")
                components.put(self._cancel, "aria-label", visit.say("job.cancel_of", host=whose))
        self._may_cancel = may_cancel

    def show(
        self, job: Job | None, progress: JobProgress | None, *, is_online: bool = True, is_busy: bool = False
    ) -> None:
        """Show where the job stands."""
        self._job = job
        components.dress(self.box, "work" if job else "work hidden")
        if job is None:
            return
        words = self._visit.words
        self._what.show(what(words, job, progress, is_online=is_online, is_busy=is_busy))
        self._far.show(how_far(words, job, progress) if job.state is State.RUNNING else "")
        self._bar.show(progress.fraction if progress and job.state is State.RUNNING else None)
        is_moving = job.state is State.RUNNING
        components.dress(self._bar, "bar" if is_moving else "bar waiting")
        can_stop = self._may_cancel and job.is_stoppable
        components.dress(self._cancel, "button quiet small" if can_stop else "button quiet small hidden")

    async def _stop(self) -> None:
        if self._job is not None:
            await self._visit.change(lifecycle.cancel, self._job.id, self._visit.parts.endings)


def what(
    words: Words, job: Job, progress: JobProgress | None = None, *, is_online: bool = True, is_busy: bool = False
) -> str:
    """Say in a few words what a queued or running job is about, and what it waits for.

    `is_busy`: its host does another job at present.
    """
    if job.cancel_requested_at is not None:
        return words.say("job.stopping")
    if job.state is State.RUNNING:
        phase = PHASES.get(progress.phase) if progress else None
        return words.say(phase or RUNNING[job.kind])
    name = words.say(NAMES[job.kind])
    if job.held_by:
        return words.say(HELD[job.held_by], name=name)
    if job.attempts and job.not_before > clock.now():
        why = words.problem(job.error_code, job.message, job.error_facts)
        return words.say("job.again", name=name, when=words.ago(job.not_before), why=why)
    if job.runs_on is RunsOn.HOST and not is_online:
        return words.say("job.waits_for_host", name=name)
    return words.say("job.waits_for_other" if is_busy else "job.soon", name=name)


def how_far(words: Words, job: Job, progress: JobProgress | None) -> str:
    """Return files, bytes, speed and what remains, as far as they are known."""
    if progress is None:
        return ""
    if job.kind in PORTIONED:
        far = words.percent(progress.fraction) if progress.fraction is not None else ""
        return words.listing([far, words.remaining(progress.eta_seconds) if progress.eta_seconds is not None else ""])
    return words.listing(
        [
            words.count("job.files", progress.files_count) if progress.files_count else "",
            words.size(progress.original_bytes) if progress.original_bytes else "",
            words.rate(progress.bytes_per_second) if progress.bytes_per_second else "",
            words.remaining(progress.eta_seconds) if progress.eta_seconds is not None else "",
        ]
    )
