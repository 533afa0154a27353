"""One right to enrol, from the build to the host that is online: each line turns done by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import enrolment, provisioning
from saveos.agents.model import Agent, Provisioning
from saveos.errors import SaveOSError
from saveos.identity.tokens import Token
from saveos.installers.bundles import file_name
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, GOOD, Job, JobProgress
from saveos.protocol import Platform
from saveos.ui import components, qr
from saveos.ui.components_work import Work
from saveos.ui.host_cells import PLATFORMS

if TYPE_CHECKING:
    from nicegui.element import Element

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit

UNIX = "chmod +x saveos-agent && sudo ./saveos-agent install"
INSTALL = {Platform.LINUX: UNIX, Platform.MACOS: UNIX, Platform.WINDOWS: r".\saveos-agent.exe install"}


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A right to enrol, and the job that builds its executable, if one must be built.

    `token`: only just after it was made. `problem`: why no executable can be had.
    """

    right: Provisioning
    token: Token | None = None
    job_id: str | None = None
    problem: SaveOSError | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come."""

    right: Provisioning
    build: Build
    agent: Agent | None


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """The job that builds the executable, if one must be built."""

    job: Job | None
    progress: JobProgress | None


def look_at_build(database: Database, principal: Principal, job_id: str | None) -> Build:
    """Return how far the build is."""
    job = lifecycle.get(database, principal, job_id) if job_id else None
    return Build(job=job, progress=lifecycle.progress(database, principal, job.id) if job else None)


class BuildLine:
    """The first line of a list of steps: the executable is being built, is ready, or cannot be had."""

    def __init__(self, visit: Visit, whose: str, problem: SaveOSError | None) -> None:
        """Draw it inside of a list."""
        self._visit, self._problem = visit, problem
        with components.element("li") as self._line:
            self._title = components.text("strong", visit.say("download.building"))
            self._work = Work(visit, whose, may_cancel=False)
            self._failed = components.text("p", "", "notice bad hidden", role="alert")

    def show(self, build: Build) -> bool:
        """Show it; return whether the executable is ready."""
        say, job = self._visit.say, build.job
        is_building = job is not None and job.state not in ENDED
        is_ready = self._problem is None and (job is None or job.state in GOOD)
        self._work.show(job if is_building else None, build.progress)
        self._title.show(say("download.built") if is_ready else say("download.building"))
        wrong = ""
        if self._problem is not None:
            wrong = self._visit.words.problem(self._problem.code, self._problem.message)
        elif job is not None and not is_building and not is_ready:
            wrong = self._visit.words.problem(job.error_code, job.message, job.error_facts)
        components.dress(self._failed, "notice bad" if wrong else "notice bad hidden")
        self._failed.show(wrong)
        mark(self._line, is_done=is_ready)
        return is_ready


class Steps:
    """Build, download, run, online; beside them the way to a phone."""

    def __init__(self, visit: Visit, begun: Begun) -> None:
        """Draw the four lines."""
        self._visit = visit
        self._begun = begun
        self._is_offered = False
        right, say = begun.right, visit.say
        components.text("h1", say("download.title_host", host=right.hostname))
        facts = (PLATFORMS[right.platform], say("overview.until", when=visit.words.exact(right.expires_at)))
        components.text("p", visit.words.listing(facts), "muted num")
        self._over = components.text("p", "", "notice bad hidden", role="status")
        with components.element("div", "steps-beside"):
            with components.element("ol", "progress-list"):
                self._build = BuildLine(visit, right.hostname, begun.problem)
                self._draw_lines(right)
            qr.draw(visit, visit.parts.page_url(right))
        if begun.token is not None:
            self._draw_alternative(begun.token)

    def _draw_lines(self, right: Provisioning) -> None:
        say = self._visit.say
        with components.element("li") as self._fetch:
            components.text("strong", say("download.fetch"))
            components.text("p", say("download.only", host=right.hostname), "muted")
            self._draw_download(right)
        with components.element("li") as self._run:
            components.text("strong", say("download.run"))
            if right.platform is Platform.WINDOWS:
                components.text("p", say("downloads.windows_run"), "muted")
            draw_command(self._visit, INSTALL[right.platform])
        with components.element("li", aria_live="polite") as self._online:
            self._wait = components.text("strong", say("download.waiting", host=right.hostname))
            self._hint = components.text("p", say("download.waiting_more"), "muted")

    async def refresh(self) -> None:
        """Look how far it is."""
        self._show(await self._visit.ask(self._look))

    def _look(self, database: Database, principal: Principal) -> Stage:
        right = provisioning.get(database, principal, self._begun.right.id)
        return Stage(
            right=right,
            build=look_at_build(database, principal, self._begun.job_id),
            agent=enrolment.get(database, principal, right.agent_id) if right.agent_id else None,
        )

    def _show(self, stage: Stage) -> None:
        say, right = self._visit.say, stage.right
        is_ready = self._build.show(stage.build)
        is_enrolled = stage.agent is not None
        is_fetched = right.downloaded_at is not None
        is_open = right.is_open_at(clock.now())
        self._show_over(right, is_over=not is_open and not is_enrolled)
        self._offer_download(is_offered=is_ready and is_open and not is_fetched)
        self._fetched.show(say("download.fetched") if is_fetched or is_enrolled else "")
        mark(self._fetch, is_done=is_fetched or is_enrolled)
        mark(self._run, is_done=is_enrolled)
        is_online = stage.agent is not None and stage.agent.is_online_at(clock.now())
        mark(self._online, is_done=is_online)
        name = right.hostname
        self._wait.show(say("download.online", host=name) if is_online else say("download.waiting", host=name))
        self._hint.show(say("download.online_more") if is_online else say("download.waiting_more"))

    def _show_over(self, right: Provisioning, *, is_over: bool) -> None:
        key = "downloads.withdrawn" if right.withdrawn_at is not None else "downloads.expired"
        components.dress(self._over, "notice bad over" if is_over else "hidden")
        self._over.show(self._visit.say(key) if is_over else "")

    def _offer_download(self, *, is_offered: bool) -> None:
        if is_offered == self._is_offered:
            return
        self._is_offered = is_offered
        components.put(self._download, "href", self._path if is_offered else None)
        components.put(self._download, "aria-disabled", None if is_offered else "true")

    def _draw_download(self, right: Provisioning) -> None:
        self._path = f"/download/agent/{right.platform.value}?provisioning={right.id}"
        label, name = self._visit.say("download.button"), file_name(right.platform)
        with components.element("div", "row"):
            self._download = components.text("a", label, "button primary", download=name, aria_disabled="true")
            self._fetched = components.text("span", "", "muted")

    def _draw_alternative(self, token: Token) -> None:
        say = self._visit.say
        with components.element("details", "on-host"):
            components.text("summary", say("download.on_host"))
            components.text("p", say("download.on_host_more"), "muted")
            draw_command(self._visit, self._visit.parts.download_command(self._begun.right))
            components.text("p", say("download.token"), "muted")
            draw_command(self._visit, token.text)


def draw_command(visit: Visit, command: str) -> None:
    """Draw a command with a button that copies it."""
    say = visit.say
    with components.element("div", "command"):
        shown = components.text("code", command, tabindex="0")
        components.copy_button(say("action.copy"), shown, lambda: visit.notify(say("action.copied")))


def mark(line: Element, *, is_done: bool) -> None:
    """Let a line of a list of steps look done, or not."""
    components.dress(line, "done" if is_done else "")
