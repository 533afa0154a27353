"""The editor's "when": a simple choice or cron, in which zone, and the next five runs there."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from nicegui import ui

from saveos import clock
from saveos.errors import InvalidRequest
from saveos.policies import due
from saveos.policies.terms import check_schedule
from saveos.ui import components, policy_words
from saveos.ui.schedule_plan import EVERY_DAY, LAST_DAY, LAST_HOUR, LAST_MINUTE, Pace, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft
    from saveos.ui.words import Words

RUNS = 5
ZONES = "zones"
PACES = {
    Pace.OFF: "schedule.off",
    Pace.HOURLY: "schedule.hourly",
    Pace.DAILY: "schedule.daily",
    Pace.WEEKLY: "schedule.weekly",
    Pace.MONTHLY: "schedule.monthly",
    Pace.CRON: "schedule.cron",
}


class ScheduleEditor:
    """Changes the draft's plan and time zone."""

    def __init__(self, visit: Visit, draft: Draft, on_change: Callable[[], None]) -> None:
        """Draw it."""
        self._visit, self._draft, self._on_change = visit, draft, on_change
        self._shown: object = None
        say = visit.say
        paces = {pace.value: say(sentence) for pace, sentence in PACES.items()}
        with components.element("div", "schedule-line"):
            self._pace = components.Select(say("schedule.pace"), paces, draft.plan.pace.value, self._choose_pace)
            self._parts = components.element("div", "schedule-parts")
        self.error = components.text("p", "", "field-error", role="alert")
        self._said = components.text("p", "", "strong said", aria_live="polite")
        zone = components.Field(
            say("policy.zone"), value=draft.time_zone, hint=say("policy.zone_hint"), list=ZONES, maxlength=255
        )
        ui.html(f'<datalist id="{ZONES}">{_zones()}</datalist>', sanitize=False)
        zone.on_change(lambda: self._take_zone(zone.value))
        self.zone_error = zone.error
        components.text("h3", say("policy.runs"))
        self._where = components.text("p", "", "hint")
        self._runs = components.element("ol", "runs")
        self._draw_parts()

    def show(self, host_zone: str) -> None:
        """Show the next runs in the policy's zone, else that of the host looked at."""
        words, plan = self._visit.words, self._draft.plan
        zone = _zone(self._draft.time_zone.strip()) or _zone(host_zone) or ZoneInfo("UTC")
        runs = _runs(plan.schedule, zone.key)
        shown = (plan, zone.key, tuple(runs))
        if shown == self._shown:
            return
        self._shown = shown
        self._said.show("" if self._draft.is_dayless else _said(words, plan.schedule))
        self._where.show(words.say("policy.runs_in", zone=zone.key) if runs else words.say("policy.runs_none"))
        self._runs.clear()
        with self._runs:
            for run in runs:
                components.text("li", _run(words, run.astimezone(zone)), "num")

    def point_out(self, problem: str) -> None:
        """Say what is wrong with the schedule."""
        self.error.show(problem)

    def _choose_pace(self) -> None:
        draft, pace = self._draft, Pace(self._pace.value)
        cron = draft.plan.schedule or draft.plan.cron
        draft.plan = msgspec.structs.replace(draft.plan, pace=pace, cron=cron)
        self._draw_parts()
        self._changed()

    def _refuse(self, part: str, box: components.Field, problem: str) -> None:
        box.error.show(problem)
        self._draft.unreadable.add(part)
        self._on_change()

    def _change(self, **parts: Any) -> None:
        self._draft.unreadable -= set(parts)
        self._draft.plan = msgspec.structs.replace(self._draft.plan, **parts)
        self._changed()

    def _changed(self) -> None:
        self.error.show("")
        self._on_change()

    def _draw_parts(self) -> None:
        plan = self._draft.plan
        self._draft.unreadable.clear()  # all is drawn as it is known
        self._parts.clear()
        with self._parts:
            if plan.pace is Pace.HOURLY:
                self._number("schedule.minute", plan.minute, 0, LAST_MINUTE, "minute")
            if plan.pace is Pace.MONTHLY:
                self._number("schedule.day", plan.day, 1, LAST_DAY, "day")
            if plan.pace in (Pace.DAILY, Pace.WEEKLY, Pace.MONTHLY):
                self._time()
            if plan.pace is Pace.WEEKLY:
                self._weekdays()
            if plan.pace is Pace.CRON:
                self._cron()

    def _number(self, label: str, value: int, least: int, most: int, part: str) -> None:
        box = components.Field(self._visit.say(label), value=str(value), type="number", min=least, max=most)

        def take() -> None:
            if box.value.isascii() and box.value.isdigit() and least <= int(box.value) <= most:
                self._change(**{part: int(box.value)})
            else:
                self._refuse(part, box, self._visit.say("schedule.between", least=least, most=most))

        box.on_change(take)

    def _time(self) -> None:
        plan = self._draft.plan
        box = components.Field(
            self._visit.say("schedule.time"), value=f"{plan.hour:02d}:{plan.minute:02d}", type="time", required=True
        )

        def take() -> None:
            hour, _, minute = box.value[:5].partition(":")
            if hour.isdigit() and minute.isdigit() and int(hour) <= LAST_HOUR and int(minute) <= LAST_MINUTE:
                self._change(hour=int(hour), minute=int(minute))
            else:
                self._refuse("hour", box, self._visit.say("policy.why_empty"))

        box.on_change(take)

    def _weekdays(self) -> None:
        names = self._visit.say("schedule.short_days").split()
        with components.element("fieldset", "weekdays"):
            components.text("legend", self._visit.say("schedule.weekdays"))
            for day in EVERY_DAY:
                with components.element("label", "choice"):
                    box = components.element("input", type="checkbox")
                    if day in self._draft.plan.weekdays:
                        box.props["checked"] = True
                    box.on("change", self._toggle(day), js_handler="(event) => emit(event.target.checked)")
                    components.text("span", names[day - 1])

    def _toggle(self, day: int) -> Callable[[Any], None]:
        def toggle(event: Any) -> None:
            others = set(self._draft.plan.weekdays) - {day}
            self._change(weekdays=tuple(sorted(others | {day} if event.args else others)))

        return toggle

    def _cron(self) -> None:
        say = self._visit.say
        box = components.Field(
            say("schedule.cron_text"), value=self._draft.plan.cron, hint=say("schedule.cron_hint"), maxlength=255
        )

        def take() -> None:
            # what becomes simple keeps its parts for the other paces; the choice stays cron while it is typed
            known = plan_of(box.value, self._draft.plan)
            self._draft.plan = msgspec.structs.replace(known, pace=Pace.CRON, cron=" ".join(box.value.split()))
            self._changed()

        box.on_change(take)

    def _take_zone(self, name: str) -> None:
        self._draft.time_zone = name
        self._on_change()


@lru_cache
def _zones() -> str:
    """Return the names to choose from as HTML; they are read from files."""
    return "".join(f'<option value="{name}">' for name in sorted(available_timezones()) if "/" in name)


def _said(words: Words, schedule: str) -> str:
    try:
        check_schedule(schedule)
    except InvalidRequest:
        return ""
    return policy_words.schedule(words, schedule)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, KeyError):
        return None


def _runs(schedule: str, zone: str) -> list[datetime]:
    try:
        return due.next_runs(schedule, zone, clock.now(), RUNS)
    except InvalidRequest:
        return []


def _run(words: Words, local: datetime) -> str:
    day = words.say("schedule.short_days").split()[local.weekday()]
    month = words.say("time.months").split()[local.month - 1]
    return words.say("policy.run", weekday=day, day=local.day, month=month, time=f"{local:%H:%M}")
