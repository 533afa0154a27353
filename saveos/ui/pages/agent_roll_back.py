"""Roll a repository back: what comes back and what goes is said before, and the host's name is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots import checkpoints, roll_back
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.snapshots.roll_back import Change, RollBack
    from saveos.ui.frame import Visit

NAMED = 6  # snapshots of a kind; the others are counted


class Dialog:
    """One dialog for all checkpoints of a host."""

    def __init__(self, visit: Visit, agent_id: str, name: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it empty."""
        self._visit, self._id, self._name, self._on_change = visit, agent_id, name, on_change
        self._checkpoint_id = ""
        title = visit.say("protection.roll_back_title", host=name)
        self._dialog, self._body = components.dialog(title, visit.say("action.close"))

    async def open(self, checkpoint_id: str, days: int, *, is_frozen: bool) -> None:
        """Ask about this checkpoint. `days`: for how long what goes is kept. Raises NotFound."""
        change = await self._visit.ask(roll_back.foresee, self._id, checkpoint_id)
        self._checkpoint_id = checkpoint_id
        self._body.clear()
        with self._body:
            self._draw(change, days, is_frozen=is_frozen)
        self._dialog.open()

    def _draw(self, change: RollBack, days: int, *, is_frozen: bool) -> None:
        visit, say, words = self._visit, self._visit.say, self._visit.words
        when = words.exact(change.checkpoint.made_at)
        components.text("p", say("protection.becomes", host=self._name, when=when))
        self._draw_change("protection.comes_back", change.comes_back, say("protection.none_comes_back"))
        self._draw_change("protection.goes", change.goes, say("protection.none_goes"))
        components.text("p", say("protection.meanwhile"), "muted")
        if days:
            components.text("p", words.count("protection.undone", days), "notice")
        else:
            components.text("p", say("protection.not_undone"), "notice bad")
        if change.comes_back.count and not is_frozen:
            components.text("p", say("protection.goes_again"), "notice")
        self._typed = components.Field(
            say("protection.roll_back_type", host=self._name), autocomplete="off", spellcheck="false"
        )
        self._typed.on_change(self._allow)
        with components.element("div", "dialog-actions"):
            components.button(say("action.cancel"), self._dialog.close)
            go = visit.doing(self._begin)
            self._go = components.button(say("protection.roll_back_now"), go, "primary danger", disabled=True)

    def _draw_change(self, key: str, change: Change, none: str) -> None:
        words = self._visit.words
        with components.element("div"):
            components.text("h3", words.count(key, change.count) if change.count else none)
            if change.count:
                named = [words.exact(snapshot.started_at) for snapshot in change.snapshots[:NAMED]]
                rest = change.count - len(named)
                more = [words.count("protection.more", rest)] if rest > 0 else []
                components.text("p", words.listing([*named, *more]), "muted num")

    @property
    def _is_confirmed(self) -> bool:
        return self._typed.value.strip() == self._name

    def _allow(self) -> None:
        components.put(self._go, "disabled", None if self._is_confirmed else True)

    async def _begin(self) -> None:
        if not self._is_confirmed:
            return
        endings = self._visit.parts.endings

        def begin(database: Database, principal: Principal) -> Job:
            typed = self._typed.value
            return checkpoints.request_roll_back(database, principal, self._id, self._checkpoint_id, typed, endings)

        await self._visit.change(begin)
        self._dialog.close()
        self._visit.notify(self._visit.say("protection.asked", host=self._name))
        await self._on_change()
