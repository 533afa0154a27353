"""Many rights to enrol that were made together: one ZIP, one list, and each host's line turning green."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import handout
from saveos.agents.model import Provisioning
from saveos.errors import SaveOSError
from saveos.protocol import Platform
from saveos.ui import components
from saveos.ui.grid import Cell, Column, Grid, Row
from saveos.ui.host_cells import PLATFORMS
from saveos.ui.pager import Pager
from saveos.ui.pages.download_list import state_of
from saveos.ui.pages.download_steps import INSTALL, Build, BuildLine, draw_command, look_at_build, mark

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Rights made together, and the job that builds their executable, if one must be built."""

    id: str
    platform: Platform
    job_id: str | None = None
    problem: SaveOSError | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How far they have come. `online`: ids of agents."""

    rights: list[Provisioning]
    build: Build
    online: set[str]


class BatchView:
    """Build, download, run, and the hosts."""

    def __init__(self, visit: Visit, batch: Batch) -> None:
        """Draw it."""
        self._visit, self._batch = visit, batch
        self._is_offered: bool | None = None
        say = visit.say
        self._title = components.text("h1", say("downloads.batch_title"))
        self._facts = components.text("p", PLATFORMS[batch.platform], "muted num")
        with components.element("ol", "progress-list batch"):
            self._build = BuildLine(visit, say("downloads.batch_title"), batch.problem)
            with components.element("li") as self._fetch:
                components.text("strong", say("downloads.zip_title"))
                components.text("p", say("downloads.zip_more"), "muted")
                with components.element("div", "row"):
                    self._zip = components.text("a", say("downloads.zip"), "button primary", aria_disabled="true")
                    components.link(
                        say("downloads.csv"), f"/download/agents.csv?batch={batch.id}", "button", download="saveos.csv"
                    )
                self._left = components.text("p", "", "muted num")
            with components.element("li") as self._run:
                components.text("strong", say("downloads.run_each"))
                if batch.platform is Platform.WINDOWS:
                    components.text("p", say("downloads.windows_run"), "muted")
                draw_command(visit, INSTALL[batch.platform])
        self._online = components.text("h2", "", "batch-online num", aria_live="polite")
        columns = [
            Column("host", say("overview.host"), "host-cell"),
            Column("state", say("downloads.state"), "state-cell"),
            Column("until", say("downloads.until"), "when-cell"),
        ]
        self._grid = Grid(say("downloads.batch_title"), columns, kind="hosts")
        self._pager = Pager(visit, self.refresh)

    async def refresh(self) -> None:
        """Look how far it is."""
        self._show(await self._visit.ask(self._look))

    def _look(self, database: Database, principal: Principal) -> Stage:
        return Stage(
            rights=handout.batch(database, principal, self._batch.id),
            build=look_at_build(database, principal, self._batch.job_id),
            online=handout.online_of_batch(database, principal, self._batch.id),
        )

    def _show(self, stage: Stage) -> None:
        words, say = self._visit.words, self._visit.say
        is_ready = self._build.show(stage.build)
        total, left = len(stage.rights), sum(map(handout.is_takable, stage.rights))
        self._title.show(words.count("downloads.batch", total))
        self._offer(is_offered=is_ready and left > 0)
        self._left.show(words.count("downloads.left", left) if left else say("downloads.none_left"))
        mark(self._fetch, is_done=not left)
        online = sum(right.agent_id in stage.online for right in stage.rights)
        mark(self._run, is_done=online == total)
        self._online.show(say("overview.online_of", online=words.number(online), all=words.number(total)))
        components.dress(self._online, "batch-online num good" if online == total else "batch-online num")
        self._pager.show(total)
        shown = stage.rights[self._pager.offset : self._pager.offset + self._pager.size]
        self._grid.show([self._row(right, is_online=right.agent_id in stage.online) for right in shown])

    def _row(self, right: Provisioning, *, is_online: bool) -> Row:
        words = self._visit.words
        state, mood = state_of(words, right, is_online=is_online)
        href = f"/agents/{right.agent_id}" if right.agent_id else f"/downloads?provisioning={right.id}"
        dot = "online" if is_online else "offline"
        return Row(
            id=right.id,
            classes="host",
            cells={
                "host": Cell(text=right.hostname, href=href, dot=dot),
                "state": Cell(text=state, mood=mood),
                "until": Cell(text=words.exact(right.expires_at) if not right.spent_at else ""),
            },
        )

    def _offer(self, *, is_offered: bool) -> None:
        if is_offered == self._is_offered:
            return
        self._is_offered = is_offered
        components.put(self._zip, "href", f"/download/agents.zip?batch={self._batch.id}" if is_offered else None)
        components.put(self._zip, "download", "saveos-agents.zip" if is_offered else None)
        components.put(self._zip, "aria-disabled", None if is_offered else "true")
