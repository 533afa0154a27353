"""Which part of a long list is shown, and the way to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.ui.frame import Visit

PAGE_SIZE = 50


class Pager:
    """A line under a list: "51 to 100 of 1,000", and two buttons. Hidden while everything fits."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]], *, size: int = PAGE_SIZE) -> None:
        """Stand at the start."""
        self._words = visit.words
        self._on_change = on_change
        self.size, self.offset = size, 0
        self._box = components.element("nav", "pager hidden", aria_label=visit.say("pager.title"))
        with self._box:
            self._text = components.text("span", "", "muted num", aria_live="polite")
            self._back = components.button(visit.say("pager.back"), visit.doing(self._go_back), "small")
            self._on = components.button(visit.say("pager.on"), visit.doing(self._go_on), "small")

    def show(self, total: int) -> None:
        """Show where we stand among so many; a list that has shrunk takes us back to its last page."""
        if self.offset and self.offset >= total:
            self.offset = max(0, (total - 1) // self.size * self.size)
        components.dress(self._box, "pager" if total > self.size else "pager hidden")
        until = min(self.offset + self.size, total)
        number = self._words.number
        self._text.show(
            self._words.say("pager.range", first=number(self.offset + 1), last=number(until), all=number(total))
        )
        components.put(self._back, "disabled", None if self.offset else True)
        components.put(self._on, "disabled", True if until >= total else None)

    async def _go_back(self) -> None:
        self.offset = max(0, self.offset - self.size)
        await self._on_change()

    async def _go_on(self) -> None:
        self.offset += self.size
        await self._on_change()
