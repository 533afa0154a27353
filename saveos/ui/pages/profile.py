"""/profile: how the reader likes the dashboard, their password, their API tokens, and where they are signed in."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from nicegui import Client, ui

from saveos.errors import InvalidRequest
from saveos.identity import passwords, profile
from saveos.identity.principals import Role
from saveos.locale import LANGUAGES
from saveos.ui import account, components, frame
from saveos.ui.pages.profile_access import Browsers, Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.ui.frame import Board, Visit

ROLES = {
    Role.ADMINISTRATOR: "profile.administrator",
    Role.OPERATOR: "profile.operator",
    Role.VIEWER: "profile.viewer",
}
ZONES = "zones"


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/profile")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, ProfilePage)


class ProfilePage(frame.Page):
    """The page of one reader."""

    title = "profile.title"

    def __init__(self, visit: Visit) -> None:
        """Nothing has been typed yet."""
        super().__init__(visit)
        self._password = Password(visit, self.refresh)
        self._tokens = Tokens(visit)
        self._browsers = Browsers(visit)

    def draw(self) -> None:
        """Draw the four parts."""
        visit, say = self.visit, self.visit.say
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("profile.title"))
            components.text("p", visit.words.listing([visit.principal.name, say(ROLES[visit.principal.role])]), "muted")
        with components.element("div", "profile"):
            self._draw_liking()
            self._password.draw()
            self._tokens.draw()
            self._browsers.draw()

    async def refresh(self) -> None:
        """Show tokens and sessions as they are now."""
        await self._tokens.refresh()
        await self._browsers.refresh()

    def _draw_liking(self) -> None:
        visit, say = self.visit, self.visit.say
        with components.element("section"):
            components.text("h2", say("profile.liking"))
            with components.element("div", "fields"):
                languages = {code: account.NAMES[code] for code in LANGUAGES}
                self._language = components.Select(
                    say("account.language"), languages, visit.words.language, visit.doing(self._set_language)
                )
                themes = {theme: say(key) for theme, key in account.THEMES.items()}
                self._theme = components.Select(
                    say("account.theme"), themes, visit.principal.theme, visit.doing(self._set_theme)
                )
                self._zone = components.Field(
                    say("profile.zone"),
                    value=visit.principal.time_zone,
                    hint=say("profile.zone_hint"),
                    list=ZONES,
                    autocomplete="off",
                    spellcheck="false",
                    maxlength=64,
                )
                self._zone.on_commit(visit.doing(self._set_zone))
            names = "".join(f'<option value="{escape(name)}">' for name in sorted(available_timezones()))
            ui.html(f'<datalist id="{ZONES}">{names}</datalist>', sanitize=False)  # one element instead of 600

    async def _set_language(self) -> None:
        await account.set_language(self.visit, self._language.value)

    async def _set_theme(self) -> None:
        await account.set_theme(self.visit, self._theme.value)
        self._draw_anew()

    async def _set_zone(self) -> None:
        try:
            await self.visit.prefer(time_zone=self._zone.value.strip())
        except InvalidRequest:
            self._zone.error.show(self.visit.say("profile.zone_wrong"))
            return
        self.visit.notify(self.visit.say("profile.zone_kept"))
        self._draw_anew()
        await self.refresh()

    def _draw_anew(self) -> None:
        if self.visit.frame is not None:
            self.visit.frame.draw()


class Password:
    """The form that changes it. What is typed outlives a drawing."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Nothing is typed."""
        self._visit, self._on_change = visit, on_change
        self._typed = ["", "", ""]

    def draw(self) -> None:
        """Draw it."""
        say = self._visit.say
        with components.element("section"):
            components.text("h2", say("profile.password"))
            components.text("p", say("profile.password_lead"), "muted")
            with components.element("form", "fields", novalidate=True) as form:
                components.on_submit(form, self._visit.doing(self._change))
                how: dict[str, Any] = {"type": "password", "maxlength": passwords.LONGEST}
                current, new, again = self._typed
                self._current = components.Field(
                    say("profile.current"), value=current, autocomplete="current-password", **how
                )
                self._new = components.Field(
                    say("profile.new"),
                    value=new,
                    hint=say("setup.length", count=passwords.SHORTEST),
                    autocomplete="new-password",
                    **how,
                )
                self._again = components.Field(say("profile.again"), value=again, autocomplete="new-password", **how)
                for field in (self._current, self._new, self._again):
                    field.on_change(self._keep)
                with components.element("div", "fields-foot"):
                    components.text("button", say("profile.change"), "button primary", type="submit")

    def _keep(self) -> None:
        self._typed = [self._current.value, self._new.value, self._again.value]

    async def _change(self) -> None:
        say = self._visit.say
        if self._new.value != self._again.value:
            self._again.error.show(say("setup.different"))
            return
        if not passwords.SHORTEST <= len(self._new.value) <= passwords.LONGEST:
            self._new.error.show(say("setup.length", count=passwords.SHORTEST))
            return
        try:
            count = await self._visit.ask(profile.change_password, self._current.value, self._new.value)
        except InvalidRequest:
            self._current.error.show(say("profile.current_wrong"))
            return
        for field in (self._current, self._new, self._again):
            field.put("")
        self._keep()
        told = [say("profile.changed"), self._visit.words.count("profile.ended", count) if count else ""]
        self._visit.notify(" ".join(filter(None, told)))
        await self._on_change()
