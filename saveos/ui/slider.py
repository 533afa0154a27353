"""The moments of a host on a line, to look at its files as of any of them (slider.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from nicegui.element import Element

from saveos.ui.components import put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A moment. `changed`: something of what is looked at was different then from the moment before."""

    id: str
    label: str
    changed: bool = False


class Slider(Element, component="slider.js"):
    """The line. It is hidden while there is no moment."""

    def __init__(self, label: str, older: str, newer: str, on_pick: Callable[[str], Awaitable[None]]) -> None:
        """`on_pick` hears the id of the moment that was let go at."""
        super().__init__()
        self._marks: tuple[Mark, ...] = ()
        self._props["label"], self._props["words"] = label, {"older": older, "newer": newer}
        self._props["marks"], self._props["value"] = [], 0

        async def picked(event: Any) -> None:
            if isinstance(event.args, int) and 0 <= event.args < len(self._marks):
                await on_pick(self._marks[event.args].id)

        self.on("pick", picked)

    def show(self, marks: Sequence[Mark], value: str) -> None:
        """Show the moments, oldest first, and stand at one."""
        if tuple(marks) != self._marks:
            self._marks = tuple(marks)
            self._props["marks"] = msgspec.to_builtins(self._marks)
            self.update()
        position = next((number for number, mark in enumerate(self._marks) if mark.id == value), 0)
        put(self, "value", position)
