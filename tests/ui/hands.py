"""What a person does on a page, for the simulated user: our elements are native ones, found by what is read on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nicegui import events, ui
from nicegui.elements.mixins.text_element import TextElement

from saveos.ui.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicegui.element import Element
    from nicegui.testing import User

SECONDS = 5.0


class Hands:
    """Reads the page and acts on it."""

    def __init__(self, user: User) -> None:
        self.user = user

    @property
    def elements(self) -> Iterator[Element]:
        """Every element that is not hidden."""
        assert self.user.client is not None
        return (element for element in list(self.user.client.elements.values()) if not _is_hidden(element))

    @property
    def texts(self) -> list[str]:
        """Every text that can be read, in the order in which it was made."""
        return [element.text for element in self.elements if isinstance(element, TextElement) and element.text]

    def field(self, label: str) -> Element:
        """Return the input, textarea or list under a label."""
        wanted = next(e.props["for"] for e in self.elements if e.tag == "label" and getattr(e, "text", "") == label)
        return next(element for element in self.elements if element.props.get("id") == wanted)

    def type(self, label: str, text: str) -> None:
        """Let a text stand in a field."""
        self._emit(self.field(label), "input", text)

    def commit(self, label: str) -> None:
        """Leave a field."""
        self._emit(self.field(label), "change", {})

    def choose(self, label: str, key: str) -> None:
        """Choose from a list."""
        self._emit(self.field(label), "change", key)

    def press(self, text: str) -> None:
        """Press the last button of that name; one that submits sends its form."""
        found = [
            e
            for e in self.elements
            if e.tag == "button" and text in (getattr(e, "text", ""), e.props.get("aria-label"))
        ]
        assert found, f"no button {text!r} among {self.texts}"
        assert not found[-1].props.get("disabled"), f"{text!r} cannot be pressed"
        if found[-1].props.get("type") == "submit":
            form = next(parent for parent in found[-1].ancestors() if parent.tag == "form")
            self._emit(form, "submit.prevent", {})
        else:
            self._emit(found[-1], "click", {})

    def tick(self, value: str) -> None:
        """Choose a radio button by its value."""
        boxes = [e for e in self.elements if e.props.get("type") == "radio" and e.props.get("value") == value]
        self._emit(boxes[-1], "change", {})

    def act(self, row_id: str, act: str) -> None:
        """Press a button in the row of a grid."""
        grid = next(e for e in self.elements if isinstance(e, Grid) and any(row.id == row_id for row in e.rows))
        self._emit(grid, "act", {"row": row_id, "act": act})

    def grid_texts(self) -> list[str]:
        """Return what stands in the cells of all grids."""
        grids = [element for element in self.elements if isinstance(element, Grid)]
        return [cell.text for grid in grids for row in grid.rows for cell in row.cells.values() if cell.text]

    async def until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Wait until something is so."""
        deadline = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if result := condition():
                return result
            await asyncio.sleep(0.02)
        message = f"waited for {what or condition}; the page says {self.texts}"
        raise AssertionError(message)

    async def read(self, *texts: str) -> None:
        """Wait until all of these can be read."""
        await self.until(lambda: all(any(text in said for said in self.texts) for text in texts), f"{texts}")

    def _emit(self, element: Element, event: str, args: Any) -> None:
        assert self.user.client is not None
        with self.user.client:
            for listener in list(element._event_listeners.values()):
                if listener.type == event and listener.handler is not None:
                    said = events.GenericEventArguments(sender=element, client=self.user.client, args=args)
                    events.handle_event(listener.handler, said)


def _is_hidden(element: Element) -> bool:
    parts = (element, *element.ancestors())
    return any("hidden" in part.classes or (isinstance(part, ui.dialog) and not part.value) for part in parts)
