"""The rights to enrol that are still open: how far each is, and the way to take it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents import provisioning
from saveos.ui import components
from saveos.ui.grid import Act, Cell, Column, Grid, Row, moment
from saveos.ui.host_cells import PLATFORMS
from saveos.ui.pager import Pager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.agents.model import Provisioning
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

WITHDRAW = "withdraw"


def state_of(words: Words, right: Provisioning, *, is_online: bool = False) -> tuple[str, str]:
    """Return how far a right is, in words, and the mood of it."""
    if is_online:
        return words.say("agent.online"), "good"
    if right.spent_at is not None:
        return words.say("downloads.enrolled"), "calm"
    if right.withdrawn_at is not None:
        return words.say("downloads.taken_back"), "muted"
    if right.expires_at <= clock.now():
        return words.say("downloads.too_late"), "muted"
    return words.say("overview.fetched" if right.downloaded_at else "overview.not_fetched"), "calm"


class OpenRights:
    """A grid with its heading; hidden while there is none."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it; `on_change` draws the page anew after a change."""
        self._visit, self._on_change = visit, on_change
        say = visit.say
        self._rights: list[Provisioning] = []
        self._box = components.element("section", "hidden")
        with self._box:
            components.text("h2", say("downloads.open"))
            columns = [
                Column("host", say("overview.host"), "host-cell"),
                Column("state", say("downloads.state"), "state-cell"),
                Column("until", say("downloads.until"), "when-cell"),
                Column("acts", say("overview.actions"), "actions"),
            ]
            self._grid = Grid(say("downloads.open"), columns, kind="hosts", on_act=visit.doing(self._ask))
            self._pager = Pager(visit, self.refresh)
        self._dialog, self._question = components.dialog(say("downloads.withdraw_title"), say("action.close"))

    async def refresh(self) -> None:
        """Show those that are open now."""
        self._rights = await self._visit.ask(provisioning.find_open)
        components.dress(self._box, "part open-rights" if self._rights else "hidden")
        self._pager.show(len(self._rights))
        shown = self._rights[self._pager.offset : self._pager.offset + self._pager.size]
        self._grid.show([self._row(right) for right in shown])

    def _row(self, right: Provisioning) -> Row:
        words = self._visit.words
        state, mood = state_of(words, right)
        show, withdraw = words.say("overview.show"), words.say("downloads.withdraw")
        name = right.hostname
        href = f"/downloads?provisioning={right.id}"
        return Row(
            id=right.id,
            classes="host",
            cells={
                "host": Cell(text=name, href=href, sub=PLATFORMS[right.platform]),
                "state": Cell(text=state, mood=mood),
                "until": moment(words, right.expires_at, sub=words.exact(right.expires_at)),
                "acts": Cell(
                    acts=(
                        Act(id="show", label=show, aria=f"{show}: {name}", href=_place(right)),
                        Act(id=WITHDRAW, label=withdraw, aria=f"{withdraw}: {name}", classes="danger"),
                    )
                ),
            },
        )

    async def _ask(self, right_id: str, act: str) -> None:
        right = next((right for right in self._rights if right.id == right_id), None)
        if right is None or act != WITHDRAW:
            return
        say = self._visit.say
        self._question.clear()
        with self._question:
            components.text("p", right.hostname, "strong")
            components.text("p", say("downloads.withdraw_more"))
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                go = self._visit.doing(lambda: self._withdraw(right.id))
                components.button(say("downloads.withdraw"), go, "primary danger")
        self._dialog.open()

    async def _withdraw(self, right_id: str) -> None:
        await self._visit.change(provisioning.withdraw, right_id)
        self._dialog.close()
        await self._on_change()


def _place(right: Provisioning) -> str:
    return f"/downloads?batch={right.batch_id}" if right.batch_id else f"/downloads?provisioning={right.id}"
