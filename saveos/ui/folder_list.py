"""The entries of a host's folder: one element here, rows of plain data, drawn in the browser (folder.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from nicegui.element import Element

from saveos.ui.components import put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class FolderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `mark`: empty, "chosen", or "within" what is chosen above it."""

    name: str
    sub: str
    mark: str
    is_folder: bool = msgspec.field(name="isFolder")


class FolderList(Element, component="folder.js"):
    """The list. It is hidden while it is empty."""

    def __init__(
        self, label: str, tick: str, on_open: Callable[[int], Awaitable[None]], on_tick: Callable[[int, bool], None]
    ) -> None:
        """`tick`: the word before a name that a box is called by. Both hear the position of the entry."""
        super().__init__()
        self._props["label"], self._props["tick"], self._props["rows"], self._props["path"] = label, tick, [], ""
        self.rows: tuple[FolderRow, ...] = ()

        async def opened(event: Any) -> None:
            if isinstance(event.args, int) and 0 <= event.args < len(self.rows):
                await on_open(event.args)

        def ticked(event: Any) -> None:
            position = event.args.get("index")
            if isinstance(position, int) and 0 <= position < len(self.rows):
                on_tick(position, bool(event.args.get("on")))

        self.on("open", opened)
        self.on("tick", ticked)

    def show(self, path: str, rows: Sequence[FolderRow]) -> None:
        """Show the entries of a folder."""
        if tuple(rows) != self.rows:
            self.rows = tuple(rows)
            self._props["rows"] = msgspec.to_builtins(self.rows)
            self.update()
        put(self, "path", path)
