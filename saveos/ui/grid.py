"""A table of many rows: one element here, rows of plain data, drawn in the browser (grid.js).

A row of native elements would cost the server some 30 kB; a row of data costs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from nicegui.element import Element

from saveos.clock import to_text
from saveos.ui.components import put

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from saveos.ui.words import Words


class Column(msgspec.Struct, frozen=True):
    """A column: the key of its cells, its title as shown, its classes, and what it sorts by, if it does."""

    key: str
    title: str
    classes: str = ""
    sort: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A button of a row, or with `href` a link. `aria`: what it does to what, for those who do not see the row."""

    id: str
    label: str
    aria: str
    classes: str = ""
    href: str = ""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A job under way. `percent` None: how far is not known."""

    what: str
    far: str = ""
    percent: int | None = None
    label: str = ""
    is_waiting: bool = msgspec.field(default=False, name="isWaiting")
    acts: tuple[Act, ...] = ()


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What stands in a cell; `text` first, `sub` under it. `mood`: good, warn, bad, calm or muted.

    The text is a link with `href`, a button with `act`.
    """

    text: str = ""
    sub: str = ""
    mood: str = ""
    sub_mood: str = msgspec.field(default="", name="subMood")
    dot: str = ""  # "online" or "offline"
    href: str = ""
    act: str = ""
    at: str = ""  # a moment, as ISO 8601
    title: str = ""
    work: Work | None = None
    acts: tuple[Act, ...] = ()
    badges: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row. `name`: what it is called, for its checkbox; a row without one cannot be selected."""

    id: str
    cells: dict[str, Cell]
    name: str = ""
    classes: str = ""


def moment(words: Words, at: datetime | None, otherwise: str = "", *, sub: str = "") -> Cell:
    """Return a cell with relative words and the exact time in the reader's zone as its title."""
    if at is None:
        return Cell(text=otherwise, sub=sub)
    return Cell(text=words.ago(at), at=to_text(at), title=words.exact(at), sub=sub)


class Grid(Element, component="grid.js"):
    """The table. It is hidden while it has no row."""

    def __init__(
        self,
        label: str,
        columns: Sequence[Column],
        *,
        kind: str = "",
        on_act: Callable[[str, str], Awaitable[None]] | None = None,
        on_sort: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`on_act` hears (row id, act id), `on_sort` the sort key of the column that was pressed."""
        super().__init__()
        self.rows: tuple[Row, ...] = ()
        self._props["label"], self._props["kind"] = label, kind
        self._props["columns"] = [msgspec.to_builtins(column) for column in columns]
        self._props["rows"], self._props["selected"], self._props["words"] = [], [], {}
        if on_act is not None:
            act = on_act

            async def acted(event: Any) -> None:
                if any(row.id == event.args["row"] for row in self.rows):
                    await act(str(event.args["row"]), str(event.args["act"]))

            self.on("act", acted)
        if on_sort is not None:
            sort, known = on_sort, {column.sort for column in columns if column.sort}

            async def sorted_by(event: Any) -> None:
                if event.args in known:
                    await sort(str(event.args))

            self.on("sort", sorted_by)

    def select_with(self, all_label: str, one_label: str, on_change: Callable[[], Awaitable[None] | None]) -> None:
        """Give each row a checkbox; `selected` says which are ticked."""
        self._props["selectable"] = True
        self._props["words"] = {"all": all_label, "one": one_label}

        def chosen(event: Any) -> Awaitable[None] | None:
            ids = {row.id for row in self.rows} & set(event.args["ids"])
            kept = set(self.selected) | ids if event.args["on"] else set(self.selected) - ids
            put(self, "selected", sorted(kept))
            return on_change()

        self.on("choose", chosen)

    @property
    def selected(self) -> list[str]:
        """The ids of the ticked rows."""
        ids: list[str] = self._props["selected"]
        return ids

    def tick(self, ids: Iterable[str]) -> None:
        """Tick these rows and no others."""
        put(self, "selected", sorted(ids))

    def unselect(self) -> None:
        """Tick none."""
        self.tick(())

    def show(self, rows: Sequence[Row], *, sort: str = "", is_descending: bool = False) -> None:
        """Show these rows; the browser hears of it only when something changed."""
        put(self, "sort", sort)
        put(self, "descending", is_descending)
        if tuple(rows) == self.rows:
            return
        self.rows = tuple(rows)
        self._props["rows"] = msgspec.to_builtins(self.rows)
        gone = set(self.selected) - {row.id for row in self.rows}
        if gone:
            put(self, "selected", [row_id for row_id in self.selected if row_id not in gone])
        self.update()
