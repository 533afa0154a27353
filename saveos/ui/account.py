"""The account menu: language, theme, API tokens, sign out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.identity import sessions
from saveos.locale import LANGUAGES
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.identity.sessions import ApiToken
    from saveos.ui.frame import Visit

NAMES = {"en": "English", "fr": "Français"}
THEMES = {"system": "account.system", "light": "account.light", "dark": "account.dark"}
DARK = {"system": None, "light": False, "dark": True}


def menu(visit: Visit) -> None:
    """Draw the button in the header and what opens under it."""
    Menu(visit)


class Menu:
    """The reader's own matters."""

    def __init__(self, visit: Visit) -> None:
        """Draw it closed."""
        self._visit = visit
        self._dark = ui.dark_mode(DARK.get(visit.theme))
        self._tokens = Tokens(visit)
        say = visit.say
        named = f"{say('account.title')}: {visit.principal.name}"
        with components.button("", None, "quiet account", aria_haspopup="dialog", aria_label=named):
            components.text("span", visit.principal.name, "account-name")
            components.element("span", "avatar", data_letter=visit.principal.name[:1].upper(), aria_hidden="true")
            with ui.menu().props('anchor="bottom right" self="top right"').classes("account-menu") as self._menu:
                self._menu.props["aria-label"] = say("account.title")
                self._menu.props["role"] = "dialog"
                components.text("p", visit.principal.name, "muted whole")
                self._switch("account.language", {code: NAMES[code] for code in LANGUAGES}, visit.words.language)
                self._switch("account.theme", {theme: say(THEMES[theme]) for theme in THEMES}, visit.theme)
                components.button(say("account.tokens"), self._open_tokens, "quiet wide")
                components.button(say("action.sign_out"), visit.doing(self._sign_out), "quiet wide")

    def _switch(self, key: str, options: dict[str, str], value: str) -> None:
        change = self._set_language if key == "account.language" else self._set_theme
        with components.element("fieldset", "switch"):
            components.text("legend", self._visit.say(key))
            with components.element("div", "switch-row"):
                components.radios(key.partition(".")[2], options, value, self._visit.doing(change))

    async def _set_language(self, language: str) -> None:
        self._visit.language = language
        await self._keep()
        if self._visit.frame is not None:
            await self._visit.frame.switch(language)

    async def _set_theme(self, theme: str) -> None:
        self._visit.theme = theme
        await self._keep()
        self._dark.set_value(DARK[theme])
        if self._visit.frame is not None:  # charts take their colours when they are drawn
            await self._visit.frame.switch(self._visit.words.language)

    async def _keep(self) -> None:
        await self._visit.ask(sessions.set_preferences, language=self._visit.language, theme=self._visit.theme)

    async def _open_tokens(self) -> None:
        self._menu.close()
        await self._visit.doing(self._tokens.open)()

    async def _sign_out(self) -> None:
        await self._visit.ask(sessions.sign_out)
        self._visit.leave("/logout")


class Tokens:
    """Make a personal API token, copy it once, revoke it."""

    def __init__(self, visit: Visit) -> None:
        """Draw an empty dialog."""
        self._visit = visit
        self._dialog, self._body = components.dialog(visit.say("account.tokens"), visit.say("action.close"))

    async def open(self) -> None:
        """Show the reader's tokens."""
        await self._draw()
        self._dialog.open()

    async def _draw(self, fresh: str = "") -> None:
        tokens = await self._visit.ask(sessions.api_tokens)
        say = self._visit.say
        self._body.clear()
        with self._body:
            components.text("p", say("account.tokens_lead"), "muted")
            if fresh:
                with components.element("div", "notice fresh"):
                    components.text("p", say("account.token_once"))
                    with components.element("div", "command"):
                        shown = components.text("code", fresh, tabindex="0")
                        told = lambda: self._visit.notify(say("action.copied"))  # noqa: E731
                        components.copy_button(say("action.copy"), shown, told)
            with components.element("div", "inline-form"):
                self._name = components.Field(say("account.token_name"), maxlength=255, autocomplete="off")
                create = self._visit.doing(self._create)
                self._name.on_enter(create)
                components.button(say("account.token_make"), create, "primary")
            with components.element("ul", "plain-list"):
                for token in tokens:
                    self._draw_token(token)

    def _draw_token(self, token: ApiToken) -> None:
        say, words = self._visit.say, self._visit.words
        with components.element("li"):
            with components.element("div"):
                components.text("div", token.name, "strong")
                used = say("account.token_used", when=words.ago(token.used_at)) if token.used_at else ""
                made = say("account.token_made", when=words.exact(token.created_at))
                components.text("div", words.listing([f"saveos_api_{token.prefix}…", made, used]), "sub")
            revoke = self._visit.doing(lambda token_id=token.id: self._revoke(token_id))
            undo = components.button(say("account.token_revoke"), revoke, "danger small")
            components.put(undo, "aria-label", f"{say('account.token_revoke')}: {token.name}")

    async def _create(self) -> None:
        name = self._name.value.strip()
        if not name:
            self._name.error.show(self._visit.say("account.token_nameless"))
            return
        _made, token = await self._visit.ask(sessions.create_api_token, name[:255])
        await self._draw(token.text)

    async def _revoke(self, token_id: str) -> None:
        await self._visit.ask(sessions.revoke_api_token, token_id)
        await self._draw()
