"""/agents/{id}: one host. Its snapshots, what it did, and the end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos.agents import enrolment
from saveos.errors import NotFound
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs.model import Job
from saveos.snapshots import backup
from saveos.snapshots.fleet import Host, Need
from saveos.snapshots.model import Snapshot
from saveos.ui import components, frame
from saveos.ui.components_work import Work
from saveos.ui.host_cells import MOODS, NEEDS, facts
from saveos.ui.pages import restore
from saveos.ui.pages.agent_lists import JobList, SnapshotList

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit

SHOWN = 50


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    host: Host
    snapshots: list[Snapshot]
    jobs: list[Job]


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/agents/{agent_id}")
    async def page(client: Client, agent_id: str) -> None:
        await frame.open_page(board, client, lambda visit: AgentPage(visit, agent_id))


class AgentPage(frame.Page):
    """The page of one reader about one host."""

    title, section = "agent.title", "agents"
    missing = "agent.missing"

    def __init__(self, visit: Visit, agent_id: str) -> None:
        """Nothing is drawn until it is known that there is such a host."""
        super().__init__(visit)
        self._visit = visit
        self._id = agent_id

    async def prepare(self) -> None:
        """Read the host. Raises NotFound."""
        self._look_now = await self._visit.ask(self._look)

    def draw(self) -> None:
        """Draw the page."""
        self._visit.rename(self._look_now.host.agent.hostname)
        self._draw(self._look_now.host)

    async def refresh(self) -> None:
        """Show how the host stands."""
        self._look_now = await self._visit.ask(self._look)
        self._show(self._look_now)

    def _look(self, database: Database, principal: Principal) -> Look:
        host = next((host for host in self._visit.board.hosts(database, principal) if host.agent.id == self._id), None)
        if host is None:
            enrolment.get(database, principal, self._id)
            message = "There is no such agent."
            raise NotFound(message)
        return Look(
            host=host,
            snapshots=backup.of_agent(database, principal, self._id, limit=SHOWN),
            jobs=lifecycle.find(database, principal, {"agent_id": self._id}, SHOWN),
        )

    def _draw(self, host: Host) -> None:
        say, principal, name = self._visit.say, self._visit.principal, host.agent.hostname
        self._restore = restore.Dialog(self._visit)
        components.link(f"← {say('agent.back')}", "/agents", "back")
        with components.element("div", "lead"):
            with components.element("div"):
                with components.element("div", "host-name"):
                    self._dot = components.element("span", "dot", aria_hidden="true")
                    components.text("h1", name)
                self._facts = components.text("p", "", "muted")
                self._more = components.text("p", "", "muted")
            self._button = components.button(
                say("action.back_up_now"), self._visit.doing(self._back_up), "primary hidden"
            )
        with components.element("div", "standing", aria_live="polite"):
            self._state = components.text("p", "", "state")
            self._why = components.text("p", "", "sub why")
        self._work = Work(self._visit, name, may_cancel=principal.may(Permission.BACK_UP))
        may_restore = principal.may(Permission.RESTORE) and host.need is not Need.REVOKED
        opener = (lambda snapshot: self._restore.open(snapshot, name)) if may_restore else None
        components.text("h2", say("snapshot.title"))
        self._snapshots = SnapshotList(self._visit, opener)
        components.text("h2", say("job.title"))
        self._jobs = JobList(self._visit)
        self._danger = components.element("section", "danger-zone hidden")
        with self._danger:
            self._draw_danger(name)

    def _show(self, look: Look) -> None:
        words, host = self._visit.words, look.host
        agent = host.agent
        components.dress(self._dot, "dot online" if host.is_online else "dot")
        self._facts.show(facts(words, host))
        enrolled = words.say("agent.enrolled", when=words.exact(agent.enrolled_at))
        due = words.say("agent.next", when=words.exact(agent.next_backup_at)) if agent.next_backup_at else ""
        self._more.show(words.listing([due, enrolled, agent.address]))
        self._state.show(self._visit.say(NEEDS[host.need]))
        components.dress(self._state, f"state {MOODS[host.need]}")
        self._why.show(words.problem(host.failure.error_code, host.failure.message) if host.failure else "")
        self._work.show(host.job, host.progress, is_online=host.is_online)
        is_live = host.need is not Need.REVOKED
        can_start = is_live and host.job is None and self._visit.principal.may(Permission.BACK_UP)
        components.dress(self._button, "button primary" if can_start else "button primary hidden")
        self._snapshots.show(look.snapshots)
        self._jobs.show(look.jobs)
        may_revoke = is_live and self._visit.principal.may(Permission.REVOKE)
        components.dress(self._danger, "danger-zone" if may_revoke else "danger-zone hidden")

    async def _back_up(self) -> None:
        await self._visit.change(backup.request, self._id)

    def _draw_danger(self, name: str) -> None:
        say = self._visit.say
        dialog, body = components.dialog(say("agent.revoke_title", host=name), say("action.close"))
        with body:
            components.text("p", say("agent.revoke_more"))
            typed = components.Field(say("agent.revoke_type", host=name), autocomplete="off", spellcheck="false")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), dialog.close)
                go = components.button(say("agent.revoke"), None, "primary danger", disabled=True)

        async def revoke() -> None:
            if typed.value.strip() == name:
                await self._visit.change(enrolment.revoke, self._id)
                dialog.close()
                self._visit.notify(say("agent.revoke_done", host=name))

        typed.on_change(lambda: components.put(go, "disabled", None if typed.value.strip() == name else True))
        go.on("click", self._visit.doing(revoke), [])
        with components.element("div"):
            components.text("h2", say("agent.danger"))
            components.text("p", say("agent.danger_more"), "muted")
        components.button(say("agent.revoke"), dialog.open, "danger")
