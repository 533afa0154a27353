"""The menu: every section of the dashboard, beside the page where there is room, behind a button where there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE = "sections"
# name → (address, key of its sentence, strokes of its sign on a grid of 24)
SECTIONS = {
    "overview": ("/", "section.overview", "M4 5h7v7H4zM13 5h7v4h-7zM13 11h7v8h-7zM4 14h7v5H4z"),
    "agents": ("/agents", "section.agents", "M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01"),
    "snapshots": ("/snapshots", "section.snapshots", "M12 4a8 8 0 1 1-7.4 5M4 4v5h5M12 8v4l3 2"),
    "search": ("/search", "section.search", "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5"),
    "jobs": ("/jobs", "section.jobs", "M4 6h2M9 6h11M4 12h2M9 12h11M4 18h2M9 18h11"),
    "policies": ("/policies", "section.policies", "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4"),
    "downloads": ("/downloads", "section.downloads", "M12 4v10M8 11l4 4 4-4M5 19h14"),
    "monitoring": ("/monitoring", "section.monitoring", "M4 4v16h16M7 15l4-5 3 3 5-7"),
    "proofs": ("/proofs", "section.proofs", "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8 12l3 3 5-6"),
    "offsite": (
        "/offsite",
        "section.offsite",
        "M7 18a4 4 0 0 1-.5-8A6 6 0 0 1 18 9a4.500 4.500 0 0 1-.500 9M12 20v-8M9 15l3-3 3 3",
    ),
    "settings": ("/settings", "section.settings", "M4 7h9M17 7h3M15 5v4M4 12h3M11 12h9M9 10v4M4 17h9M17 17h3M15 15v4"),
}


def toggle(say: Callable[[str], str]) -> None:
    """Draw the button that opens the menu on a narrow screen."""
    with components.button("", None, "quiet sections-toggle", popovertarget=PLACE, aria_label=say("section.menu")):
        _sign("M4 7h16M4 12h16M4 17h16")


def menu(say: Callable[[str], str], current: str) -> None:
    """Draw the menu; `current` is the section of the page."""
    with (
        components.element("nav", "sections", id=PLACE, popover="auto", aria_label=say("section.menu")),
        components.element("ul"),
    ):
        for name, (address, key, strokes) in SECTIONS.items():
            with components.element("li"), components.link("", address, "section") as entry:
                _sign(strokes)
                components.text("span", say(key))
            if name == current:
                entry.props["aria-current"] = "page"


def _sign(strokes: str) -> None:
    drawing = f'<svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true"><path d="{strokes}"/></svg>'
    ui.html(drawing, sanitize=False).classes("sign")
