"""The editor's "how long": a span, five numbers, and a calendar of what a host would still hold today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.errors import InvalidRequest
from saveos.policies import retention
from saveos.policies.retention import SHOWN_DAYS, Calendar, Rule
from saveos.ui import calendar as months
from saveos.ui import components
from saveos.ui.calendar import Mark
from saveos.ui.pages.policy_draft import MOST, UNITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

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
    Rule.WITHIN: "retention.by_span",
    Rule.HOURLY: "policy.by_hour",
    Rule.DAILY: "policy.by_day",
    Rule.WEEKLY: "policy.by_week",
    Rule.MONTHLY: "policy.by_month",
    Rule.YEARLY: "policy.by_year",
    Rule.ALL: "policy.by_all",
}
UNIT_NAMES = {"days": "retention.days", "hours": "retention.hours"}


class RetentionEditor:
    """Changes the draft's numbers."""

    def __init__(self, visit: Visit, draft: Draft, on_change: Callable[[], None]) -> None:
        """Draw it."""
        self._visit, self._draft, self._on_change = visit, draft, on_change
        self._shown: object = None
        self._boxes: dict[str, components.Field] = {}
        with components.element("div", "keep span"):
            self._draw_span()
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

    def _draw_span(self) -> None:
        say, draft = self._visit.say, self._draft
        self._boxes["within"] = components.Field(
            say("retention.span"), value=draft.span, hint=say("retention.span_hint"), type="number", min=0
        )
        units = {unit: say(UNIT_NAMES[unit]) for unit in UNITS}
        label = say("retention.unit")
        self._unit = components.Select(label, units, draft.span_unit, self._take_span, is_label_hidden=True)
        self._boxes["within"].on_change(self._take_span)

    def _take_span(self) -> None:
        self._draft.span, self._draft.span_unit = self._boxes["within"].value, self._unit.value
        self.error.show("")
        self._on_change()

    def point_out(self, problem: str) -> None:
        """Say what is wrong, at the numbers that are none."""
        self.error.show(problem)
        for rule in self._draft.wrong_rules:
            components.put(self._boxes[rule].input, "aria-invalid", "true")

    def _draw_field(self, rule: str, label: str) -> None:
        box = components.Field(label, value=self._draft.keep[rule], type="number", min=0, max=MOST, inputmode="numeric")
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
    oldest = months.day(words, calendar.oldest)
    if calendar.is_open:
        return words.count("policy.calendar_open", calendar.count, oldest=oldest)
    return words.count("policy.calendar_sum", calendar.count, oldest=oldest)


def drawn(words: Words, calendar: Calendar, today: date) -> str:
    """Return the months as HTML, the oldest first, with a legend of the rules that appear."""
    marks = {day.day: Mark(day.rule.value, words.say(LEGEND[day.rule])) for day in calendar.days}
    legend = {rule.value: sentence for rule, sentence in LEGEND.items()}
    return months.drawn(words, marks, legend, summary(words, calendar), today, SHOWN_DAYS)
