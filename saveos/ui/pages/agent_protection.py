"""How a host's snapshots are protected from that host: on its page, with the ways back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.identity.principals import Permission
from saveos.snapshots import pruning
from saveos.ui import components, upkeep_words
from saveos.ui.facts import Facts
from saveos.ui.grid import Act, Cell, Column, Grid, Row
from saveos.ui.pages.agent_frozen import Frozen
from saveos.ui.pages.agent_roll_back import Dialog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.repositories.model import Checkpoint
    from saveos.snapshots.checkpoints import Protection
    from saveos.ui.frame import Visit

ROLL_BACK = "roll-back"


class ProtectionPart:
    """The section, and the notice above it all while a repository is frozen."""

    def __init__(self, visit: Visit, agent_id: str, name: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw nothing yet but the dialog; `draw_frozen` and `draw` come where they belong on the page."""
        self._visit, self._id, self._name, self._on_change = visit, agent_id, name, on_change
        self._now: Protection | None = None
        self._may = visit.principal.may(Permission.ROLL_BACK)
        self._dialog = Dialog(visit, agent_id, name, on_change)

    def draw_frozen(self) -> None:
        """Draw the notice, hidden."""
        self._frozen = Frozen(self._visit, self._id, self._name, self._open, self._on_change)

    def draw(self) -> None:
        """Draw the section, empty."""
        visit, say = self._visit, self._visit.say
        with components.element("section", "part"):
            components.text("h2", say("protection.title"))
            components.text("p", say("protection.lead"), "muted")
            self._busy = components.text("p", "", "notice hidden", role="status")
            self._facts = Facts(visit)
            with components.element("div", "row"):
                retain = visit.doing(self._retain)
                self._retention = components.button(say("protection.retain"), retain, "hidden")
            components.text("h3", say("protection.checkpoints"))
            columns = [
                Column("when", say("protection.moment"), "when-cell"),
                Column("why", say("protection.why"), "message-cell"),
                Column("holds", say("protection.holds"), "num"),
                Column("until", say("protection.until"), "when-cell"),
                Column("acts", say("overview.actions"), "actions"),
            ]
            self._grid = Grid(say("protection.checkpoints"), columns, kind="checkpoints", on_act=visit.doing(self._act))
            self._none = components.text("p", say("protection.none"), "muted hidden")

    def show(self, protection: Protection, *, is_live: bool) -> None:
        """Show how it stands. `is_live`: the host takes orders."""
        self._now = protection
        words, say = self._visit.words, self._visit.say
        self._frozen.show(protection)
        self._busy.show(say("protection.busy") if protection.is_in_upkeep else "")
        components.dress(self._busy, "notice" if protection.is_in_upkeep else "notice hidden")
        never = say("protection.never")
        self._facts.show(
            {
                "protection.held": words.size(protection.quarantine_bytes),
                "protection.kept_for": words.count("time.span_day", protection.quarantine_days),
                "protection.retained": words.exact(protection.retained_at) if protection.retained_at else never,
                "protection.compacted": words.exact(protection.compacted_at) if protection.compacted_at else never,
            }
        )
        can_retain = is_live and protection.frozen_at is None and self._visit.principal.may(Permission.POLICIES)
        components.dress(self._retention, "button" if can_retain else "hidden")
        rows = [self._row(checkpoint, protection) for checkpoint in protection.checkpoints]
        self._grid.show(rows)
        components.dress(self._none, "muted hidden" if rows else "muted")

    def _row(self, checkpoint: Checkpoint, protection: Protection) -> Row:
        words, say = self._visit.words, self._visit.say
        when, label = words.exact(checkpoint.made_at), say("protection.roll_back")
        is_over = checkpoint.expires_at <= clock.now()
        if protection.frozen_at is not None:
            until = Cell(text=say("protection.while_frozen"), sub=words.exact(checkpoint.expires_at))
        else:
            until = Cell(text=say("protection.going") if is_over else words.exact(checkpoint.expires_at))
        act = Act(id=ROLL_BACK, label=label, aria=f"{label} {when}")
        return Row(
            id=checkpoint.id,
            cells={
                "when": Cell(text=when, sub=words.ago(checkpoint.made_at)),
                "why": Cell(text=say(upkeep_words.WHYS[checkpoint.why])),
                "holds": Cell(text=words.size(checkpoint.own_bytes)),
                "until": until,
                "acts": Cell(acts=(act,) if self._may else ()),
            },
        )

    async def _act(self, checkpoint_id: str, act: str) -> None:
        if act == ROLL_BACK and self._may:
            await self._open(checkpoint_id)

    async def _open(self, checkpoint_id: str) -> None:
        now = self._now
        if now is not None and checkpoint_id:
            await self._dialog.open(checkpoint_id, now.quarantine_days, is_frozen=now.frozen_at is not None)

    async def _retain(self) -> None:
        await self._visit.change(pruning.request, self._id)
        self._visit.notify(self._visit.say("protection.retaining"))
        await self._on_change()
