"""For how long what retention removes can be brought back: checkpoints of repositories, and what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.repositories import keeping
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit


class Quarantine:
    """A section of the settings."""

    def __init__(self, visit: Visit, typed: str | None) -> None:
        """Draw it; how it stands comes with `refresh`. `typed`: what stood in the field before it was drawn anew."""
        self._visit, self._days, self.typed = visit, -1, typed
        say = visit.say
        self._may = visit.principal.may(Permission.SETTINGS)
        with components.element("section"):
            components.text("h2", say("protection.quarantine"))
            components.text("p", say("protection.quarantine_lead"), "muted")
            self._now = components.text("p", "", "strong num", aria_live="polite")
            form = components.element("form", "inline-form" if self._may else "inline-form hidden", novalidate=True)
            components.on_submit(form, visit.doing(self._choose))
            with form:
                self._field = components.Field(
                    say("protection.days"),
                    value=typed or "",
                    hint=say("protection.days_hint", most=keeping.DAYS_LIMIT),
                    inputmode="numeric",
                    autocomplete="off",
                    maxlength=3,
                )
                self._field.on_change(self._keep)
                label = f"{say('policy.save')}: {say('protection.quarantine')}"  # others on the page save, too
                components.text("button", say("policy.save"), "button", type="submit", aria_label=label)

    async def refresh(self) -> None:
        """Show for how long, and what is held."""
        days, held = await self._visit.ask(_look)
        words = self._visit.words
        kept = words.count("protection.keeps", days) if days else words.say("protection.keeps_none")
        self._now.show(words.listing([kept, words.say("protection.holds_now", size=words.size(held))]))
        if days != self._days:
            self._days = days
            if self.typed is None:
                self._field.put(str(days))

    def _keep(self) -> None:
        self.typed = self._field.value

    async def _choose(self) -> None:
        text = self._field.value.strip()
        if not (text.isascii() and text.isdigit() and int(text) <= keeping.DAYS_LIMIT):
            self._field.error.show(self._visit.say("protection.days_wrong", most=keeping.DAYS_LIMIT))
            return
        await self._visit.ask(keeping.choose_days, int(text))
        self.typed = None
        self._visit.notify(self._visit.say("settings.kept"))
        await self.refresh()


def _look(database: Database, principal: Principal) -> tuple[int, int]:
    return keeping.days(database, principal), keeping.held_bytes(database, principal)
