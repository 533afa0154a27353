"""What else may act as the reader: programs with an API token, and browsers that are signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity import profile, sessions
from saveos.ui import browsers, components

if TYPE_CHECKING:
    from saveos.identity.profile import OpenSession
    from saveos.identity.sessions import ApiToken
    from saveos.ui.frame import Visit


class Tokens:
    """Make a personal API token, copy it once, revoke it."""

    def __init__(self, visit: Visit) -> None:
        """Nothing is typed, no token was just made."""
        self._visit = visit
        self._typed, self._fresh = "", ""
        self._shown: list[ApiToken] | None = None

    def draw(self) -> None:
        """Draw the form; the list comes with `refresh`."""
        say = self._visit.say
        self._shown = None
        with components.element("section"):
            components.text("h2", say("account.tokens"))
            components.text("p", say("account.tokens_lead"), "muted")
            with components.element("form", "inline-form", novalidate=True) as form:
                components.on_submit(form, self._visit.doing(self._create))
                self._name = components.Field(
                    say("account.token_name"), value=self._typed, maxlength=255, autocomplete="off"
                )
                self._name.on_change(self._keep)
                components.text("button", say("account.token_make"), "button", type="submit")
            self._once = components.element("div", "hidden")
            self._list = components.element("ul", "plain-list")
        self._show_fresh()

    async def refresh(self) -> None:
        """Show the reader's tokens; their use changes by itself."""
        tokens = await self._visit.ask(sessions.api_tokens)
        if tokens != self._shown:
            self._shown = tokens
            self._list.clear()
            with self._list:
                for token in tokens:
                    self._draw_token(token)

    def _draw_token(self, token: ApiToken) -> None:
        say, words = self._visit.say, self._visit.words
        with components.element("li"):
            with components.element("div"):
                components.text("div", token.name, "strong whole")
                used = say("account.token_used", when=words.exact(token.used_at)) if token.used_at else ""
                made = say("account.token_made", when=words.exact(token.created_at))
                components.text("div", words.listing([f"saveos_api_{token.prefix}…", made, used]), "sub")
            revoke = self._visit.doing(lambda: self._revoke(token.id))
            label = say("account.token_revoke")
            components.button(label, revoke, "danger small", aria_label=f"{label}: {token.name}")

    def _show_fresh(self) -> None:
        say = self._visit.say
        self._once.clear()
        components.dress(self._once, "notice fresh" if self._fresh else "hidden")
        if self._fresh:
            with self._once:
                components.text("p", say("account.token_once"))
                with components.element("div", "command"):
                    shown = components.text("code", self._fresh, tabindex="0")
                    told = lambda: self._visit.notify(say("action.copied"))  # noqa: E731
                    components.copy_button(say("action.copy"), shown, told)

    def _keep(self) -> None:
        self._typed = self._name.value

    async def _create(self) -> None:
        name = self._name.value.strip()
        if not name:
            self._name.error.show(self._visit.say("account.token_nameless"))
            return
        _made, token = await self._visit.ask(sessions.create_api_token, name[:255])
        self._fresh, self._typed = token.text, ""
        self._name.put("")
        self._show_fresh()
        await self.refresh()

    async def _revoke(self, token_id: str) -> None:
        await self._visit.ask(sessions.revoke_api_token, token_id)
        self._fresh = ""
        self._show_fresh()
        await self.refresh()


class Browsers:
    """The browsers that are signed in as the reader, and the way to sign them out."""

    def __init__(self, visit: Visit) -> None:
        """Nothing is known yet."""
        self._visit = visit
        self._shown: list[OpenSession] | None = None

    def draw(self) -> None:
        """Draw the heading; the list comes with `refresh`."""
        say = self._visit.say
        self._shown = None
        with components.element("section"):
            with components.element("div", "section-head"):
                components.text("h2", say("profile.sessions"))
                self._others = components.button(
                    say("profile.end_others"), self._visit.doing(self._end_others), "small hidden"
                )
            self._list = components.element("ul", "plain-list")

    async def refresh(self) -> None:
        """Show the sessions that are open now."""
        found = await self._visit.ask(profile.open_sessions)
        if found == self._shown:
            return
        self._shown = found
        is_alone = all(session.is_own for session in found)
        components.dress(self._others, "button small hidden" if is_alone else "button small")
        self._list.clear()
        with self._list:
            for session in found:
                self._draw_session(session)

    def _draw_session(self, session: OpenSession) -> None:
        say, words = self._visit.say, self._visit.words
        browser, system = browsers.name_of(session.browser)
        named = say("profile.browser_on", browser=browser, system=system) if system else browser
        named = named or say("profile.browser_unknown")
        with components.element("li"):
            with components.element("div"):
                with components.element("div", "cell-line"):
                    components.text("span", named, "strong whole")
                    if session.is_own:
                        components.text("span", say("profile.here"), "good")
                since = say("profile.since", when=words.exact(session.created_at))
                components.text("div", words.listing([session.address, since]), "sub num")
            if not session.is_own:
                label = say("action.sign_out")
                end = self._visit.doing(lambda: self._end(session.id))
                components.button(label, end, "small", aria_label=f"{label}: {named}, {session.address}")

    async def _end(self, session_id: str) -> None:
        await self._visit.ask(profile.end_session, session_id)
        await self.refresh()

    async def _end_others(self) -> None:
        count = await self._visit.ask(profile.end_other_sessions)
        self._visit.notify(self._visit.words.count("profile.ended", count))
        await self.refresh()
