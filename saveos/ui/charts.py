"""Charts in our visual language: series of points or bars become ECharts options here, and nowhere else.

The options say which of our colours are meant, not what they look like, and which format, not the words: the browser
knows the theme, and hears of the reader's language and zone (chart.js).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from nicegui.element import Element
from nicegui.elements import echart

from saveos.ui.components import put

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.measurements.model import Series
    from saveos.ui.frame import Visit

BUNDLE = str(Path(echart.__file__).parent / "dist")
FONT = 'system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif'  # as in saveos.css
WHOLE_FROM = 100  # from here on, nobody looks at what stands behind the point
# Not by colour alone: hatching for the second kind of bar, a denser one for the third, as the legend's swatches.
DECALS: dict[str, dict[str, Any]] = {
    "hatched": {"dashArrayX": [1, 0], "dashArrayY": [2, 4], "rotation": 0.785},
    "crossed": {"dashArrayX": [1, 0], "dashArrayY": [3, 2], "rotation": -0.785},
}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a chart shows. `style`: solid, dashed, area for lines; solid, hatched, crossed for bars."""

    id: str
    label: str
    colour: str = "--accent"  # one of saveos.css
    style: str = "solid"


def options(lines: Sequence[Line], unit: str, *, is_bars: bool = False, most: float | None = None) -> dict[str, Any]:
    """Return ECharts options without data. `unit`: size, rate, share or count. `most`: the end of the scale."""
    text = {"color": "--muted", "fontSize": 12, "fontFamily": FONT}
    quiet = {"axisLine": {"lineStyle": {"color": "--line"}}, "axisTick": {"show": False}}
    return {
        "animation": False,
        "useUTC": True,
        "grid": {"left": 2, "right": 14, "top": 10, "bottom": 2, "outerBoundsMode": "same"},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "formatter": "@told",
            "backgroundColor": "--surface",
            "borderColor": "--line",
            "padding": [8, 12],
            "textStyle": {"color": "--text", "fontSize": 13, "fontFamily": FONT},
            "axisPointer": {"type": "shadow" if is_bars else "line", "lineStyle": {"color": "--field-line"}},
        },
        "xAxis": {
            "type": "category" if is_bars else "time",
            "axisLabel": {**text, "formatter": "@time", "hideOverlap": True},
            "splitLine": {"show": False},
            **quiet,
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "max": most,
            "splitNumber": 3,
            "minInterval": 0 if unit == "share" else 1,
            "interval": most / 2 if most else None,
            "axisLabel": {**text, "formatter": f"@{unit}"},
            "splitLine": {"lineStyle": {"color": "--line", "opacity": 0.7}},
        },
        "series": [_bar(line) if is_bars else _line(line) for line in lines],
    }


def _line(line: Line) -> dict[str, Any]:
    stroke = {"color": line.colour, "width": 1.8, "type": "dashed" if line.style == "dashed" else "solid"}
    area = {"areaStyle": {"color": line.colour, "opacity": 0.12}} if line.style == "area" else {}
    return {
        "id": line.id,
        "name": line.label,
        "type": "line",
        "symbolSize": 6,
        "lineStyle": stroke,
        "itemStyle": {"color": line.colour},
        "emphasis": {"disabled": True},
        **area,
    }


def _bar(line: Line) -> dict[str, Any]:
    decal = {"decal": {**DECALS[line.style], "color": "--surface"}} if line.style in DECALS else {}
    return {
        "id": line.id,
        "name": line.label,
        "type": "bar",
        "stack": "all",
        "barMaxWidth": 28,
        "barCategoryGap": "30%",
        "itemStyle": {"color": line.colour, **decal},
        "emphasis": {"disabled": True},
    }


def milliseconds(moment: datetime) -> int:
    """Return a moment as browsers count it."""
    return int(moment.timestamp() * 1000)


def _short(value: float) -> float:
    """Return no more digits than are seen: shares and small counts keep four behind the point."""
    return round(value) if value >= WHOLE_FROM else round(value, 4)


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Values at equal steps from a moment on."""

    start: datetime
    step_seconds: int
    values: Sequence[float | None]

    @classmethod
    def of(cls, series: Series) -> Plot:
        """Return a measured series as a plot."""
        return cls(start=series.start, step_seconds=series.step_seconds, values=series.values)

    def plain(self) -> dict[str, Any]:
        """Return it as the browser wants it: milliseconds, and no more digits than are seen."""
        values = [value if value is None else _short(value) for value in self.values]
        return {"start": milliseconds(self.start), "step": self.step_seconds * 1000, "values": values}


class Canvas(Element, component="chart.js", esm={"nicegui-echart": BUNDLE}):
    """The drawing itself, in the browser; those who do not see it are told by the figure around it."""

    def __init__(self, visit: Visit, drawn: dict[str, Any]) -> None:
        """Draw axes without data."""
        super().__init__()
        self._props["options"] = drawn
        self._props["plots"] = {"end": 0, "span": 1}
        self.speak(visit)

    def speak(self, visit: Visit) -> None:
        """Tell the browser the reader's language and zone, if they are others than it knows."""
        words = visit.words
        units, months = words.say("size.units").split(), words.say("time.months").split()
        put(self, "reader", {"language": words.language, "zone": words.zone_name, "units": units, "months": months})

    def show(self, plots: dict[str, Any]) -> None:
        """Show other data."""
        put(self, "plots", plots)

    def push(self, series: Mapping[str, Plot], end: datetime) -> None:
        """Add points; what is older than the range goes."""
        plain = {name: plot.plain() for name, plot in series.items()}
        self.run_method("push", plain, milliseconds(end))
