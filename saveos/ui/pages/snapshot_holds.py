"""What keeps a snapshot, on its page: the pin, legal holds and who lets them go, and what is over."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission
from saveos.snapshots import hold_release, holds
from saveos.snapshots.model import Hold, HoldKind
from saveos.ui import components, hold_words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from saveos.ui.frame import Visit

MORE = {"hold.ask": "hold.ask_more", "hold.agree": "hold.agree_more"}
ERRORS = {"reason": "hold.why_reason", "until": "hold.why_until"}


class Holds:
    """The section of a snapshot's page."""

    def __init__(self, visit: Visit, snapshot_id: str) -> None:
        """Draw it empty, with the dialogs behind its buttons."""
        self._visit, self._id = visit, snapshot_id
        self._shown: object = None
        self._pin: Hold | None = None
        say, may = visit.say, visit.principal.may
        self._placing = Placing(visit, self._place)
        self._asking = Asking(visit)
        with components.element("section", "part"):
            components.text("h2", say("hold.title"))
            self._none = components.text("p", say("hold.none"), "muted")
            self._list = components.element("ul", "holds", aria_live="polite")
            with components.element("div", "row"):
                press = visit.doing(self._press_pin)
                self._pin_button = components.button("", press, "" if may(Permission.BACK_UP) else "hidden")
                if may(Permission.HOLDS):
                    components.button(say("hold.place"), self._placing.open)

    async def refresh(self) -> None:
        """Show what keeps the snapshot now."""
        found, now = await self._visit.ask(holds.of_snapshot, self._id), clock.now()
        current = [hold for hold in found if hold.is_in_force_at(now)]
        past = [hold for hold in found if not hold.is_in_force_at(now)]
        shown = (current, past)
        if shown == self._shown or self._list.is_deleted:
            return
        self._shown = shown
        self._pin = next((hold for hold in current if hold.kind is HoldKind.PIN), None)
        self._pin_button.show(self._visit.say("hold.unpin" if self._pin else "hold.pin_it"))
        components.dress(self._none, "muted" if not current else "hidden")
        self._list.clear()
        with self._list:
            for hold in current:
                self._draw_current(hold)
            for hold in past:
                self._draw_past(hold, now)

    def _draw_current(self, hold: Hold) -> None:
        words = self._visit.words
        with components.element("li", "hold"):
            with components.element("div"):
                components.text("p", words.say(hold_words.KINDS[hold.kind]), "strong")
                if hold.reason:
                    components.text("p", hold.reason)
                components.text("p", hold_words.placed(words, hold), "sub")
                if hold.release_asked_at is not None:
                    who, when = hold_words.who(words, hold.release_asked_by), words.exact(hold.release_asked_at)
                    components.text("p", words.say("hold.asked", who=who, when=when), "notice")
            with components.element("div", "row"):
                self._draw_acts(hold)

    def _draw_past(self, hold: Hold, now: datetime) -> None:
        words = self._visit.words
        with components.element("li", "hold past"), components.element("div"):
            title = words.listing([words.say(hold_words.KINDS[hold.kind]), hold.reason])
            components.text("p", title, "muted")
            components.text(
                "p", words.listing([hold_words.placed(words, hold), hold_words.over(words, hold, now)]), "sub"
            )

    def _draw_acts(self, hold: Hold) -> None:
        principal = self._visit.principal
        if hold.kind is HoldKind.PIN:
            return  # the button below is its own
        if hold.kind is HoldKind.ANOMALY:
            if principal.may(Permission.BACK_UP):
                self._button("hold.release", self._doing(hold_release.release, hold))
        elif principal.may(Permission.HOLDS):
            if hold.release_asked_at is None:
                self._button("hold.ask", self._asked_first("hold.ask", hold_release.release, hold))
                return
            if hold.release_asked_id != principal.id:
                self._button("hold.agree", self._asked_first("hold.agree", hold_release.confirm, hold))
            self._button("hold.withdraw", self._doing(hold_release.withdraw, hold))

    def _button(self, sentence: str, action: Callable[[], object]) -> None:
        components.button(self._visit.say(sentence), action, "small")

    def _asked_first(self, sentence: str, verb: Callable[..., Hold], hold: Hold) -> Callable[[], None]:
        return lambda: self._asking.open(sentence, self._doing(verb, hold))

    def _doing(self, verb: Callable[..., Hold], hold: Hold) -> Callable[[], Awaitable[None]]:
        async def act() -> None:
            await self._visit.change(verb, self._id, hold.id)
            await self.refresh()

        return self._visit.doing(act)

    async def _press_pin(self) -> None:
        if self._pin is not None:
            await self._visit.change(hold_release.release, self._id, self._pin.id)
        else:
            await self._visit.change(holds.pin, self._id)
        await self.refresh()

    async def _place(self, reason: str, until: datetime | None) -> None:
        await self._visit.change(holds.place, self._id, reason, until)
        await self.refresh()


class Placing:
    """The dialog of a legal hold: why, and up to when."""

    def __init__(self, visit: Visit, on_place: Callable[[str, datetime | None], Awaitable[None]]) -> None:
        """Draw it closed."""
        self._visit, self._on_place = visit, on_place
        say = visit.say
        self._dialog, body = components.dialog(say("hold.place_title"), say("action.close"))
        with body, components.element("form", "provision-hosts") as form:
            components.text("p", say("hold.place_more"), "muted")
            self._reason = components.Field(say("hold.reason"), maxlength=holds.REASON_LENGTH, autocomplete="off")
            self._end = components.Field(say("hold.end"), hint=say("hold.end_hint"), type="date")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                components.text("button", say("hold.place_now"), "button primary", type="submit")
        components.on_submit(form, visit.doing(self._go))

    def open(self) -> None:
        """Ask."""
        for field in (self._reason, self._end):
            field.put("")
            field.error.show("")
        self._dialog.open()

    async def _go(self) -> None:
        try:
            await self._try()
        except InvalidRequest as error:
            field = self._end if error.context.get("field") == "until" else self._reason
            field.error.show(self._visit.say(ERRORS[str(error.context.get("field"))]))
            return
        self._dialog.close()

    async def _try(self) -> None:
        until = None
        if typed := self._end.value.strip():
            try:
                day = date.fromisoformat(typed) + timedelta(days=1)  # the day itself is held
                until = self._visit.words.midnight(day)
            except (ValueError, OverflowError) as error:
                message = "This is no day."
                raise InvalidRequest(message, field="until") from error
        await self._on_place(self._reason.value, until)


class Asking:
    """The dialog before an administrator asks for the end of a legal hold, or agrees to it."""

    def __init__(self, visit: Visit) -> None:
        """Draw it closed."""
        self._visit = visit
        self._action: Callable[[], Awaitable[None]] | None = None
        say = visit.say
        self._dialog, body = components.dialog(say("hold.end_title"), say("action.close"))
        with body:
            self._more = components.text("p")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                self._go = components.button("", visit.doing(self._do), "primary danger")

    def open(self, sentence: str, action: Callable[[], Awaitable[None]]) -> None:
        """Ask. `sentence`: of the button, as in `MORE`, which explains it."""
        self._action = action
        self._more.show(self._visit.say(MORE[sentence]))
        self._go.show(self._visit.say(sentence))
        self._dialog.open()

    async def _do(self) -> None:
        self._dialog.close()
        if self._action is not None:
            await self._action()
