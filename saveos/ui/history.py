"""A host's snapshots on a line of time: what each added, and how many files had changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nicegui import ui

from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Visit

SIZES = "v => { const p = Math.floor(Math.log10(v) / 3); return v / 1000 ** p + ' ' + %r[p]; }"
FEWEST = 2  # one bar alone tells nothing


def css(name: str) -> str:
    """Return the browser's expression for a colour of our style sheet, in the theme of the moment."""
    return f"getComputedStyle(document.body).getPropertyValue('{name}').trim()"


class History:
    """Two charts over the same time; hidden until there is something to compare."""

    def __init__(self, visit: Visit) -> None:
        """Draw them empty."""
        self._visit = visit
        self._shown: tuple[str, ...] = ()
        self._box = components.element("div", "history hidden")
        with self._box:
            self._added = self._chart("history.added")
            self._changed = self._chart("history.changed")

    def _chart(self, title: str) -> ui.echart:
        say = self._visit.say
        with components.element("figure", "chart", role="img", aria_label=say(title)):
            components.text("figcaption", say(title))
            return ui.echart({}, renderer="svg")

    def show(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these, newest first as they come from the list."""
        shown = tuple(snapshot.id for snapshot in snapshots)
        if shown == self._shown:
            return
        self._shown = shown
        components.dress(self._box, "history" if len(shown) >= FEWEST else "history hidden")
        in_order = list(reversed(snapshots))
        words = self._visit.words
        counted = [each for each in in_order if each.changed_files_count is not None]
        self._fill(
            self._added, [(each, each.added_bytes, f"+{words.size(each.added_bytes)}") for each in in_order], "bytes"
        )
        self._fill(self._changed, [(each, _changed(each), words.number(_changed(each))) for each in counted], "files")
        self._changed.parent_slot.parent.set_visibility(len(counted) >= FEWEST)  # type: ignore[union-attr]

    def _fill(self, chart: ui.echart, bars: list[tuple[Snapshot, int, str]], unit: str) -> None:
        words = self._visit.words
        values = [max(value, 1) for _snapshot, value, _told in bars]
        units = words.say("size.units").split()
        options: dict[str, Any] = {
            "animation": False,
            "grid": {"left": 48, "right": 8, "top": 8, "bottom": 24},
            "tooltip": {"trigger": "axis", ":formatter": "p => p[0].name + '<br>' + p[0].data.told"},
            "xAxis": {
                "type": "category",
                "data": [words.exact(snapshot.started_at) for snapshot, _value, _told in bars],
                "axisTick": {"show": False},
                "axisLine": {"lineStyle": {":color": css("--line")}},
                "axisLabel": {":color": css("--muted"), ":formatter": "v => v.split(',')[0]", "hideOverlap": True},
            },
            "yAxis": {
                **(_decades(values) if unit == "bytes" else {"type": "value", "minInterval": 1}),
                "splitNumber": 3,
                "axisLabel": {":color": css("--muted"), ":formatter": SIZES % units if unit == "bytes" else "v => v"},
                "splitLine": {"lineStyle": {":color": css("--line")}},
            },
            "series": [
                {
                    "type": "bar",
                    "barMaxWidth": 18,
                    "itemStyle": {":color": css("--accent"), "borderRadius": [3, 3, 0, 0]},
                    "data": [{"value": max(value, 1), "told": told} for _snapshot, value, told in bars],
                }
            ],
        }
        chart.options.clear()
        chart.options.update(options)
        chart.update()


def _changed(snapshot: Snapshot) -> int:
    return (snapshot.new_files_count or 0) + (snapshot.changed_files_count or 0)


def _decades(values: list[int]) -> dict[str, Any]:
    """Return a logarithmic axis from the power of ten below the least value to the one above the largest."""
    if not values:
        return {"type": "value"}
    least, most = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return {"type": "log", "min": 10**least, "max": 10 ** max(most, least + 1)}
