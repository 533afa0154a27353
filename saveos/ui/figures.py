"""A chart on a page: its name, a legend with figures, the drawing, and in words what the drawing shows."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from saveos.ui import components
from saveos.ui.charts import WHOLE_FROM, Canvas, milliseconds, options
from saveos.ui.components import put

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nicegui.element import Element

    from saveos.ui.charts import Line, Plot
    from saveos.ui.frame import Visit

NOTHING = "\N{EN DASH}"


class Chart:
    """A figure: its name, a legend that also tells the newest figures, and the drawing."""

    def __init__(
        self,
        visit: Visit,
        title: str,
        lines: Sequence[Line],
        unit: str,
        *,
        is_bars: bool = False,
        most: float | None = None,
    ) -> None:
        """Draw it empty; see `options` for what is said."""
        self._visit, self._title, self._unit = visit, title, unit
        self._lines, self._is_bars = lines, is_bars
        self._told: dict[str, components.Text] = {}
        self._entries: dict[str, Element] = {}
        self.box = components.element("figure", "measure")
        with self.box:
            with components.element("figcaption", "chart-head"):
                components.text("h3", title)
                with components.element("ul", "legend"):
                    for line in lines:
                        with components.element("li") as entry:
                            components.element("span", f"swatch {line.style}{' square' if is_bars else ''}").style(
                                f"--swatch: var({line.colour})"
                            )
                            components.text("span", line.label if len(lines) > 1 else "", "muted")
                            self._told[line.id] = components.text("span", "", "strong num")
                        self._entries[line.id] = entry
            self._frame = components.element("div", "chart-frame", role="img", aria_label=title)
            with self._frame:
                self._canvas = Canvas(visit, options(lines, unit, is_bars=is_bars, most=most))
            self._none = components.text("p", "", "chart-none muted hidden")

    def show_lines(
        self, plots: Mapping[str, Plot], end: datetime, span_seconds: float, *, until: datetime | None = None
    ) -> None:
        """Show plots by the ids of the lines, over a range that ends at `end`; the axis may go on `until` later.

        The legend names only those lines that there is a plot of.
        """
        series = {name: plot.plain() for name, plot in plots.items()}
        shown = {"series": series, "end": milliseconds(end), "span": span_seconds * 1000, "unit": self._unit}
        if until is not None:
            shown["until"] = milliseconds(until)
        for name, entry in self._entries.items():
            components.dress(entry, "" if name in plots else "hidden")
        self._canvas.speak(self._visit)
        self._canvas.show(shown)
        known = {name: [value for value in plot.values if value is not None] for name, plot in plots.items()}
        self._describe({name: values for name, values in known.items() if values})

    def push(self, plots: Mapping[str, Plot], end: datetime) -> None:
        """Add what was measured since."""
        self._canvas.speak(self._visit)
        self._canvas.push(plots, end)

    def show_bars(
        self, starts: Sequence[datetime], bars: Mapping[str, Sequence[float]], bar_seconds: float, notes: Sequence[str]
    ) -> None:
        """Show a stack for each start; `notes` are told of each in its tip."""
        words = self._visit.words
        local = [words.local(start) for start in starts]
        shown = {
            "categories": [milliseconds(start.replace(tzinfo=UTC)) for start in local],
            "bars": {name: list(values) for name, values in bars.items()},
            "notes": list(notes),
            "bar": bar_seconds * 1000,
            "span": bar_seconds * 1000 * len(starts),
            "end": 0,
            "unit": self._unit,
        }
        self._canvas.speak(self._visit)
        self._canvas.show(shown)
        self._describe({name: list(values) for name, values in bars.items() if any(values)})

    def tell(self, figures: Mapping[str, str]) -> None:
        """Show figures beside the names of the legend."""
        for name, figure in figures.items():
            self._told[name].show(figure)

    def _describe(self, known: Mapping[str, Sequence[float]]) -> None:
        """Say what the drawing shows to those who do not see it, and say so when it shows nothing."""
        say = self._visit.say
        parts = [self._in_words(line, known[line.id]) for line in self._lines if known.get(line.id)]
        put(self._frame, "aria-label", f"{self._title}. {' '.join(parts) or say('chart.nothing')}")
        self._none.show("" if parts else say("chart.nothing"))
        components.dress(self._none, "chart-none muted hidden" if parts else "chart-none muted")

    def _in_words(self, line: Line, values: Sequence[float]) -> str:
        name, most = line.label or self._title, self.figure(max(values))
        if self._is_bars:
            return self._visit.say("chart.told_bars", name=name, all=self.figure(sum(values)), most=most)
        least, last = self.figure(min(values)), self.figure(values[-1])
        return self._visit.say("chart.told", name=name, least=least, most=most, last=last)

    def figure(self, value: float | None) -> str:
        """Return a value in the chart's unit and the reader's words."""
        words = self._visit.words
        if value is None:
            return NOTHING
        if self._unit == "size":
            return words.size(value)
        if self._unit == "rate":
            return words.rate(value)
        if self._unit == "share":
            return words.percent(value)
        return words.number(value, 0 if value == int(value) or value >= WHOLE_FROM else 1)
