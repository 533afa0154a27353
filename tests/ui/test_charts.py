"""Series as ECharts options: our colours by name, gaps kept, one format for a unit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from saveos.ui.charts import Line, Plot, options

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES = [Line(id="a", label="A", style="area"), Line(id="b", label="B", colour="--bad", style="dashed")]


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


def test_options_name_colours_and_never_say_them() -> None:
    found = options(LINES, "rate")

    assert not [text for text in strings(found) if text.startswith(("#", "rgb"))]
    assert ["--accent", "--bad"] == [series["lineStyle"]["color"] for series in found["series"]]
    assert "@rate" == found["yAxis"]["axisLabel"]["formatter"]


def test_options_never_move() -> None:
    assert options(LINES, "size")["animation"] is False


def test_bars_differ_in_pattern_and_not_only_in_colour() -> None:
    styles = ("solid", "hatched", "crossed")

    found = options([Line(id=style, label=style, style=style) for style in styles], "count", is_bars=True)

    patterns = [str(series["itemStyle"].get("decal")) for series in found["series"]]
    assert 3 == len(set(patterns))


def test_plot_keeps_gaps_and_drops_digits_that_nobody_sees() -> None:
    start = datetime(2026, 3, 4, tzinfo=UTC)

    plain = Plot(start=start, step_seconds=30, values=[0.123456, None, 123_456.7]).plain()

    assert {"start": int(start.timestamp() * 1000), "step": 30_000, "values": [0.1235, None, 123_457]} == plain
