"""/agents/{id}/retention: what the retention of a host would remove now, as a calendar and one by one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.policies.due import zone_of
from saveos.policies.retention import SHOWN_DAYS, Rule
from saveos.snapshots import dry_run
from saveos.snapshots.model import Standing
from saveos.ui import calendar, components, frame, hold_words, policy_words
from saveos.ui.calendar import Mark
from saveos.ui.grid import Cell, Column, Grid, Row
from saveos.ui.pager import Pager
from saveos.ui.pages.policy_retention import LEGEND as RULES

if TYPE_CHECKING:
    from datetime import date

    from saveos.snapshots.dry_run import DryRun
    from saveos.snapshots.retention import Decided
    from saveos.ui.frame import Board, Visit
    from saveos.ui.words import Words

FRESH_SECONDS = 20.0  # a host may have thousands of snapshots, and nothing here moves fast
HELD, LAST, GOING, BAD = "held", "last", "going", "not-good"
LEGEND = {
    **{rule.value: sentence for rule, sentence in RULES.items()},
    HELD: "retention.by_hold",
    LAST: "retention.by_last",
    BAD: "retention.by_standing",
    GOING: "retention.goes",
    "mixed": "retention.mixed",
}
CHOICES = {"": "retention.all", "going": "retention.only_going", "kept": "retention.only_kept"}


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/agents/{agent_id}/retention")
    async def page(client: Client, agent_id: str) -> None:
        await frame.open_page(board, client, lambda visit: RetentionPage(visit, agent_id))


class RetentionPage(frame.Page):
    """The page of one reader about one host's retention."""

    title, section, missing = "retention.title", "agents", "agent.missing"

    def __init__(self, visit: Visit, agent_id: str) -> None:
        """Nothing is drawn until it is known that there is such a host."""
        super().__init__(visit)
        self._id = agent_id
        self._only = ""
        self._said: object = None
        self._drawn: object = None

    async def prepare(self) -> None:
        """Decide. Raises NotFound."""
        await self._look()

    def draw(self) -> None:
        """Draw what does not change by itself."""
        say, told = self.visit.say, self._told
        self._said = self._drawn = None
        self.visit.rename(f"{say('retention.title')}, {told.hostname}")
        components.link(f"← {told.hostname}", f"/agents/{self._id}", "back")
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("retention.of_host", host=told.hostname))
            self._sum = components.text("p", "", "strong num", aria_live="polite")
            components.text("p", say("retention.only_told"), "muted")
        self._policy = components.element("p", "muted")
        self._calendar = ui.html("", sanitize=False).classes("calendar-place part")
        self._older = components.text("p", "", "hint")
        components.text("h2", say("retention.each"))
        with components.element("div", "filters"):
            options = {key: say(sentence) for key, sentence in CHOICES.items()}
            label = say("retention.show")
            self._choice = components.Select(label, options, self._only, self.visit.doing(self._choose))
        columns = [
            Column("when", say("snapshot.when"), "when-cell"),
            Column("fate", say("retention.fate")),
            Column("why", say("retention.why"), "message-cell"),
        ]
        self._grid = Grid(say("retention.each"), columns, kind="fates")
        self._none = components.text("p", say("snapshot.none"), "muted hidden")
        self._pager = Pager(self.visit, self._show)

    async def refresh(self) -> None:
        """Decide anew, not too often, and show it."""
        if time.monotonic() - self._looked_at > FRESH_SECONDS:
            await self._look()
        await self._show()

    async def _look(self) -> None:
        self._told = await self.visit.ask(dry_run.look, self._id)
        self._looked_at = time.monotonic()

    async def _choose(self) -> None:
        self._only = self._choice.value
        self._pager.offset = 0
        await self._show()

    async def _show(self) -> None:
        words, told = self.visit.words, self._told
        self._sum.show(summary(words, told))
        self._show_policy()
        self._show_calendar()
        items = [each for each in told.items if not self._only or each.is_going == (self._only == "going")]
        self._pager.show(len(items))
        start = self._pager.offset
        self._grid.show([row(words, told, each) for each in items[start : start + self._pager.size]])
        components.dress(self._none, "muted" if not items else "hidden")

    def _show_policy(self) -> None:
        words, told = self.visit.words, self._told
        kept = policy_words.retention(words, told.retention)
        said = (told.policy_name, kept, told.time_zone)
        if said == self._said:
            return
        self._said = said
        self._policy.clear()
        with self._policy:
            components.link(told.policy_name, f"/policies/{told.policy_id}")
            keeps = words.say("policies.keeps", what=kept)
            components.text("span", f" · {words.listing([keeps, words.say('policy.runs_in', zone=told.time_zone)])}")

    def _show_calendar(self) -> None:
        words, told = self.visit.words, self._told
        if self._drawn == told.decided_at:
            return
        self._drawn = told.decided_at
        self._calendar.set_content(drawn(words, told))
        today = told.decided_at.astimezone(zone_of(told.time_zone)).date()
        older = sum((today - _day(told, each)).days >= SHOWN_DAYS for each in told.items)
        self._older.show(words.count("retention.older", older) if older else "")


def summary(words: Words, told: DryRun) -> str:
    """Say how many would go and how many stay."""
    going, kept = told.going_count, len(told.items) - told.going_count
    return words.listing([words.count("retention.going", going), words.count("retention.kept", kept)])


def drawn(words: Words, told: DryRun) -> str:
    """Return the calendar as HTML: each day by what keeps its newest snapshot that stays."""
    days: dict[date, list[Decided]] = {}
    for each in told.items:
        days.setdefault(_day(told, each), []).append(each)
    marks = {}
    for day, decided in days.items():
        staying = [each for each in decided if not each.is_going]
        key = _key(staying[0]) if staying else GOING
        gone = len(decided) - len(staying)
        told_of = [words.say(LEGEND[key])] if staying else []
        told_of += [words.count("retention.going", gone)] if gone else []
        marks[day] = Mark(key, words.listing(told_of), is_mixed=bool(staying and gone))
    today = told.decided_at.astimezone(zone_of(told.time_zone)).date()
    return calendar.drawn(words, marks, LEGEND, summary(words, told), today, SHOWN_DAYS)


def row(words: Words, told: DryRun, decided: Decided) -> Row:
    """Return a snapshot and its fate as a row."""
    snapshot = decided.snapshot
    why = [words.say(RULES[decided.rule])] if decided.rule else []
    why += hold_words.badges(words, told.holds.get(snapshot.id, ()))
    if decided.is_going:
        why = [words.say("retention.by_none")]
    elif decided.is_last and not why:
        why = [words.say("retention.by_last")]
    elif snapshot.standing is not Standing.GOOD:
        why = [words.say(hold_words.STANDINGS[snapshot.standing]), *why]
    when = Cell(text=words.exact(snapshot.started_at), href=f"/snapshots/{snapshot.id}")
    return Row(
        id=snapshot.id,
        cells={
            "when": when,
            "fate": _fate(words, decided),
            "why": Cell(text=words.listing(why)),
        },
    )


def _fate(words: Words, decided: Decided) -> Cell:
    if decided.is_going:
        return Cell(text=words.say("retention.goes"), mood="bad")
    if decided.snapshot.standing is not Standing.GOOD:
        return Cell(text=words.say("retention.left"), mood="muted")
    return Cell(text=words.say("retention.stays"), mood="good")


def _key(decided: Decided) -> str:
    if decided.snapshot.standing is not Standing.GOOD:
        return BAD
    if decided.rule is not None:
        return Rule(decided.rule).value
    return HELD if decided.is_held else LAST


def _day(told: DryRun, decided: Decided) -> date:
    return decided.snapshot.started_at.astimezone(zone_of(told.time_zone)).date()
