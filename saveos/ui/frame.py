"""What every page stands in: who reads it, in which language, the header, and how its handlers reach the features.

The one place of the dashboard where an error of ours becomes a notice.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import unquote

from nicegui import run, ui

from saveos.errors import NotAuthenticated, SaveOSError
from saveos.identity import sessions
from saveos.identity.sessions import COOKIE
from saveos.locale import preferred
from saveos.snapshots import fleet
from saveos.ui import account, components
from saveos.ui.words import Words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nicegui import Client

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.parts import Parts
    from saveos.protocol import TenantId
    from saveos.snapshots.fleet import Host

P = ParamSpec("P")
T = TypeVar("T")

ZONE_COOKIE = "saveos-zone"
ZONE = f"""const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
document.cookie = `{ZONE_COOKIE}=${{encodeURIComponent(zone)}}; path=/; max-age=31536000; secure; samesite=lax`;
return zone;"""
TICK_SECONDS = 1.0
FRESH_SECONDS = 0.8  # pages that look within this time share one reading of the database
DARK = {"system": None, "light": False, "dark": True}
QUASAR_LANGUAGES = {"en": "en-US", "fr": "fr"}
HEAD = '<link rel="stylesheet" href="/assets/saveos.css"><link rel="stylesheet" href="/assets/dashboard.css">'


class Board:
    """What all open pages share."""

    def __init__(self, parts: Parts) -> None:
        """Nothing has been read yet."""
        self.parts = parts
        self._fleets: dict[TenantId, tuple[float, list[Host]]] = {}

    def hosts(self, database: Database, principal: Principal) -> list[Host]:
        """Return the tenant's hosts as of now, or of a moment ago if another page just asked."""
        read_at, hosts = self._fleets.get(principal.tenant_id, (0.0, []))
        if time.monotonic() - read_at > FRESH_SECONDS:
            hosts = fleet.hosts(database, principal)
            self._fleets[principal.tenant_id] = (time.monotonic(), hosts)
        return hosts

    def forget(self, tenant_id: TenantId) -> None:
        """Read anew: something has just been changed from here."""
        self._fleets.pop(tenant_id, None)


class Visit:
    """One open page of one reader."""

    def __init__(self, board: Board, client: Client) -> None:
        """Take the principal that the gate found, and speak their language."""
        self.board = board
        self.parts = board.parts
        self.client = client
        request = client.request
        self.principal: Principal = request.scope["state"]["principal"]
        self._cookie = request.cookies.get(COOKIE, "")
        chosen = preferred(
            request.headers.get("accept-language", ""), self.principal.language, self.parts.settings.language
        )
        self.words = Words(chosen)
        self.words.set_zone(unquote(request.cookies.get(ZONE_COOKIE, ""))[:64])
        self.say = self.words.say
        self._is_gone = False

    async def ask(self, verb: Callable[Concatenate[Database, Principal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a feature's verb in a thread, as whoever holds the session at this moment. Raises SaveOSError."""

        def work() -> T:
            principal = sessions.by_session(self.parts.database, self._cookie)
            return verb(self.parts.database, principal, *args, **kwargs)

        return cast("T", await run.io_bound(work))

    async def change(
        self, verb: Callable[Concatenate[Database, Principal, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `ask`, for a verb that changes something which the list of hosts shows."""
        result = await self.ask(verb, *args, **kwargs)
        self.board.forget(self.principal.tenant_id)
        return result

    def doing(self, action: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """Wrap a handler: what SaveOS refuses becomes a notice, a session that ended becomes the sign-in page."""

        async def handler(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                await action(*args, **kwargs)
            except NotAuthenticated:
                self.leave()
            except SaveOSError as error:
                self.notify(self.words.problem(error.code, error.message), is_bad=True)

        return handler

    def every(self, refresh: Callable[[], Awaitable[None]], seconds: float = TICK_SECONDS) -> ui.timer:
        """Run `refresh` again and again while the page is open."""
        return ui.timer(seconds, self.doing(refresh))

    def notify(self, message: str, *, is_bad: bool = False) -> None:
        """Say something in passing; a failure stays until it is closed."""
        with self.client:
            ui.notify(
                message,
                classes="notify-bad" if is_bad else "notify-good",
                position="bottom",
                timeout=0 if is_bad else 4000,
                close_button=self.say("action.close") if is_bad else False,
                multi_line=False,
            )

    def leave(self) -> None:
        """Send the page to the sign-in."""
        if not self._is_gone:
            self._is_gone = True
            with self.client:
                ui.navigate.to("/logout")

    async def learn_zone(self) -> None:
        """Ask the browser for its time zone; it keeps it in a cookie, so that the next page knows it from the start."""
        zone = await ui.run_javascript(ZONE, timeout=5)
        if isinstance(zone, str):
            self.words.set_zone(zone)


def open_page(board: Board, client: Client, title_key: str) -> Visit:
    """Dress the page: language, theme, style, header. The caller then fills `main`."""
    visit = Visit(board, client)
    theme = visit.principal.theme
    # The page object is shared by its visitors: give this one their language and theme.
    client.page = copy.copy(client.page)
    client.page.language = QUASAR_LANGUAGES[visit.words.language]  # type: ignore[assignment]
    client.page.dark = DARK.get(theme)
    client.title = f"{visit.say(title_key)} · SaveOS"
    scheme = "" if theme == "system" else f"<style>:root {{ color-scheme: {theme} }}</style>"
    ui.add_head_html(HEAD + scheme)
    _header(visit)
    client.on_connect(visit.learn_zone)  # a timer here would send the page before it is filled
    return visit


def main() -> Any:
    """Return what holds the page's own content, for use as a context manager; NiceGUI puts it into a `<main>`."""
    return components.element("div", "page")


def _header(visit: Visit) -> None:
    with ui.header(elevated=False).classes("top"), components.element("div", "top-inner"):
        with components.link("", "/", "brand"):
            ui.html('<img src="/assets/logo.svg" alt="">', sanitize=False)
            components.text("span", "SaveOS")
        account.menu(visit)
