"""A host's snapshots on a line of time: what each added, and how many files had changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import components
from saveos.ui.charts import Line
from saveos.ui.figures import Chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Visit

FEWEST = 2  # one bar alone tells nothing
DAY = 86400.0


class History:
    """Two charts over the same snapshots; hidden until there is something to compare."""

    def __init__(self, visit: Visit) -> None:
        """Draw them empty."""
        say = visit.say
        self._visit = visit
        self._shown: tuple[str, ...] = ()
        self._box = components.element("div", "history hidden")
        with self._box:
            added = Line(id="added", label="")
            self._added = Chart(visit, say("history.added"), [added], "size", is_bars=True)
            files = [
                Line(id="changed", label=say("history.changed_files")),
                Line(id="new", label=say("history.new_files"), colour="--field-line", style="hatched"),
            ]
            self._changed = Chart(visit, say("history.changed"), files, "count", is_bars=True)

    def show(self, snapshots: Sequence[Snapshot]) -> None:
        """Show these, newest first as they come from the list. The first one of all brought everything: left out."""
        shown = tuple(snapshot.id for snapshot in snapshots)
        if shown == self._shown:
            return
        self._shown = shown
        later = [snapshot for snapshot in reversed(snapshots) if snapshot.kind != "full"]
        components.dress(self._box, "history" if len(later) >= FEWEST else "history hidden")
        counted = [snapshot for snapshot in later if snapshot.changed_files_count is not None]
        self._fill(self._added, later, {"added": [float(each.added_bytes) for each in later]})
        bars = {
            "changed": [float(each.changed_files_count or 0) for each in counted],
            "new": [float(each.new_files_count or 0) for each in counted],
        }
        self._fill(self._changed, counted, bars)
        components.dress(self._changed.box, "measure" if len(counted) >= FEWEST else "hidden")

    def _fill(self, chart: Chart, snapshots: Sequence[Snapshot], bars: Mapping[str, Sequence[float]]) -> None:
        """Draw a bar for each snapshot, named by its day; its tip tells the time."""
        words = self._visit.words
        days = [words.midnight(words.local(snapshot.started_at).date()) for snapshot in snapshots]
        chart.show_bars(days, bars, DAY, [words.exact(snapshot.started_at) for snapshot in snapshots])
