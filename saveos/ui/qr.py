"""A QR code: an address for the phone in the other hand. It never carries a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import segno
from nicegui import ui

from saveos.ui import components

if TYPE_CHECKING:
    from saveos.ui.frame import Visit

QUIET_ZONE = 3  # modules of white around it, for the camera


def draw(visit: Visit, address: str) -> None:
    """Draw the code with a sentence under it. Dark on white in every theme: cameras expect it so."""
    code = segno.make(address, error="m", micro=False)
    picture = code.svg_inline(scale=4, border=QUIET_ZONE, dark="#10181d", light="#ffffff", omitsize=True)
    with components.element("figure", "qr"):
        shown = ui.html(picture, sanitize=False).classes("qr-code")
        shown.props["role"] = "img"
        shown.props["aria-label"] = visit.say("downloads.qr_label")
        components.text("figcaption", visit.say("downloads.qr"), "muted")
