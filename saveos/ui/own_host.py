"""The appliance's own machine: protected in one click, followed while that goes on, explained when it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.identity.principals import Permission
from saveos.installers import own_host
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, GOOD, Job, JobProgress
from saveos.ui import components
from saveos.ui.components_work import Work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit

SHOWN_FOR = timedelta(days=1)


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands. `command`: what is left to run, while the machine has not been heard."""

    job: Job | None
    progress: JobProgress | None
    command: str


class OwnHost:
    """A button while there is no host; below it what goes on, or what is left to do."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it hidden."""
        self._visit, self._on_change = visit, on_change
        say = visit.say
        self._box = components.element("section", "hidden")
        with self._box:
            self._begin = components.button(say("own.begin"), visit.doing(self._ask), "hidden")
            self._work = Work(visit, own_host.hostname(), may_cancel=True)
            self._failed = components.text("p", "", "notice bad hidden", role="alert")
            with components.element("div", "hidden") as self._left:
                components.text("p", say("own.by_hand"))
                with components.element("div", "command"):
                    self._command = components.text("code", "", tabindex="0")
                    told = lambda: visit.notify(say("action.copied"))  # noqa: E731
                    components.copy_button(say("action.copy"), self._command, told)

    def look(self, database: Database, principal: Principal, hosts: list[Host]) -> Own:
        """Read how it stands."""
        job = own_host.latest(database, principal)
        if job is None or clock.now() - job.requested_at > SHOWN_FOR:
            return Own(job=None, progress=None, command="")
        is_running = job.state not in ENDED
        is_heard = any(host.is_online and host.agent.hostname == job.order["hostname"] for host in hosts)
        is_left, may = job.state in GOOD and not is_heard, principal.may(Permission.PROVISION)
        return Own(
            job=job,
            progress=lifecycle.progress(database, principal, job.id) if is_running else None,
            command=own_host.remaining_command(self._visit.parts.settings) if is_left and may else "",
        )

    def show(self, own: Own, *, is_empty: bool) -> None:
        """Show it."""
        job, say = own.job, self._visit.say
        is_running = job is not None and job.state not in ENDED
        may_begin = is_empty and not is_running
        self._work.show(job if is_running else None, own.progress)
        why = ""
        if job is not None and job.state in ENDED and job.state not in GOOD and is_empty:
            why = f"{self._visit.words.problem(job.error_code, job.message, job.error_facts)} {say('own.failed')}"
        self._failed.show(why)
        self._command.show(own.command)
        components.dress(self._begin, "button large" if may_begin else "hidden")
        components.dress(self._failed, "notice bad" if why else "notice bad hidden")
        components.dress(self._left, "own-left" if own.command else "hidden")
        is_shown = may_begin or is_running or why or own.command
        components.dress(self._box, "own-host" if is_shown else "hidden")

    async def _ask(self) -> None:
        await self._visit.change(self._request)
        await self._on_change()

    def _request(self, database: Database, principal: Principal) -> None:
        own_host.request(database, self._visit.parts.settings, principal)
