"""The last 24 hours of all hosts: a cell per host and hour, coloured and shaped by how the worst job then ended.

One element of ready-made markup, however many hosts there are: labelled rows of a few, a mosaic of many.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from saveos import clock
from saveos.jobs.model import State
from saveos.snapshots.day import HOURS, first_hour

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saveos.snapshots.day import Cell
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

LABELLED = 40  # more hosts than this are drawn without their names
BLOCK = 100  # hosts of a mosaic that stand under one another
ROW, THIN_ROW = 22, 4  # pixels
TITLED = 200  # failures of a mosaic that tell whose they are
NAMED = 5  # hosts whose failures are named in words
EVERY = 6  # hours between two labels
STATES = {
    State.DONE: "strip.done",
    State.CANCELLED: "strip.cancelled",
    State.WARNED: "strip.warned",
    State.FAILED: "strip.failed",
}
# Shapes in a cell of 10 by 10, as colour is not to be the only sign: a bar, two lines, a triangle, a cross on a block.
SHAPES = {
    State.DONE: "M1 3.5h8v3h-8z",
    State.CANCELLED: "M1 3.5h8v.9h-8zM1 5.6h8v.9h-8z",
    State.WARNED: "M1 9L5 1L9 9z",
    State.FAILED: "M1 1H9V9H1zM2.2 3.2L4 5L2.2 6.8L3.2 7.8L5 6L6.8 7.8L7.8 6.8L6 5L7.8 3.2L6.8 2.2L5 4L3.2 2.2z",
}
# In a mosaic, of a cell of 1 by 4: what is well is a thin line, what failed fills the cell.
THIN = {
    State.DONE: (0.1, 1.4, 0.8, 1.2),
    State.CANCELLED: (0.35, 1.4, 0.3, 1.2),
    State.WARNED: (0.1, 0.4, 0.45, 3.2),
    State.FAILED: (0.0, 0.0, 1.0, 4.0),
}

Host = tuple[str, str]  # agent id, hostname


class Strip:
    """The drawing and its words."""

    def __init__(self, visit: Visit) -> None:
        """Draw nothing yet."""
        self._visit = visit
        self._shown: object = None
        self._place = ui.html("", sanitize=False).classes("strip-place")

    def show(self, hosts: Sequence[Host], cells: Iterable[Cell]) -> None:
        """Show these hosts in their order; cells of others are left out."""
        words, start = self._visit.words, first_hour(clock.now())
        shown = (tuple(hosts), tuple(cells), start, words.language, words.zone_name)
        if shown != self._shown:
            self._shown = shown
            self._place.set_content(markup(words, shown[0], shown[1], start))


def markup(words: Words, hosts: Sequence[Host], cells: Sequence[Cell], start: datetime) -> str:
    """Return the strip; `start` is when the first of its 24 hours begins."""
    places = {agent_id: place for place, (agent_id, _name) in enumerate(hosts)}
    known = [(places[agent_id], hour, state) for agent_id, hour, state in cells if agent_id in places]
    summary = f'<p class="hidden-label">{escape(_summary(words, hosts, known))}</p>'
    drawn = _rows(words, hosts, known, start) if len(hosts) <= LABELLED else _mosaic(words, hosts, known, start)
    return f'<div class="strip">{summary}{drawn}{_legend(words, is_thin=len(hosts) > LABELLED)}</div>'


def _rows(words: Words, hosts: Sequence[Host], known: Sequence[tuple[int, int, State]], start: datetime) -> str:
    names = "".join(
        f'<a href="/agents/{escape(agent_id)}" title="{escape(name)}">{escape(name)}</a>' for agent_id, name in hosts
    )
    marks = []
    for place, hour, state in known:
        told = _told(words, hosts[place][1], state, start + timedelta(hours=hour))
        marks.append(
            f'<svg x="{hour * 10}" y="{place * 10}" width="10" height="10" viewBox="0 0 10 10"'
            f' preserveAspectRatio="none" class="{state.value}"><title>{escape(told)}</title>'
            f'<rect width="10" height="10" class="hit"/><path d="{SHAPES[state]}" fill-rule="evenodd"/></svg>'
        )
    lines = "".join(f"M0 {place * 10}H240" for place in range(len(hosts) + 1))
    return (
        f'<div class="strip-rows"><div class="strip-names">{names}</div>'
        f'<div><svg class="strip-cells" viewBox="0 0 240 {len(hosts) * 10}" preserveAspectRatio="none"'
        f' style="height:{len(hosts) * ROW}px" aria-hidden="true"><path d="{lines}" class="strip-lines"/>'
        f"{''.join(marks)}</svg>{_hours(words, start)}</div></div>"
    )


def _mosaic(words: Words, hosts: Sequence[Host], known: Sequence[tuple[int, int, State]], start: datetime) -> str:
    paths: list[dict[State, list[str]]] = [{} for _ in range(0, len(hosts), BLOCK)]
    titled: list[list[str]] = [[] for _ in paths]
    failures = 0
    for place, hour, state in known:
        stroke = _thin(state, hour, place % BLOCK * THIN_ROW)
        failures += state is State.FAILED
        if state is State.FAILED and failures <= TITLED:
            told = escape(_told(words, hosts[place][1], state, start + timedelta(hours=hour)))
            titled[place // BLOCK].append(f'<path class="{state.value}" d="{stroke}"><title>{told}</title></path>')
        else:
            paths[place // BLOCK].setdefault(state, []).append(stroke)
    blocks = []
    for number, found in enumerate(paths):
        first = number * BLOCK
        last = min(first + BLOCK, len(hosts))
        drawn = "".join(f'<path class="{state.value}" d="{"".join(strokes)}"/>' for state, strokes in found.items())
        drawn += "".join(titled[number])
        told = words.say("strip.block", first=words.number(first + 1), last=words.number(last))
        height = (last - first) * THIN_ROW
        blocks.append(
            f'<div><svg class="strip-cells" viewBox="0 0 24 {height}" preserveAspectRatio="none"'
            f' style="height:{height}px" aria-hidden="true"><title>{escape(told)}</title>{drawn}</svg>'
            f"{_hours(words, start, is_short=len(paths) > 1)}</div>"
        )
    return f'<div class="strip-mosaic" style="--blocks:{len(paths)}">{"".join(blocks)}</div>'


def _thin(state: State, x: int, y: int) -> str:
    left, top, width, height = THIN[state]
    return f"M{x + left:g} {y + top:g}h{width:g}v{height:g}h-{width:g}z"


_THIN_SHAPES = {state: _thin(state, 0, 0) for state in THIN}


def _told(words: Words, host: str, state: State, begun: datetime) -> str:
    span = {"from": _hour(words, begun), "to": _hour(words, begun + timedelta(hours=1))}
    return words.say("strip.cell", host=host, state=words.say(STATES[state]), **span)


def _hours(words: Words, start: datetime, *, is_short: bool = False) -> str:
    """Return the labels under 24 cells: every six hours, or only the first where there is little room."""
    step = HOURS if is_short else EVERY
    labels = "".join(
        f'<span style="left:{hour / HOURS:.2%}">{_hour(words, start + timedelta(hours=hour))}</span>'
        for hour in range(0, HOURS, step)
    )
    now = f'<span class="last">{escape(words.say("strip.now"))}</span>'
    return f'<div class="strip-hours num" aria-hidden="true">{labels}{now}</div>'


def _hour(words: Words, moment: datetime) -> str:
    return f"{words.local(moment):%H:%M}"


def _legend(words: Words, *, is_thin: bool) -> str:
    """Name the marks, by the shapes that they have in the cells."""
    box, shapes = ("0 0 1 4", _THIN_SHAPES) if is_thin else ("0 0 10 10", SHAPES)
    items = "".join(
        f'<li><svg viewBox="{box}" preserveAspectRatio="none" class="{state.value}" aria-hidden="true">'
        f'<path d="{shapes[state]}" fill-rule="evenodd"/></svg>{escape(words.say(STATES[state]))}</li>'
        for state in (State.DONE, State.WARNED, State.FAILED)
    )
    return f'<ul class="legend strip-legend" aria-label="{escape(words.say("strip.legend"))}">{items}</ul>'


def _summary(words: Words, hosts: Sequence[Host], known: Sequence[tuple[int, int, State]]) -> str:
    if not known:
        return words.say("strip.nothing")
    counts = {state: sum(found is state for _place, _hour, found in known) for state in STATES}
    failing = sorted({hosts[place][1] for place, _hour, state in known if state is State.FAILED})
    told = words.say(
        "strip.summary",
        hosts=words.number(len(hosts)),
        failed=words.number(counts[State.FAILED]),
        warned=words.number(counts[State.WARNED]),
        done=words.number(counts[State.DONE]),
    )
    names = ", ".join(failing[:NAMED]) + (" …" if len(failing) > NAMED else "")
    return f"{told} {words.say('strip.summary_failed', names=names)}" if failing else told
