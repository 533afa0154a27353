"""Months side by side, the oldest first, in which days are marked."""

from __future__ import annotations

from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.ui.words import Words

MONTHS_IN_YEAR = 12


class Mark(msgspec.Struct, frozen=True):
    """How a day looks, by a key of the legend, and what is told of it."""

    key: str
    told: str
    is_mixed: bool = False  # something of the day goes


def drawn(
    words: Words, marks: Mapping[date, Mark], legend: Mapping[str, str], label: str, today: date, shown_days: int
) -> str:
    """Return the months as HTML from the oldest mark of the `shown_days` before `today` on; empty without a mark.

    `legend`: the sentence of each key, in order; only those that appear are named. `label`: all of it, in one sentence.
    """
    if not marks:
        return ""
    first = max(min(marks), today - timedelta(days=shown_days - 1))
    number = (today.year - first.year) * MONTHS_IN_YEAR + today.month - first.month
    keys = {mark.key for mark in marks.values()} | {"mixed" for mark in marks.values() if mark.is_mixed}
    named = "".join(
        f'<li><span class="key {key}"></span>{escape(words.say(sentence))}</li>'
        for key, sentence in legend.items()
        if key in keys
    )
    months = "".join(_month(words, _back(today, back), marks, today) for back in range(number, -1, -1))
    said = escape(label, quote=True)
    return f'<ul class="keys">{named}</ul><div class="calendar" role="img" aria-label="{said}">{months}</div>'


def day(words: Words, moment: date) -> str:
    """Return a date in words."""
    month = words.say("time.months").split()[moment.month - 1]
    return words.say("policy.date", day=moment.day, month=month, year=moment.year)


def _back(today: date, months: int) -> date:
    index = today.year * MONTHS_IN_YEAR + today.month - 1 - months
    return date(index // MONTHS_IN_YEAR, index % MONTHS_IN_YEAR + 1, 1)


def _month(words: Words, first: date, marks: Mapping[date, Mark], today: date) -> str:
    name = f"{words.say('time.months').split()[first.month - 1]} {first.year}"
    cells = ["<i></i>"] * first.weekday()
    each = first
    while each.month == first.month:
        cells.append(_cell(words, each, marks.get(each), is_future=each > today))
        each += timedelta(days=1)
    return f'<div class="month"><b>{escape(name)}</b>{"".join(cells)}</div>'


def _cell(words: Words, each: date, mark: Mark | None, *, is_future: bool) -> str:
    if mark is None:
        return f"<i{' class=future' if is_future else ''}>{each.day}</i>"
    told = words.listing([day(words, each), mark.told])
    classes = f"{mark.key} mixed" if mark.is_mixed else mark.key
    return f'<i class="{classes}" title="{escape(told, quote=True)}">{each.day}</i>'
