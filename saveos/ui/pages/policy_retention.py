"""The editor's "how long": five numbers, and a calendar of what a host would still hold today."""

from __future__ import annotations

from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from saveos.errors import InvalidRequest
from saveos.policies import retention
from saveos.policies.retention import SHOWN_DAYS, Calendar, KeptDay, Rule
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft
    from saveos.ui.words import Words

FIELDS = {
    "hourly": "policy.keep_hourly",
    "daily": "policy.keep_daily",
    "weekly": "policy.keep_weekly",
    "monthly": "policy.keep_monthly",
    "yearly": "policy.keep_yearly",
}
LEGEND = {
    Rule.HOURLY: "policy.by_hour",
    Rule.DAILY: "policy.by_day",
    Rule.WEEKLY: "policy.by_week",
    Rule.MONTHLY: "policy.by_month",
    Rule.YEARLY: "policy.by_year",
    Rule.ALL: "policy.by_all",
}
MONTHS_IN_YEAR = 12


class RetentionEditor:
    """Changes the draft's numbers."""

    def __init__(self, visit: Visit, draft: Draft, on_change: Callable[[], None]) -> None:
        """Draw it."""
        self._visit, self._draft, self._on_change = visit, draft, on_change
        self._shown: object = None
        self._boxes: dict[str, components.Field] = {}
        with components.element("div", "keep"):
            for rule, sentence in FIELDS.items():
                self._draw_field(rule, visit.say(sentence))
        self.error = components.text("p", "", "field-error", role="alert")
        self._sum = components.text("p", "", "strong said", aria_live="polite")
        self._note = components.text("p", visit.say("policy.calendar_note"), "hint")
        self._calendar = ui.html("", sanitize=False).classes("calendar-place")

    def show(self, today: date) -> None:
        """Show the calendar of what is typed, if it has changed. `today`: the host's date."""
        kept, schedule = self._draft.retention, self._draft.plan.schedule
        shown = (kept, schedule, today)
        if kept is None or shown == self._shown:
            return
        self._shown = shown
        try:
            calendar = retention.calendar(schedule, kept, today)
        except InvalidRequest:
            calendar = Calendar()
        words = self._visit.words
        self._sum.show(summary(words, calendar))
        components.dress(self._note, "hint" if calendar.days else "hidden")
        self._calendar.set_content(drawn(words, calendar, today))

    def point_out(self, problem: str) -> None:
        """Say what is wrong, at the numbers that are none."""
        self.error.show(problem)
        for rule in self._draft.wrong_rules:
            components.put(self._boxes[rule].input, "aria-invalid", "true")

    def _draw_field(self, rule: str, label: str) -> None:
        box = components.Field(
            label, value=self._draft.keep[rule], type="number", min=0, max=10_000, inputmode="numeric"
        )
        self._boxes[rule] = box

        def take() -> None:
            self._draft.keep[rule] = box.value
            self.error.show("")
            self._on_change()

        box.on_change(take)


def summary(words: Words, calendar: Calendar) -> str:
    """Return in words how much is kept, and how far back it reaches."""
    if not calendar.days or calendar.oldest is None:
        return words.say("policy.calendar_none")
    if calendar.days[0].rule is Rule.ALL:
        return words.say("policy.calendar_all")
    oldest = _day(words, calendar.oldest)
    if calendar.is_open:
        return words.count("policy.calendar_open", calendar.count, oldest=oldest)
    return words.count("policy.calendar_sum", calendar.count, oldest=oldest)


def drawn(words: Words, calendar: Calendar, today: date) -> str:
    """Return the months as HTML, the oldest first, with a legend of the rules that appear."""
    if not calendar.days:
        return ""
    kept = {day.day: day for day in calendar.days}
    first = max(min(kept), today - timedelta(days=SHOWN_DAYS - 1))
    number = (today.year - first.year) * MONTHS_IN_YEAR + today.month - first.month
    months = [_back(today, back) for back in range(number, -1, -1)]
    rules = [rule for rule in LEGEND if any(day.rule is rule for day in calendar.days)]
    legend = "".join(f'<li><span class="key {rule}"></span>{escape(words.say(LEGEND[rule]))}</li>' for rule in rules)
    grids = "".join(_month(words, month, kept, today) for month in months)
    label = escape(summary(words, calendar), quote=True)
    return f'<ul class="keys">{legend}</ul><div class="calendar" role="img" aria-label="{label}">{grids}</div>'


def _back(today: date, months: int) -> date:
    index = today.year * MONTHS_IN_YEAR + today.month - 1 - months
    return date(index // MONTHS_IN_YEAR, index % MONTHS_IN_YEAR + 1, 1)


def _month(words: Words, first: date, kept: dict[date, KeptDay], today: date) -> str:
    name = f"{words.say('time.months').split()[first.month - 1]} {first.year}"
    cells = ["<i></i>"] * first.weekday()
    day = first
    while day.month == first.month:
        cells.append(_cell(words, day, kept.get(day), is_future=day > today))
        day += timedelta(days=1)
    return f'<div class="month"><b>{escape(name)}</b>{"".join(cells)}</div>'


def _cell(words: Words, day: date, kept: KeptDay | None, *, is_future: bool) -> str:
    if kept is None:
        return f"<i{' class=future' if is_future else ''}>{day.day}</i>"
    told = words.listing([_day(words, day), words.say(LEGEND[kept.rule])])
    return f'<i class="{kept.rule}" title="{escape(told, quote=True)}">{day.day}</i>'


def _day(words: Words, day: date) -> str:
    month = words.say("time.months").split()[day.month - 1]
    return words.say("policy.date", day=day.day, month=month, year=day.year)
