"""The editor's "when it is tidied": the hours in which what no rule keeps is removed, and its space given back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft

TIME_LENGTH = len("03:00")  # what a browser adds are seconds


class MaintenanceEditor:
    """Changes the draft's window."""

    def __init__(self, visit: Visit, draft: Draft, on_change: Callable[[], None]) -> None:
        """Draw it."""
        self._draft, self._on_change = draft, on_change
        with components.element("div", "schedule-parts"):
            for place, sentence in enumerate(("retention.window_begins", "retention.window_ends")):
                self._draw(visit.say(sentence), place)
        components.text("p", visit.say("retention.window_hint"), "hint")
        self.error = components.text("p", "", "field-error", role="alert")

    def point_out(self, problem: str) -> None:
        """Say what is wrong with the window."""
        self.error.show(problem)

    def _draw(self, label: str, place: int) -> None:
        box = components.Field(label, value=self._draft.maintenance[place], type="time", required=True)

        def take() -> None:
            self._draft.maintenance[place] = box.value[:TIME_LENGTH]
            self.error.show("")
            self._on_change()

        box.on_change(take)
