"""The field that searches files, wherever it stands: a native form, so that Enter leads to an address of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable


def draw(say: Callable[[str], str], label: str, classes: str = "", agent_id: str = "") -> None:
    """Draw it. With `agent_id` it searches that host alone."""
    with components.element("form", f"search-line {classes}".strip(), role="search", action="/search", method="get"):
        if agent_id:
            components.element("input", type="hidden", name="agent", value=agent_id)
        components.element(
            "input", type="search", name="q", aria_label=label, placeholder=label, autocomplete="off", maxlength=255
        )
        components.text("button", say("search.go"), "button small", type="submit")
