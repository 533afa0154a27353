"""/jobs: what is to be done, what is being done, how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos.jobs import lifecycle
from saveos.jobs.model import JobChoice, JobPage, State
from saveos.protocol import Kind
from saveos.snapshots.fleet import Host
from saveos.ui import components, frame, host_cells, job_cells
from saveos.ui.again import Again
from saveos.ui.components_work import NAMES
from saveos.ui.grid import Column, Grid
from saveos.ui.pager import Pager

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.ui.frame import Board, Visit

STANDINGS: dict[str, tuple[str, tuple[State, ...]]] = {
    "": ("jobs.all", ()),
    "open": ("jobs.open", (State.QUEUED, State.RUNNING)),
    "failed": ("jobs.failed", (State.FAILED,)),
    "warned": ("jobs.warned", (State.WARNED,)),
    "done": ("jobs.done", (State.DONE, State.WARNED)),
    "cancelled": ("jobs.cancelled", (State.CANCELLED,)),
}


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    page: JobPage
    hosts: dict[str, Host]


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/jobs")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, JobsPage)


class JobsPage(frame.Page):
    """The page of one reader. What is looked for stands in the address."""

    title, section = "jobs.title", "jobs"

    def __init__(self, visit: Visit) -> None:
        """Look for what the address says."""
        super().__init__(visit)
        asked = visit.client.request.query_params
        self._standing = asked.get("state", "") if asked.get("state", "") in STANDINGS else ""
        self._kind = asked.get("kind", "") if asked.get("kind", "") in set(Kind) else ""
        self._search = asked.get("search", "")[:253]

    def draw(self) -> None:
        """Draw the filters and the grid."""
        say = self.visit.say
        self._again = Again(self.visit, self._show_made)
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("jobs.title"))
            self._count = components.text("p", "", "muted num", aria_live="polite")
        with components.element("div", "filters", role="search"):
            look = self.visit.doing(self._look_anew)
            self._name = components.Field(
                say("jobs.search"), value=self._search, type="search", autocomplete="off", maxlength=253
            )
            self._name.on_change(look)
            states = {key: say(sentence) for key, (sentence, _states) in STANDINGS.items()}
            self._state = components.Select(say("jobs.state"), states, self._standing, look)
            kinds = {"": say("jobs.every_kind")} | {kind.value: say(NAMES[kind]) for kind in Kind if kind in NAMES}
            self._kinds = components.Select(say("job.what"), kinds, self._kind, look)
        self._grid = Grid(say("jobs.title"), self._columns(), kind="jobs", on_act=self.visit.doing(self._act))
        self._none = components.text("p", say("jobs.none"), "muted hidden")
        self._pager = Pager(self.visit, self.refresh)

    def _columns(self) -> list[Column]:
        say = self.visit.say
        return [
            Column("what", say("job.what")),
            Column("host", say("overview.host"), "name-cell"),
            Column("state", say("job.state"), "message-cell"),
            Column("asked", say("job.asked"), "when-cell"),
            Column("took", say("job.took"), "num"),
            Column("acts", say("overview.actions"), "actions"),
        ]

    async def refresh(self) -> None:
        """Show the jobs that are looked for."""
        look = await self.visit.ask(self._look)
        words, principal, page = self.visit.words, self.visit.principal, look.page
        self._pager.show(page.total)
        self._grid.show(
            [
                job_cells.row(words, principal, job, page.progress.get(job.id), look.hosts.get(job.agent_id or ""))
                for job in page.jobs
            ]
        )
        self._count.show(words.count("jobs.count", page.total))
        components.dress(self._none, "muted" if not page.total else "muted hidden")

    def _look(self, database: Database, principal: Principal) -> Look:
        choice = JobChoice(search=self._search, states=STANDINGS[self._standing][1], kind=self._kind)
        page = lifecycle.look(database, principal, choice, self._pager.offset, self._pager.size)
        hosts = self.visit.board.hosts(database, principal)
        return Look(page=page, hosts={host.agent.id: host for host in hosts})

    async def _look_anew(self) -> None:
        self._search, self._standing, self._kind = self._name.value.strip(), self._state.value, self._kinds.value
        self._pager.offset = 0
        self.visit.stand_at("/jobs", search=self._search, state=self._standing, kind=self._kind)
        await self.refresh()

    async def _act(self, job_id: str, act: str) -> None:
        if act == host_cells.CANCEL:
            await self.visit.change(lifecycle.cancel, job_id, self.visit.parts.endings)
            await self.refresh()
        elif act == job_cells.RETRY:
            await self._again.retry(job_id)

    async def _show_made(self, _made: Job) -> None:
        self.visit.notify(self.visit.say("jobs.retried"))
        await self.refresh()
