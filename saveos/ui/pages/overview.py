"""The front page (/): am I safe, yes or no, and if not, what do I click? It is live."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos import clock
from saveos.agents import provisioning
from saveos.agents.model import Provisioning
from saveos.alerts.model import Alert, AlertPage
from saveos.identity.principals import Permission
from saveos.measurements.outlook import Outlook, storage_outlook
from saveos.proofs import drills
from saveos.snapshots.day import Cell, last_day
from saveos.snapshots.fleet import NEEDY, Host, Need
from saveos.snapshots.model import Hold
from saveos.ui import components, frame, host_acts, host_cells
from saveos.ui.alert_section import AlertSection
from saveos.ui.appliance_notices import ApplianceNotices
from saveos.ui.grid import Column, Grid
from saveos.ui.hold_reminder import HoldReminder
from saveos.ui.kit_reminder import KitReminder
from saveos.ui.limit_notices import LimitNotices, LimitsNow
from saveos.ui.own_host import Own, OwnHost
from saveos.ui.storage_chart import StorageChart, disk_words, forecast_words
from saveos.ui.strip import Strip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit
    from saveos.ui.words import Words

TITLES = {"needy": "overview.needy", "working": "overview.working"}
OUTLOOK_SECONDS = 60.0  # storage grows slowly
SHOWN = 8  # hosts of a kind; the others are a click away


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment. `outlook`: read now and then; None: as before."""

    hosts: list[Host]
    day: list[Cell]
    outlook: Outlook | None
    proven_at: datetime | None  # a restore drill
    own: Own
    is_kit_open: bool  # nobody has confirmed yet that the recovery kit is at hand
    alerts: AlertPage  # of hosts, that go on
    asked_holds: list[Hold]  # legal holds whose end waits for this reader's agreement
    limits: LimitsNow
    of_appliance: list[Alert]  # alerts of no host
    pending: list[Provisioning]  # rights to enrol that nobody has used yet


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, Overview)


class Overview(frame.Page):
    """The page of one reader."""

    title, section = "overview.title", "overview"

    def draw(self) -> None:
        """Draw what does not change."""
        say = self.visit.say
        self._pending: list[str] = []
        with components.element("div", "lead"):
            with components.element("div", aria_live="polite"):
                self._sentence = components.text("h1", "", "verdict")
                self._numbers = components.text("p", "", "muted num")
            self._add = components.link(say("overview.add"), "/downloads", "hidden")
        self._limits = LimitNotices(self.visit)
        self._appliance = ApplianceNotices(self.visit)
        self._empty = components.element("section", "hidden")
        with self._empty:
            self._draw_empty()
        self._own = OwnHost(self.visit, self.refresh)
        self._kit = KitReminder(self.visit)
        self._alerts = AlertSection(self.visit, self.refresh)
        self._holds = HoldReminder(self.visit)
        acted = self.visit.doing(self._act)
        self._needy = HostSection(self.visit, "needy", ("host", "state", "when", "proven", "acts"), acted)
        self._working = HostSection(self.visit, "working", ("host", "state"), acted)
        self._waiting = components.element("section", "hidden")
        self._day = components.element("section", "hidden")
        with self._day:
            components.text("h2", say("overview.last_day"))
            self._strip = Strip(self.visit)
        self._storage = components.element("section", "hidden")
        with self._storage:
            self._outlook_read = -OUTLOOK_SECONDS
            self._chart = StorageChart(self.visit)
            self._disk = components.text("p", "", "muted num")
            self._forecast = components.text("p", "", "num")

    async def refresh(self) -> None:
        """Show how things stand now."""
        self._show(await self.visit.ask(self._look))

    def _look(self, database: Database, principal: Principal) -> Look:
        pending = provisioning.find_open(database, principal) if principal.may(Permission.PROVISION) else []
        hosts = self.visit.board.hosts(database, principal)
        return Look(
            hosts=hosts,
            day=last_day(database, principal, clock.now()),
            outlook=self._read_outlook(database, principal),
            proven_at=drills.last_proven_at(database, principal),
            own=self._own.look(database, principal, hosts),
            is_kit_open=self._kit.look(database, principal),
            alerts=self._alerts.look(database, principal),
            asked_holds=self._holds.look(database, principal),
            limits=self._limits.look(database, principal),
            of_appliance=self._appliance.look(database, principal),
            pending=pending,
        )

    def _show(self, look: Look) -> None:
        is_empty = not look.hosts
        may_provision = self.visit.principal.may(Permission.PROVISION)
        self._sentence.show(verdict(self.visit.words, look.hosts, look.proven_at))
        components.dress(self._sentence, f"verdict {_mood(look.hosts)}")
        self._numbers.show("" if is_empty else _numbers(self.visit, look.hosts))
        components.dress(self._add, "button primary" if may_provision and not is_empty else "hidden")
        components.dress(self._empty, "empty" if is_empty else "hidden")
        self._own.show(look.own, is_empty=is_empty and may_provision)
        self._kit.show(is_open=look.is_kit_open)
        self._alerts.show(look.alerts)
        self._holds.show(look.asked_holds)
        needy = [host for host in look.hosts if host.need in NEEDY]
        self._needy.show(needy)
        self._working.show([host for host in look.hosts if host.job is not None and host.need not in NEEDY])
        self._limits.show(look.limits)
        self._appliance.show(look.of_appliance)
        self._show_pending(look.pending)
        self._show_day(look)
        if look.outlook is not None:
            self._show_storage(look.outlook, is_empty=is_empty)

    def _show_day(self, look: Look) -> None:
        live = [host for host in look.hosts if host.need is not Need.REVOKED]
        components.dress(self._day, "part" if live else "hidden")
        self._strip.show([(host.agent.id, host.agent.hostname) for host in live], look.day)

    def _show_storage(self, outlook: Outlook, *, is_empty: bool) -> None:
        words = self.visit.words
        components.dress(self._storage, "hidden" if is_empty else "part")
        self._chart.show(outlook)
        self._disk.show(disk_words(words, outlook))
        self._forecast.show(forecast_words(words, outlook))

    def _read_outlook(self, database: Database, principal: Principal) -> Outlook | None:
        if time.monotonic() - self._outlook_read < OUTLOOK_SECONDS:
            return None
        self._outlook_read = time.monotonic()
        return storage_outlook(database, principal, self.visit.parts.settings)

    async def _act(self, agent_id: str, pressed: str) -> None:
        await host_acts.act(self.visit, agent_id, pressed)
        await self.refresh()

    def _draw_empty(self) -> None:
        say = self.visit.say
        with components.element("ol", "steps"):
            for title, more in (
                ("overview.step_name", "overview.step_name_more"),
                ("overview.step_run", "overview.step_run_more"),
                ("overview.step_done", "overview.step_done_more"),
            ):
                with components.element("li"):
                    components.text("strong", say(title))
                    components.text("span", say(more), "muted")
        if self.visit.principal.may(Permission.PROVISION):
            components.link(say("overview.add_first"), "/downloads", "button primary large")

    def _show_pending(self, pending: list[Provisioning]) -> None:
        rest = len(pending) - SHOWN
        shown = [f"{right.id}{right.downloaded_at}" for right in pending[:SHOWN]] + [str(rest)]
        if shown == self._pending:
            return
        self._pending = shown
        say, words = self.visit.say, self.visit.words
        self._waiting.clear()
        components.dress(self._waiting, "pending" if pending else "hidden")
        with self._waiting:
            components.text("h2", say("overview.pending"))
            with components.element("ul"):
                for right in pending[:SHOWN]:
                    with components.element("li"):
                        components.text("span", right.hostname, "strong")
                        state = "overview.fetched" if right.downloaded_at else "overview.not_fetched"
                        until = say("overview.until", when=words.exact(right.expires_at))
                        components.text("span", words.listing([say(state), until]), "muted")
                        label = say("overview.show")
                        opening = components.link(label, f"/downloads?provisioning={right.id}", "button small")
                        components.put(opening, "aria-label", f"{label}: {right.hostname}")
            if rest > 0:
                components.link(words.count("overview.more", rest), "/downloads", "more")


class HostSection:
    """A heading and the first hosts of a kind; hidden while there is none."""

    def __init__(
        self,
        visit: Visit,
        standing: str,
        keys: tuple[str, ...],
        on_act: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """`standing`: as in the address of the list of all hosts; `keys`: the columns."""
        self._visit = visit
        say = visit.say
        columns = {
            "host": Column("host", say("overview.host"), "host-cell"),
            "state": Column("state", say("overview.protection"), "state-cell"),
            "when": Column("when", say("overview.last_backup"), "when-cell"),
            "proven": Column("proven", say("proof.last"), "when-cell proven-cell"),
            "acts": Column("acts", say("overview.actions"), "actions"),
        }
        self._box = components.element("section", "hidden")
        with self._box:
            title = say(TITLES[standing])
            components.text("h2", title)
            self._grid = Grid(title, [columns[key] for key in keys], kind="hosts", on_act=on_act)
            self._more = components.link("", f"/agents?standing={standing}", "hidden")

    def show(self, hosts: list[Host]) -> None:
        """Show these."""
        words = self._visit.words
        may = self._visit.principal.may(Permission.BACK_UP)
        components.dress(self._box, "part" if hosts else "hidden")
        self._grid.show([host_cells.row(words, host, may_back_up=may) for host in hosts[:SHOWN]])
        rest = len(hosts) - SHOWN
        components.dress(self._more, "more" if rest > 0 else "hidden")
        self._more.show(words.count("overview.more", rest) if rest > 0 else "")


def verdict(words: Words, hosts: list[Host], proven_at: datetime | None = None) -> str:
    """Say in one sentence whether all is well."""
    counted = [host for host in hosts if host.need is not Need.REVOKED]
    needy = sum(host.need in NEEDY for host in counted)
    starting = sum(host.need is Need.STARTING for host in counted)
    if not counted:
        return words.say("overview.nothing")
    if needy:
        return words.count("overview.need_you", needy)
    if starting:
        return words.count("overview.starting", starting)
    if proven_at is None:
        return words.count("overview.all_protected", len(counted))
    return words.count("overview.all_proven", len(counted), when=words.ago(proven_at))


def _mood(hosts: list[Host]) -> str:
    needs = {host.need for host in hosts}
    if needs & NEEDY:
        return "bad"
    return "calm" if Need.STARTING in needs or not needs - {Need.REVOKED} else "good"


def _numbers(visit: Visit, hosts: list[Host]) -> str:
    words = visit.words
    live = [host for host in hosts if host.need is not Need.REVOKED]
    online = sum(host.is_online for host in live)
    original = sum(host.newest.original_bytes for host in hosts if host.newest)
    snapshots = sum(host.agent.snapshots_count for host in hosts)
    return words.listing(
        [
            visit.say("overview.online_of", online=words.number(online), all=words.number(len(live))),
            words.count("overview.snapshots", snapshots) if snapshots else "",
            visit.say("overview.protected_size", size=words.size(original)) if original else "",
        ]
    )
