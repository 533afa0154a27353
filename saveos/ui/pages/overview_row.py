"""One host in the list of the front page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.jobs.model import State
from saveos.protocol import Platform
from saveos.snapshots import backup
from saveos.snapshots.fleet import Host, Need
from saveos.ui import components
from saveos.ui.components_work import Work

if TYPE_CHECKING:
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

PLATFORMS = {Platform.LINUX: "Linux", Platform.WINDOWS: "Windows", Platform.MACOS: "macOS"}
NEEDS = {
    Need.NOTHING: "need.nothing",
    Need.STARTING: "need.starting",
    Need.FAILED: "need.failed",
    Need.LATE: "need.late",
    Need.NEVER: "need.never",
    Need.REVOKED: "need.revoked",
}
MOODS = {
    Need.NOTHING: "good",
    Need.STARTING: "calm",
    Need.FAILED: "bad",
    Need.LATE: "warn",
    Need.NEVER: "warn",
    Need.REVOKED: "muted",
}
NOTHING = "\N{EN DASH}"


class HostRow:
    """A table row that follows its host."""

    def __init__(self, visit: Visit, host: Host) -> None:
        """Draw it; `show` fills it."""
        self._visit = visit
        self._id = host.agent.id
        name = host.agent.hostname
        may_back_up = visit.principal.may(Permission.BACK_UP)
        self.row = components.element("tr", "host", data_agent=host.agent.id)
        with self.row:
            with components.element("th", "host-cell", scope="row"):
                with components.element("div", "host-name"):
                    self._dot = components.element("span", "dot", aria_hidden="true")
                    components.link(name, f"/agents/{host.agent.id}", "strong")
                self._facts = components.text("div", "", "sub")
            with components.element("td", "state-cell"):
                self._state = components.text("div", "", "state")
                self._why = components.text("div", "", "sub why")
                self._work = Work(visit, name, may_cancel=may_back_up)
            with components.element("td", "when-cell"):
                self._when = components.Moment(visit.words)
                self._count = components.text("div", "", "sub")
            with components.element("td", "num size-cell"):
                self._size = components.text("div", "", "")
                self._added = components.text("div", "", "sub")
            with components.element("td", "actions"):
                label = visit.say("action.back_up_now")
                self._button = components.button(label, visit.doing(self._back_up), "small")
                components.put(self._button, "aria-label", f"{label}: {name}")
                self._button.set_visibility(may_back_up)

    def show(self, host: Host) -> None:
        """Show how the host stands."""
        words = self._visit.words
        components.dress(self._dot, "dot online" if host.is_online else "dot")
        self._facts.show(facts(words, host))
        components.dress(self.row, "host revoked" if host.need is Need.REVOKED else "host")
        self._show_state(host)
        self._when.tell(host.newest.started_at if host.newest else None, words.say("overview.never"))
        count = host.agent.snapshots_count
        self._count.show(words.count("overview.snapshots", count) if count else "")
        self._size.show(words.size(host.newest.original_bytes) if host.newest else NOTHING)
        self._added.show(words.say("snapshot.added", size=words.size(host.newest.added_bytes)) if host.newest else "")
        is_idle = host.job is None and host.need is not Need.REVOKED
        components.dress(self._button, "button small" if is_idle else "button small hidden")

    def _show_state(self, host: Host) -> None:
        """Show the verdict; a job hides it, unless there is something to worry about."""
        is_worry = host.need in (Need.FAILED, Need.LATE, Need.NEVER)
        is_shown = host.job is None or is_worry
        self._state.show(self._visit.say(NEEDS[host.need]))
        components.dress(self._state, f"state {MOODS[host.need]}" if is_shown else "state hidden")
        is_explained = host.failure is not None and host.need is Need.FAILED
        why = host.failure if is_explained else None
        self._why.show(self._visit.words.problem(why.error_code, why.message) if why else "")
        components.dress(self._why, "sub why" if is_explained and is_shown else "sub why hidden")
        self._work.show(host.job, host.progress, is_online=host.is_online)

    async def _back_up(self) -> None:
        job = await self._visit.change(backup.request, self._id)
        if job.state is State.QUEUED:
            self._visit.notify(self._visit.say("overview.backup_asked"))


def short(system: str) -> str:
    """Return a system's name as people say it: "Debian 12" for "Debian GNU/Linux 12 (bookworm)"."""
    return re.sub(r" \(.*\)$", "", system).replace(" GNU/Linux", "")


def facts(words: Words, host: Host) -> str:
    """Say whether the host is there, and what it is."""
    agent = host.agent
    if host.need is Need.REVOKED:
        presence = words.say("agent.revoked")
    elif host.is_online:
        presence = words.say("agent.online")
    elif agent.seen_at is None:
        presence = words.say("agent.unheard")
    else:
        presence = words.say("agent.offline", when=words.ago(agent.seen_at))
    return words.listing([presence, short(agent.system) or PLATFORMS[agent.platform], agent.agent_version])
