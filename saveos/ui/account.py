"""The account menu: language and theme at hand, the way to the profile, sign out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.identity import sessions
from saveos.locale import LANGUAGES
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.ui.frame import Visit

NAMES = {"en": "English", "fr": "Français"}
THEMES = {"system": "account.system", "light": "account.light", "dark": "account.dark"}


def menu(visit: Visit) -> None:
    """Draw the button in the header and what opens under it."""
    Menu(visit)


class Menu:
    """The reader's own matters."""

    def __init__(self, visit: Visit) -> None:
        """Draw it closed."""
        self._visit = visit
        say = visit.say
        named = f"{say('account.title')}: {visit.principal.name}"
        with components.button("", None, "quiet account", aria_haspopup="dialog", aria_label=named):
            components.text("span", visit.principal.name, "account-name")
            components.element("span", "avatar", data_letter=visit.principal.name[:1].upper(), aria_hidden="true")
            with ui.menu().props('anchor="bottom right" self="top right"').classes("account-menu") as opened:
                opened.props["aria-label"] = say("account.title")
                opened.props["role"] = "dialog"
                components.text("p", visit.principal.name, "muted whole")
                self._switch("account.language", {code: NAMES[code] for code in LANGUAGES}, visit.words.language)
                themes = {theme: say(THEMES[theme]) for theme in THEMES}
                self._switch("account.theme", themes, visit.principal.theme)
                components.link(say("profile.title"), "/profile", "button quiet wide")
                components.button(say("action.sign_out"), visit.doing(self._sign_out), "quiet wide")

    def _switch(self, key: str, options: dict[str, str], value: str) -> None:
        change = set_language if key == "account.language" else set_theme
        with components.element("fieldset", "switch"):
            components.text("legend", self._visit.say(key))
            with components.element("div", "switch-row"):
                chosen = self._visit.doing(lambda option: change(self._visit, option))
                components.radios(key.partition(".")[2], options, value, chosen)

    async def _sign_out(self) -> None:
        await self._visit.ask(sessions.sign_out)
        self._visit.leave("/logout")


async def set_language(visit: Visit, language: str) -> None:
    """Speak another language from now on; the page is drawn anew."""
    await visit.prefer(language=language)
    if visit.frame is not None:
        await visit.frame.switch(language)


async def set_theme(visit: Visit, theme: str) -> None:
    """Look otherwise from now on."""
    await visit.prefer(theme=theme)
    if visit.frame is not None:
        visit.frame.wear(theme)
