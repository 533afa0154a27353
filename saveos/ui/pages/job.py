"""/jobs/{id}: one job, how it stands and all it said, as it says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, Job, JobProgress, State
from saveos.protocol import RestoreFacts
from saveos.snapshots import again, restore
from saveos.snapshots.fleet import Host
from saveos.ui import components, frame, job_cells, upkeep_words
from saveos.ui.again import Again
from saveos.ui.components_work import NAMES, STATES, Work
from saveos.ui.log import Log
from saveos.ui.restored import Restored

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    job: Job
    progress: JobProgress | None
    host: Host | None
    restored: RestoreFacts | None = None


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/jobs/{job_id}")
    async def page(client: Client, job_id: str) -> None:
        await frame.open_page(board, client, lambda visit: JobPage(visit, job_id))


class JobPage(frame.Page):
    """The page of one reader about one job."""

    title, section, missing = "jobs.one", "jobs", "jobs.missing"

    def __init__(self, visit: Visit, job_id: str) -> None:
        """Nothing is drawn until it is known that there is such a job."""
        super().__init__(visit)
        self._id = job_id

    async def prepare(self) -> None:
        """Read the job. Raises NotFound."""
        self._now = await self.visit.ask(self._look)

    def draw(self) -> None:
        """Draw what the job is; how it stands follows."""
        say, words, job = self.visit.say, self.visit.words, self._now.job
        whose = job.hostname or say("jobs.appliance")
        name = f"{say(NAMES[job.kind])}: {whose}"
        self.visit.rename(name)
        self._again = Again(self.visit, self._show_made)
        components.link(f"← {say('jobs.title')}", "/jobs", "back")
        with components.element("div", "lead"):
            with components.element("div"):
                components.text("h1", name)
                asked = say("jobs.asked_by", when=words.exact(job.requested_at), who=job_cells.who(words, job))
                components.text("p", asked, "muted")
                self._times = components.text("p", "", "muted num")
            with components.element("div", "row"):
                if job.agent_id:
                    components.link(say("jobs.to_host"), f"/agents/{job.agent_id}", "button")
                carry = self.visit.doing(self._carry_out)
                self._carry = components.button(say("restored.carry_out"), carry, "primary hidden")
                self._retry = components.button(say("jobs.retry"), self.visit.doing(self._do_again), "primary hidden")
        with components.element("div", "standing", aria_live="polite"):
            self._state = components.text("p", "", "state")
            self._why = components.text("p", "", "why")
        self._work = Work(self.visit, whose, may_cancel=self.visit.principal.may(Permission.BACK_UP))
        self._restored = Restored(self.visit)
        components.text("h2", say("job.log"))
        self._log = Log(self.visit, self._id)
        self._silent = components.text("p", say("job.log_empty"), "muted")

    async def refresh(self) -> None:
        """Show how the job stands, and what it has said since."""
        had_ended = self._now.job.state in ENDED and not self._log.is_empty
        if not had_ended:
            self._now = await self.visit.ask(self._look)
            await self._log.refresh()
        self._show(self._now)

    def _look(self, database: Database, principal: Principal) -> Look:
        job = lifecycle.get(database, principal, self._id)
        hosts = self.visit.board.hosts(database, principal) if job.state not in ENDED else []
        return Look(
            job=job,
            progress=lifecycle.progress(database, principal, job.id) if job.state is State.RUNNING else None,
            restored=restore.find_report(database, principal, job),
            host=next((host for host in hosts if host.agent.id == job.agent_id), None),
        )

    def _show(self, look: Look) -> None:
        words, job = self.visit.words, look.job
        is_over = job.state in ENDED
        self._state.show(words.say(STATES[job.state]) if is_over else "")
        components.dress(self._state, f"state {job_cells.MOODS[job.state]}" if is_over else "state hidden")
        self._why.show(upkeep_words.message(words, job) if is_over and job.message else "")
        is_busy = look.host is not None and look.host.job is not None and look.host.job.id != job.id
        self._work.show(
            None if is_over else job,
            look.progress,
            is_online=look.host is None or look.host.is_online,
            is_busy=is_busy,
        )
        begun = words.say("jobs.begun", when=words.exact(job.started_at)) if job.started_at else ""
        ended = words.say("jobs.took", span=job_cells.took(words, job)) if job.started_at and job.ended_at else ""
        tries = words.say("jobs.attempt", number=job.attempts, limit=job.attempts_limit) if job.attempts > 1 else ""
        self._times.show(words.listing([begun, ended, tries]))
        self._restored.show(look.restored)
        may_carry = again.may_carry_out(self.visit.principal, job)
        components.dress(self._carry, "button primary" if may_carry else "button primary hidden")
        may_retry = again.may_retry(self.visit.principal, job)
        components.dress(self._retry, "button primary" if may_retry else "button primary hidden")
        components.dress(self._silent, "muted" if self._log.is_empty else "muted hidden")

    async def _carry_out(self) -> None:
        await self._again.carry_out(self._id)

    async def _do_again(self) -> None:
        await self._again.retry(self._id)

    async def _show_made(self, made: Job) -> None:
        ui.navigate.to(f"/jobs/{made.id}")
