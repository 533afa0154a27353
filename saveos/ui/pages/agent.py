"""/agents/{id}: one host. How it stands, its snapshots on a line of time, what it did, and the end of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos.agents import enrolment
from saveos.agents.model import AgentCertificate
from saveos.alerts import raising
from saveos.alerts.model import Alert, AlertChoice, AlertKind
from saveos.errors import NotFound
from saveos.identity.principals import Permission
from saveos.installers import updates
from saveos.jobs import lifecycle
from saveos.jobs.model import JobChoice, JobPage
from saveos.policies import defaults
from saveos.proofs import looking
from saveos.proofs.model import Health
from saveos.repositories import keys, quotas
from saveos.repositories.model import HostKey
from saveos.repositories.quotas import HostQuota
from saveos.snapshots import backup, checkpoints, guarding, hold_release, holds, listing
from saveos.snapshots.checkpoints import Protection
from saveos.snapshots.fleet import Host, Need
from saveos.snapshots.model import ListedSnapshot, SnapshotChoice
from saveos.snapshots.table_anomalies import GuardRun
from saveos.ui import components, frame, host_cells, job_cells, machine_kind, snapshot_cells
from saveos.ui.again import Again
from saveos.ui.alert_list import AlertList
from saveos.ui.components_work import Work
from saveos.ui.facts import Facts
from saveos.ui.grid import Column, Grid
from saveos.ui.guard_numbers import Changes
from saveos.ui.history import History
from saveos.ui.pages import agent_offsite, restore
from saveos.ui.pages.agent_danger import Danger
from saveos.ui.pages.agent_key import Key
from saveos.ui.pages.agent_protection import ProtectionPart
from saveos.ui.pages.agent_quota import HostStorage
from saveos.ui.proofs_part import ProofsPart

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.ui.frame import Board, Visit

SNAPSHOTS, JOBS, RUNS, DRAWN = 10, 10, 10, 120  # in the lists, and on the line of time


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    host: Host
    policy_name: str
    certificate: AgentCertificate | None
    snapshots: list[ListedSnapshot]
    jobs: JobPage
    has_update: bool
    key: HostKey
    alerts: list[Alert]
    runs: list[GuardRun]
    protection: Protection
    quota: HostQuota
    health: Health
    offsite: agent_offsite.HostOffsite


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/agents/{agent_id}")
    async def page(client: Client, agent_id: str) -> None:
        await frame.open_page(board, client, lambda visit: AgentPage(visit, agent_id))


class AgentPage(frame.Page):
    """The page of one reader about one host."""

    title, section, missing = "agent.title", "agents", "agent.missing"

    def __init__(self, visit: Visit, agent_id: str) -> None:
        """Nothing is drawn until it is known that there is such a host."""
        super().__init__(visit)
        self._id = agent_id

    async def prepare(self) -> None:
        """Read the host. Raises NotFound."""
        self._now = await self.visit.ask(self._look)

    async def refresh(self) -> None:
        """Show how the host stands."""
        self._now = await self.visit.ask(self._look)
        self._show(self._now)

    def _look(self, database: Database, principal: Principal) -> Look:
        host = self.visit.board.host(database, principal, self._id)
        if host is None:
            raise NotFound("There is no such agent.")
        names = {policy.id: policy.name for policy in defaults.find(database, principal)}
        return Look(
            host=host,
            policy_name=names.get(host.agent.policy_id, ""),
            certificate=enrolment.certificate(database, principal, self._id),
            snapshots=listing.look(database, principal, SnapshotChoice(agent_id=self._id), limit=DRAWN).snapshots,
            jobs=lifecycle.look(database, principal, JobChoice(agent_id=self._id), limit=JOBS),
            has_update=updates.has_update(host.agent, updates.offers(self.visit.parts.settings)),
            key=keys.held(database, principal, self._id),
            alerts=raising.look(database, principal, AlertChoice(agent_id=self._id, is_open=True)).alerts,
            runs=guarding.of_agent(database, principal, self._id, RUNS),
            protection=checkpoints.of_host(database, principal, self._id),
            quota=quotas.of_host(database, principal, self._id),
            health=looking.health(database, principal, self._id),
            offsite=agent_offsite.look(database, principal, self._id),
        )

    def draw(self) -> None:
        """Draw what does not change."""
        say, name = self.visit.say, self._now.host.agent.hostname
        self.visit.rename(name)
        self._restore = restore.Dialog(self.visit)
        self._again = Again(self.visit, self._show_made)
        components.link(f"← {say('agent.back')}", "/agents", "back")
        self._protection = ProtectionPart(self.visit, self._id, name, self.refresh)
        self._draw_lead(name)
        self._protection.draw_frozen()
        self._alerts = AlertList(self.visit, self.refresh, with_host=False)
        self._all_alerts = components.link(say("alert.all"), f"/alerts?agent={self._id}", "more")
        self._history = History(self.visit)
        self._draw_snapshots(name)
        self._draw_jobs(name)
        self._changes = Changes(self.visit)
        self._protection.draw()
        self._proofs = ProofsPart(self.visit, self._id, self.refresh)
        self._offsite = agent_offsite.OffsitePart(self.visit, self._id, name, self.refresh)
        components.text("h2", say("agent.facts"))
        self._facts = Facts(self.visit)
        machine_kind.Kind(self.visit, self._now.host.agent)
        self._storage = HostStorage(self.visit, self._id, name, self.refresh)
        self._key = Key(self.visit, self._id, self.refresh)
        self._danger = Danger(self.visit, self._id, name)

    def _draw_lead(self, name: str) -> None:
        say, visit = self.visit.say, self.visit
        with components.element("div", "lead"):
            with components.element("div"):
                with components.element("div", "host-name"):
                    self._dot = components.element("span", "dot", aria_hidden="true")
                    components.text("h1", name)
                self._presence = components.text("p", "", "muted")
                self._due = components.text("p", "", "muted")
            with components.element("div", "lead-actions"):
                self._update = components.button(say("update.one"), visit.doing(self._become_newer), "hidden")
                self._button = components.button(
                    say("action.back_up_now"), visit.doing(self._back_up), "primary hidden"
                )
        with components.element("div", "standing", aria_live="polite"):
            self._state = components.text("p", "", "state")
            self._why = components.text("p", "", "sub why")
        self._work = Work(visit, name, may_cancel=visit.principal.may(Permission.BACK_UP))

    def _draw_snapshots(self, name: str) -> None:
        visit = self.visit
        components.text("h2", visit.say("snapshot.title"))
        columns = snapshot_cells.columns(visit.words, with_host=False)
        label = visit.say("snapshot.title")
        self._snapshots = Grid(label, columns, kind="snapshots", on_act=visit.doing(self._act_on_snapshot))
        self._no_snapshot = components.text("p", visit.say("snapshot.none"), "muted hidden")
        with components.element("div", "links"):
            self._all_snapshots = components.link("", f"/snapshots?search={name}", "hidden")
            components.link(visit.say("retention.open"), f"/agents/{self._id}/retention", "more")

    def _draw_jobs(self, name: str) -> None:
        visit, say = self.visit, self.visit.say
        components.text("h2", say("job.title"))
        columns = [
            Column("what", say("job.what")),
            Column("state", say("job.state"), "message-cell"),
            Column("asked", say("job.asked"), "when-cell"),
            Column("took", say("job.took"), "num"),
            Column("acts", say("overview.actions"), "actions"),
        ]
        self._jobs = Grid(say("job.title"), columns, kind="jobs", on_act=visit.doing(self._act_on_job))
        self._no_job = components.text("p", say("job.none"), "muted hidden")
        self._all_jobs = components.link("", f"/jobs?search={name}", "hidden")

    def _show(self, look: Look) -> None:
        words, host, principal = self.visit.words, look.host, self.visit.principal
        agent = host.agent
        components.dress(self._dot, "dot online" if host.is_online else "dot")
        self._presence.show(host_cells.facts(words, host, has_update=look.has_update))
        next_at = words.say("agent.next", when=words.exact(agent.next_backup_at)) if agent.next_backup_at else ""
        self._due.show(words.listing([*host_cells.last_words(words, host), next_at]))
        self._state.show(words.say(host_cells.NEEDS[host.need]))
        components.dress(self._state, f"state {host_cells.MOODS[host.need]}")
        self._why.show(host_cells.why(words, host) if host.need is not Need.FROZEN else "")  # told right below
        self._work.show(host.job, host.progress, is_online=host.is_online)
        is_live = host.need is not Need.REVOKED
        can_start = is_live and host.job is None and principal.may(Permission.BACK_UP)
        components.dress(self._button, "button primary" if can_start else "button primary hidden")
        can_update = look.has_update and host.job is None and principal.may(Permission.PROVISION)
        components.dress(self._update, "button" if can_update else "button hidden")
        self._show_lists(look, may_restore=is_live and principal.may(Permission.RESTORE))
        # What froze the repository stands above, with the ways back.
        self._alerts.show([alert for alert in look.alerts if alert.kind is not AlertKind.HOSTILE])
        self._changes.show(look.runs)
        self._history.show(look.snapshots)
        self._facts.show(self._described(look), {"agents.policy": f"/policies/{agent.policy_id}"})
        self._protection.show(look.protection, is_live=is_live)
        self._storage.show(look.quota)
        self._proofs.show(host, look.health)
        self._offsite.show(look.offsite, host)
        self._key.show(look.key, is_live=is_live)
        self._danger.show(is_live=is_live)

    def _show_lists(self, look: Look, *, may_restore: bool) -> None:
        words, principal = self.visit.words, self.visit.principal
        shown = look.snapshots[:SNAPSHOTS]
        may_pin = principal.may(Permission.BACK_UP)
        self._snapshots.show(
            [snapshot_cells.row(words, each, may_restore=may_restore, may_pin=may_pin) for each in shown]
        )
        components.dress(self._no_snapshot, "muted hidden" if shown else "muted")
        count = look.host.agent.snapshots_count
        _show_rest(self._all_snapshots, words.count("agent.all_snapshots", count), is_shown=count > len(shown))
        jobs = look.jobs
        rows = [job_cells.row(words, principal, job, jobs.progress.get(job.id), look.host) for job in jobs.jobs]
        self._jobs.show(rows)
        components.dress(self._no_job, "muted hidden" if rows else "muted")
        _show_rest(self._all_jobs, words.count("agent.all_jobs", jobs.total), is_shown=jobs.total > len(rows))

    def _described(self, look: Look) -> dict[str, str]:
        words, agent, certificate = self.visit.words, look.host.agent, look.certificate
        skew = abs(agent.clock_skew_seconds)
        return {
            "agents.policy": look.policy_name,
            "agent.system": agent.system,
            "machine.chosen": machine_kind.name_of(self.visit, agent),
            "agent.version": agent.agent_version,
            "agent.address": agent.address,
            "agent.zone": agent.time_zone,
            "agent.skew": words.duration(skew) if skew > 5 else "",  # noqa: PLR2004 - seconds; less is the line's delay
            "agent.since": words.exact(agent.enrolled_at),
            "agent.serial": certificate.serial if certificate else "",
            "agent.expires": words.exact(certificate.expires_at) if certificate else "",
            "agent.renews": words.exact(certificate.renews_at) if certificate and not certificate.revoked_at else "",
        }

    async def _back_up(self) -> None:
        await self.visit.change(backup.request, self._id)
        await self.refresh()

    async def _become_newer(self) -> None:
        settings = self.visit.parts.settings
        await self.visit.change(lambda database, who: updates.request(database, settings, who, self._id))
        await self.refresh()

    async def _act_on_snapshot(self, snapshot_id: str, act: str) -> None:
        snapshot = next((each for each in self._now.snapshots if each.id == snapshot_id), None)
        if act == snapshot_cells.RESTORE and snapshot is not None:
            self._restore.open(snapshot, snapshot.hostname)
        elif act == snapshot_cells.PIN:
            await self.visit.change(holds.pin, snapshot_id)
            await self.refresh()
        elif act == snapshot_cells.UNPIN:
            await self.visit.change(hold_release.unpin, snapshot_id)
            await self.refresh()

    async def _act_on_job(self, job_id: str, act: str) -> None:
        if act == host_cells.CANCEL:
            await self.visit.change(lifecycle.cancel, job_id, self.visit.parts.endings)
            await self.refresh()
        elif act == job_cells.RETRY:
            await self._again.retry(job_id)

    async def _show_made(self, _made: Job) -> None:
        await self.refresh()


def _show_rest(link: components.Text, words: str, *, is_shown: bool) -> None:
    link.show(words if is_shown else "")
    components.dress(link, "more" if is_shown else "hidden")
