"""The editor's lists of paths and patterns: a line each, added with Enter or the button, taken away with its cross."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import ui

from saveos.identity.principals import Permission
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicegui.element import Element

    from saveos.ui.frame import Visit

FOCUS = "setTimeout(() => getHtmlElement(%d)?.focus(), 50)"


class PathList:
    """A list that is edited in place: `entries` belongs to the draft."""

    def __init__(
        self, visit: Visit, entries: list[str], on_change: Callable[[], None], *, title: str, hint: str, example: str
    ) -> None:
        """Draw it."""
        self._visit, self._entries, self._on_change = visit, entries, on_change
        self._title, self._example = title, example
        self._inputs: list[Element] = []
        with components.element("fieldset", "paths"):
            components.text("legend", title)
            described = components.text("p", hint, "hint")
            described.props["id"] = self._hint_id = described.html_id
            self._rows = components.element("ul", "path-rows")
            self.error = components.text("p", "", "field-error", role="alert")
            self.below = components.element("div", "row")
            self._may_edit = visit.principal.may(Permission.POLICIES)
            if self._may_edit:
                with self.below:
                    components.button(visit.say("policy.add_line"), self._add, "small")
        self.draw()

    def draw(self) -> None:
        """Draw the lines anew."""
        say = self._visit.say
        self._inputs = []
        self._rows.clear()
        with self._rows:
            for position, entry in enumerate(self._entries):
                with components.element("li", "path-row"):
                    box = components.element(
                        "input",
                        "mono",
                        type="text",
                        value=entry,
                        placeholder=self._example,
                        maxlength=4096,
                        autocomplete="off",
                        autocapitalize="off",
                        spellcheck="false",
                        aria_label=f"{self._title} {position + 1}",
                        aria_describedby=self._hint_id,
                    )
                    box.on("input", self._typed(position), js_handler=components.TYPED)
                    box.on("keydown.enter", partial(self._insert, position + 1), [])
                    if self._may_edit:
                        label = say("policy.remove_line", number=position + 1)
                        components.button("✕", partial(self._remove, position), "quiet small", aria_label=label)
                self._inputs.append(box)

    def point_out(self, problem: str, position: int | None) -> None:
        """Say what is wrong, and at which line."""
        self.error.show(problem)
        if position is not None and position < len(self._inputs):
            components.put(self._inputs[position], "aria-invalid", "true")

    def _typed(self, position: int) -> Callable[[Any], None]:
        def typed(event: Any) -> None:
            if position < len(self._entries):
                self._entries[position] = str(event.args)[:4096]
                box = self._inputs[position]
                with box.props.suspend_updates():  # the browser knows
                    box.props["value"] = self._entries[position]
                    box.props.pop("aria-invalid", None)
                self.error.show("")
                self._on_change()

        return typed

    def _add(self) -> None:
        self._insert(len(self._entries))

    def _insert(self, position: int) -> None:
        self._entries.insert(position, "")
        self.draw()
        self._focus(position)
        self._on_change()

    def _remove(self, position: int) -> None:
        del self._entries[position]
        self.error.show("")
        self.draw()
        if self._inputs:
            self._focus(min(position, len(self._inputs) - 1))
        self._on_change()

    def _focus(self, position: int) -> None:
        with self._visit.client:  # the line that was pressed in may be gone
            ui.run_javascript(FOCUS % self._inputs[position].id)
