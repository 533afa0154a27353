"""Storage over time with the day the disk is full: a drawing, and the sentences that go with it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.measurements.forecast import Trend
from saveos.ui.charts import Line, Plot
from saveos.ui.figures import Chart

if TYPE_CHECKING:
    from datetime import datetime

    from saveos.measurements.outlook import Outlook
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

SOON = timedelta(days=1)
NEAR = 2.5  # the capacity is drawn when the data comes within this factor of it; else it would press all else flat


class StorageChart:
    """What is used, what the backups added, and the forecast as a dashed line."""

    def __init__(self, visit: Visit) -> None:
        """Draw it empty."""
        say = visit.say
        self._visit = visit
        self._chart = Chart(
            visit,
            say("storage.over_time"),
            [
                Line(id="used", label=say("storage.used"), style="area"),
                Line(id="forecast", label=say("storage.forecast"), style="dashed"),
                Line(id="added", label=say("storage.added"), colour="--field-line"),
                Line(id="capacity", label=say("storage.capacity"), colour="--bad"),
            ],
            "size",
        )

    def show(self, outlook: Outlook) -> None:
        """Show this outlook. The axis goes on into the future by a third of the past that is shown."""
        points, words = outlook.points, self._visit.words
        start, now = points[0].at, clock.now()
        step = int((points[1].at - start).total_seconds()) if len(points) > 1 else 1
        until = now + (now - start) / 3 if outlook.full_at else now
        plots = {
            "used": Plot(start=start, step_seconds=step, values=[point.used_bytes for point in points]),
            "added": Plot(start=start, step_seconds=step, values=[point.added_bytes for point in points]),
        }
        if outlook.full_at is not None:
            plots["forecast"] = _forecast(outlook, outlook.full_at, now, until)
        if points[-1].added_bytes > outlook.total_bytes:
            del plots["added"]  # much of it has been deleted since: it would press what is there flat
        highest = max((value for plot in plots.values() for value in plot.values if value), default=0)
        if outlook.total_bytes <= highest * NEAR:
            width = int((until - start).total_seconds())
            plots["capacity"] = Plot(start=start, step_seconds=width, values=[float(outlook.total_bytes)] * 2)
        self._chart.show_lines(plots, now, (now - start).total_seconds(), until=until)
        self._chart.tell(
            {
                "used": words.size(outlook.used_bytes),
                "added": words.size(points[-1].added_bytes),
                "capacity": words.size(outlook.total_bytes),
            }
        )


def _forecast(outlook: Outlook, full_at: datetime, now: datetime, until: datetime) -> Plot:
    end = max(min(until, full_at), now + timedelta(seconds=1))
    grown = outlook.forecast.daily_bytes * ((end - now) / timedelta(days=1))
    values = [float(outlook.used_bytes), outlook.used_bytes + min(grown, outlook.free_bytes)]
    return Plot(start=now, step_seconds=int((end - now).total_seconds()), values=values)


def disk_words(words: Words, outlook: Outlook) -> str:
    """Say how full the disk is."""
    used, free, total = (words.size(size) for size in (outlook.used_bytes, outlook.free_bytes, outlook.total_bytes))
    return words.say("storage.used_of", used=used, free=free, total=total)


def forecast_words(words: Words, outlook: Outlook) -> str:
    """Say when the disk is full, and how sure that is."""
    say, forecast = words.say, outlook.forecast
    if forecast.trend is Trend.UNKNOWN:
        return say("storage.unknown")
    if forecast.full_at is None:
        return say("storage.slow") if forecast.daily_bytes > 0 else say("storage.not_growing")
    daily = say("storage.daily", size=words.size(forecast.daily_bytes))
    basis = say("storage.from_snapshots") if outlook.is_from_snapshots else ""
    if forecast.full_at - clock.now() < SOON:
        return words.listing([say("storage.full_soon"), daily, basis])
    span = ""
    if forecast.earliest_at is not None:
        first = words.day(forecast.earliest_at)
        last = words.day(forecast.latest_at) if forecast.latest_at else ""
        if last != first:
            span = say("storage.between", first=first, last=last) if last else say("storage.not_before", first=first)
    return words.listing([say("storage.full", day=words.day(forecast.full_at)), span, daily, basis])
