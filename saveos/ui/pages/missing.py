"""Any other address: there is no such page, said in the frame of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.errors import NotFound
from saveos.ui import components, frame

if TYPE_CHECKING:
    from saveos.ui.frame import Board


def register(board: Board) -> None:
    """Make it known, after all others."""

    @ui.page("/{path:path}")
    def page(client: Client, path: str) -> None:
        del path
        client.status_code = NotFound.status
        visit = frame.open_page(board, client, "missing.title")
        with frame.main():
            components.text("h1", visit.say("missing.title"))
            components.link(visit.say("agent.back"), "/")
