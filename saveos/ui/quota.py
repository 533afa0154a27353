"""How much of a limit is used, as a bar and in words, and the way to another limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos import sizes
from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission
from saveos.repositories.quota_model import LIMIT_BYTES, Quota, TenantUse
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.repositories.quota_model import HostUse
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

    Keep = Callable[[Quota], Awaitable[None]]


class UseBar:
    """Used of limit; without a limit there is no bar."""

    def __init__(self, visit: Visit, label: str) -> None:
        """`label`: whose storage it is, for those who do not see the bar."""
        self._words = visit.words
        self._text = components.text("p", "", "strong num")
        self._bar = components.Bar(label)
        components.put(self._bar, "role", "meter")
        self._more = components.text("p", "", "muted num")

    def show(self, use: HostUse | TenantUse) -> None:
        """Show it."""
        limit, told = use.hard_bytes or use.soft_bytes, used(self._words, use)
        self._text.show(told)
        self._more.show(more(self._words, use))
        components.put(self._bar, "aria-valuetext", told)
        self._bar.show(min(1.0, use.used_bytes / limit) if limit else 0.0)
        components.dress(self._bar, f"bar use {mood(use)}".strip() if limit else "hidden")


class QuotaEditor:
    """A button, and the dialog behind it with both limits; hidden from those who may not."""

    def __init__(self, visit: Visit, title: str, keep: Keep) -> None:
        """`keep`: takes the limits that were typed."""
        self._visit, self._keep, say = visit, keep, visit.say
        self._now = Quota()
        may = visit.principal.may(Permission.SETTINGS)
        components.button(say("quota.change"), self._open, "" if may else "hidden")
        if not may:
            return
        self._dialog, body = components.dialog(title, say("action.close"))
        with body:
            form = components.element("form", "dialog-form", novalidate=True)
            components.on_submit(form, visit.doing(self._take))
            with form:
                hint: dict[str, Any] = {"hint": say("quota.hint"), "autocomplete": "off", "maxlength": 40}
                self._hard = components.Field(say("quota.hard"), **hint)
                self._soft = components.Field(say("quota.soft"), **hint)
                with components.element("div", "dialog-actions"):
                    components.button(say("action.cancel"), self._dialog.close)
                    components.text("button", say("quota.keep"), "button primary", type="submit")

    def show(self, quota: Quota) -> None:
        """Begin with these limits when the dialog is opened next."""
        self._now = quota

    def _open(self) -> None:
        for field, size in ((self._hard, self._now.hard_bytes), (self._soft, self._now.soft_bytes)):
            field.put(typed(self._visit.words, size))
            field.error.show("")
        self._dialog.open()

    async def _take(self) -> None:
        found = {}
        for name, field in (("hard_bytes", self._hard), ("soft_bytes", self._soft)):
            try:
                found[name] = sizes.parse(field.value) or 0
            except ValueError:
                found[name] = -1
            if not 0 <= found[name] <= LIMIT_BYTES:
                self._point_out(field, "quota.wrong")
                return
        try:
            await self._keep(Quota(**found))
        except InvalidRequest:
            self._point_out(self._soft, "quota.order")
            return
        self._dialog.close()
        self._visit.notify(self._visit.say("quota.kept"))

    def _point_out(self, field: components.Field, sentence: str) -> None:
        field.error.show(self._visit.say(sentence))
        components.put(field.input, "aria-invalid", "true")


def used(words: Words, use: HostUse | TenantUse) -> str:
    """Say how much of the limit is used."""
    limit = use.hard_bytes or use.soft_bytes
    if not limit:
        return words.say("quota.no_limit", used=words.size(use.used_bytes))
    share = words.percent(use.used_bytes / limit)
    return words.say("quota.used", used=words.size(use.used_bytes), limit=words.size(limit), share=share)


def more(words: Words, use: HostUse | TenantUse) -> str:
    """Say what else there is to know: a full limit, from when on somebody is told, what quarantine holds."""
    held = "quota.quarantine_in" if isinstance(use, TenantUse) else "quota.quarantine"
    return words.listing(
        [
            words.say("quota.full") if use.hard_bytes and use.used_bytes >= use.hard_bytes else "",
            words.say("quota.told", limit=words.size(use.soft_bytes)) if use.soft_bytes else "",
            words.say(held, size=words.size(use.quarantine_bytes)) if use.quarantine_bytes else "",
        ]
    )


def mood(use: HostUse | TenantUse) -> str:
    """Return how bad it is: nothing, warn or bad."""
    if use.hard_bytes and use.used_bytes >= use.hard_bytes:
        return "bad"
    return "warn" if use.told_at and use.used_bytes >= use.told_at else ""


def typed(words: Words, size: int) -> str:
    """Return a size as somebody would type it, to the byte; empty for none."""
    units = words.say("size.units").split()
    if not size:
        return ""
    power = max(power for power in range(len(units)) if size % 1000**power == 0)
    return f"{size // 1000**power} {units[power]}"
