"""A list of names and values; an empty value is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.ui.frame import Visit


class Facts:
    """A `<dl>` that follows what it is given."""

    def __init__(self, visit: Visit) -> None:
        """Draw it empty."""
        self._visit = visit
        self._shown: dict[str, str] = {}
        self._list = components.element("dl", "facts")

    def show(self, facts: Mapping[str, str], links: Mapping[str, str] | None = None) -> None:
        """Show these: the key of a sentence → a value. `links`: where a value leads, by the same key."""
        wanted = {key: value for key, value in facts.items() if value}
        if wanted == self._shown:
            return
        self._shown = wanted
        self._list.clear()
        with self._list:
            for key, value in wanted.items():
                with components.element("div"):
                    components.text("dt", self._visit.say(key))
                    address = (links or {}).get(key)
                    with components.element("dd"):
                        components.link(value, address) if address else components.text("span", value)
