"""Provision and download: name a host, get its executable, see it come online."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import enrolment, provisioning
from saveos.agents.model import Agent, Provisioning
from saveos.identity.tokens import Token
from saveos.installers import bases
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, GOOD, Job, JobProgress
from saveos.protocol import Hostname, Platform
from saveos.ui import components
from saveos.ui.components_work import Work
from saveos.ui.host_cells import PLATFORMS

if TYPE_CHECKING:
    from nicegui import ui
    from nicegui.element import Element

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

INSTALL = "chmod +x saveos-agent && sudo ./saveos-agent install"


class Named(msgspec.Struct):
    """A host name that may be one."""

    hostname: Hostname


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A right to enrol, and the job that builds its executable, if one must be built. `token`: only just now."""

    right: Provisioning
    token: Token | None = None
    job_id: str | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come."""

    right: Provisioning
    job: Job | None
    progress: JobProgress | None
    agent: Agent | None


class Dialog:
    """Opened empty to name a host, or for a right that waits already."""

    def __init__(self, visit: Visit) -> None:
        """Draw an empty dialog."""
        self._visit = visit
        self._steps: Steps | None = None
        self._timer: ui.timer | None = None
        self._dialog, self._body = components.dialog(visit.say("download.title"), visit.say("action.close"))
        self._dialog.on_value_change(self._on_toggle)

    async def open(self) -> None:
        """Ask for the host's name."""
        await self._visit.doing(self._ask_name)()

    async def _ask_name(self) -> None:
        available = await self._visit.ask(self._available)
        say = self._visit.say
        self._steps = None
        self._platform = Platform.LINUX
        self._body.clear()
        with self._body:
            self._name = components.Field(
                say("download.host"), hint=say("download.host_hint"), autocomplete="off", autofocus=True, maxlength=253
            )
            with components.element("fieldset", "choices"):
                components.text("legend", say("download.platform"))
                self._draw_platforms(available)
            with components.element("div", "dialog-actions"):
                begin = self._visit.doing(self._begin)
                self._name.on_enter(begin)
                components.button(say("download.begin"), begin, "primary")
        self._dialog.open()

    async def resume(self, right: Provisioning) -> None:
        """Go on with a right that was made before."""
        await self._visit.doing(self._resume)(right)

    def _available(self, _database: Database, _principal: Principal) -> set[Platform]:
        settings = self._visit.parts.settings
        return {platform for platform in Platform if bases.can_build(platform) or bases.find(settings, platform)}

    def _draw_platforms(self, available: set[Platform]) -> None:
        names = {platform.value: PLATFORMS[platform] for platform in Platform}
        boxes = components.radios("platform", names, Platform.LINUX.value, self._choose)
        for platform in Platform:
            if platform not in available:
                boxes[platform.value].props["disabled"] = True
                with boxes[platform.value].parent_slot.parent:  # type: ignore[union-attr]
                    components.text("span", self._visit.say("download.unavailable"), "muted")

    def _choose(self, platform: str) -> None:
        self._platform = Platform(platform)

    async def _begin(self) -> None:
        name = self._name.value.strip()
        try:
            msgspec.convert({"hostname": name}, Named)
        except msgspec.ValidationError:
            self._name.error.show(self._visit.say("download.host_wrong"))
            return
        begun = await self._visit.ask(self._provision, name, self._platform)
        await self._show_steps(begun)

    def _provision(self, database: Database, principal: Principal, name: str, platform: Platform) -> Begun:
        parts = self._visit.parts
        if bases.find(parts.settings, platform) is None:
            bases.require_buildable(platform)  # refuse before a right exists that nobody can use
        hours = parts.settings.provisioning_hours
        right, token = provisioning.create(database, principal, name, platform, hours=hours)
        return Begun(right=right, token=token, job_id=parts.ensure_base(principal, platform))

    async def _resume(self, right: Provisioning) -> None:
        await self._show_steps(await self._visit.ask(self._again, right.id))
        self._dialog.open()

    def _again(self, database: Database, principal: Principal, right_id: str) -> Begun:
        right = provisioning.get(database, principal, right_id)
        return Begun(right=right, job_id=self._visit.parts.ensure_base(principal, right.platform))

    async def _show_steps(self, begun: Begun) -> None:
        self._body.clear()
        with self._body:
            self._steps = Steps(self._visit, begun)
            self._stop()
            await self._refresh()
            self._timer = self._visit.every(self._refresh)

    async def _refresh(self) -> None:
        if self._steps is not None:
            await self._steps.refresh()

    def _on_toggle(self) -> None:
        if not self._dialog.value:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Steps:
    """Build, download, run, online: each line turns done by itself."""

    def __init__(self, visit: Visit, begun: Begun) -> None:
        """Draw the four lines."""
        self._visit = visit
        self._begun = begun
        self._is_offered = False
        right, say = begun.right, visit.say
        components.text("p", say("download.for_host", host=right.hostname), "muted")
        with components.element("ol", "progress-list"):
            with components.element("li") as self._build:
                self._built = components.text("strong", say("download.building"))
                self._work = Work(visit, right.hostname, may_cancel=False)
                self._failed = components.text("p", "", "notice bad hidden", role="alert")
            with components.element("li") as self._fetch:
                components.text("strong", say("download.fetch"))
                self._draw_download(right)
            with components.element("li") as self._run:
                components.text("strong", say("download.run"))
                self._draw_command(INSTALL)
            with components.element("li", aria_live="polite") as self._online:
                self._wait = components.text("strong", say("download.waiting", host=right.hostname))
                self._hint = components.text("p", say("download.waiting_more"), "muted")
        if begun.token is not None:
            self._draw_alternative(begun.token)

    async def refresh(self) -> None:
        """Look how far it is."""
        self._show(await self._visit.ask(self._look))

    def _look(self, database: Database, principal: Principal) -> Stage:
        right = provisioning.get(database, principal, self._begun.right.id)
        job_id = self._begun.job_id
        job = lifecycle.get(database, principal, job_id) if job_id else None
        return Stage(
            right=right,
            job=job,
            progress=lifecycle.progress(database, principal, job.id) if job else None,
            agent=enrolment.get(database, principal, right.agent_id) if right.agent_id else None,
        )

    def _show(self, stage: Stage) -> None:
        say = self._visit.say
        is_building = stage.job is not None and stage.job.state not in ENDED
        is_ready = stage.job is None or stage.job.state in GOOD
        is_broken = not is_building and not is_ready
        self._work.show(stage.job if is_building else None, stage.progress)
        self._built.show(say("download.built") if is_ready else say("download.building"))
        components.dress(self._failed, "notice bad" if is_broken else "notice bad hidden")
        self._failed.show(
            self._visit.words.problem(stage.job.error_code, stage.job.message) if stage.job and is_broken else ""
        )
        _mark(self._build, is_done=is_ready)
        is_enrolled = stage.agent is not None
        is_fetched = stage.right.downloaded_at is not None
        self._offer_download(is_offered=is_ready and not is_fetched and not is_enrolled)
        self._fetched.show(say("download.fetched") if is_fetched or is_enrolled else "")
        _mark(self._fetch, is_done=is_fetched or is_enrolled)
        _mark(self._run, is_done=is_enrolled)
        is_online = stage.agent is not None and stage.agent.is_online_at(clock.now())
        _mark(self._online, is_done=is_online)
        name = stage.right.hostname
        self._wait.show(say("download.online", host=name) if is_online else say("download.waiting", host=name))
        self._hint.show(say("download.online_more") if is_online else say("download.waiting_more"))

    def _offer_download(self, *, is_offered: bool) -> None:
        if is_offered == self._is_offered:
            return
        self._is_offered = is_offered
        components.put(self._download, "href", self._path if is_offered else None)
        components.put(self._download, "aria-disabled", None if is_offered else "true")

    def _draw_download(self, right: Provisioning) -> None:
        self._path = f"/download/agent/{right.platform.value}?provisioning={right.id}"
        label = self._visit.say("download.button")
        with components.element("div", "row"):
            self._download = components.text(
                "a", label, "button primary", download="saveos-agent", aria_disabled="true"
            )
            self._fetched = components.text("span", "", "muted")

    def _draw_command(self, command: str) -> None:
        say = self._visit.say
        with components.element("div", "command"):
            shown = components.text("code", command, tabindex="0")
            components.copy_button(say("action.copy"), shown, lambda: self._visit.notify(say("action.copied")))

    def _draw_alternative(self, token: Token) -> None:
        say = self._visit.say
        with components.element("details"):
            components.text("summary", say("download.on_host"))
            components.text("p", say("download.on_host_more"), "muted")
            self._draw_command(self._visit.parts.download_command(self._begun.right))
            components.text("p", say("download.token"), "muted")
            self._draw_command(token.text)


def _mark(line: Element, *, is_done: bool) -> None:
    components.dress(line, "done" if is_done else "")
