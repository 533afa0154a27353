"""How a host's files changed, in numbers: of one snapshot as facts, of the last ones as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots import anomaly
from saveos.snapshots.table_anomalies import RunState
from saveos.ui import alert_words, components
from saveos.ui.grid import Cell, Column, Grid, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.snapshots.table_anomalies import GuardRun
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

STATES = {
    RunState.CLEAN: "guard.clean",
    RunState.SUSPECT: "guard.suspect_short",
    RunState.MEANT: "guard.meant",
    RunState.APART: "guard.apart",
}
MOODS = {RunState.CLEAN: "good", RunState.SUSPECT: "bad", RunState.MEANT: "muted", RunState.APART: "muted"}


def facts(words: Words, known: GuardRun) -> dict[str, str]:
    """Return what is known of one snapshot, by the keys of its names."""
    found = known.run.facts
    entropy = found.changed.entropy or found.new.entropy
    return {
        "guard.verdict": words.say(STATES[known.state]),
        "guard.changed": _share(words, found.changed_files, anomaly.changed_rate(known.run)),
        "guard.new": words.number(found.new_files),
        "guard.gone": words.number(found.vanished_files) if found.vanished_files is not None else "",
        "guard.renamed": words.number(found.renamed_files) if found.vanished_files is not None else "",
        "guard.noise": _share(words, found.changed.random + found.new.random, anomaly.noise_rate(known.run)),
        "guard.entropy": words.number(entropy, 1) if entropy else "",
    }


def row(words: Words, known: GuardRun) -> Row:
    """Return a backup as a row."""
    told = facts(words, known)
    cells = {
        "when": Cell(text=words.exact(known.at), href=f"/snapshots/{known.snapshot_id}"),
        "verdict": Cell(text=told["guard.verdict"], mood=MOODS[known.state]),
    }
    for name in ("changed", "new", "gone", "noise", "entropy"):
        cells[name] = Cell(text=told[f"guard.{name}"] or "\N{EN DASH}")
    return Row(id=known.snapshot_id, cells=cells)


class Changes:
    """The section of a host's page."""

    def __init__(self, visit: Visit) -> None:
        """Draw it empty."""
        self._words, say = visit.words, visit.say
        columns = [
            Column("when", say("snapshot.when"), "when-cell"),
            Column("verdict", say("guard.verdict")),
            Column("changed", say("guard.changed"), "num"),
            Column("new", say("guard.new"), "num"),
            Column("gone", say("guard.gone"), "num"),
            Column("noise", say("guard.noise"), "num"),
            Column("entropy", say("guard.entropy"), "num"),
        ]
        with components.element("section", "part"):
            components.text("h2", say("guard.title"))
            self._grid = Grid(say("guard.title"), columns, kind="changes")
            self._note = components.text("p", say("guard.noise_more"), "hidden")
            self._none = components.text("p", say("guard.none"), "hidden")

    def show(self, runs: Sequence[GuardRun]) -> None:
        """Show these, newest first."""
        self._grid.show([row(self._words, known) for known in runs])
        components.dress(self._note, "muted sub" if runs else "hidden")
        components.dress(self._none, "hidden" if runs else "muted")


def _share(words: Words, count: int, fraction: float) -> str:
    if not count:
        return words.number(0)
    return words.say("guard.files_of", count=words.number(count), share=alert_words.share(words, fraction))
