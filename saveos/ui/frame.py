"""What every page stands in: who reads it, in which language, the header, and how its handlers reach the features.

The one place of the dashboard where an error of ours becomes a notice.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import unquote, urlencode

import msgspec
from nicegui import Client, run, ui

from saveos.agents import moving
from saveos.errors import NotAuthenticated, NotFound, SaveOSError
from saveos.identity import sessions
from saveos.identity.sessions import COOKIE
from saveos.locale import preferred
from saveos.snapshots import fleet
from saveos.ui import account, components, search_box, sections
from saveos.ui.moved import MovedBanner
from saveos.ui.unlock import Banner
from saveos.ui.words import Words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.agents.moving import Addresses
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
HOUSE_SECONDS = 3.0
FRESH_SECONDS = 0.8  # pages that look within this time share one reading of the database
DARK = {"system": None, "light": False, "dark": True}
QUASAR_LANGUAGES = {"en": "en-US", "fr": "fr"}
HEAD = '<link rel="stylesheet" href="/assets/saveos.css"><link rel="stylesheet" href="/assets/dashboard.css">'


class RoleChanged(NotAuthenticated):
    """The reader's rights are no longer those that the page was drawn for."""


class Board:
    """What all open pages share."""

    def __init__(self, parts: Parts) -> None:
        """Nothing has been read yet."""
        self.parts = parts
        self._fleets: dict[TenantId, tuple[float, list[Host]]] = {}
        self._houses: dict[TenantId, tuple[float, Addresses]] = {}

    def hosts(self, database: Database, principal: Principal) -> list[Host]:
        """Return the tenant's hosts as of now, or of a moment ago if another page just asked."""
        read_at, hosts = self._fleets.get(principal.tenant_id, (0.0, []))
        if time.monotonic() - read_at > FRESH_SECONDS:
            hosts = fleet.hosts(database, principal)
            self._fleets[principal.tenant_id] = (time.monotonic(), hosts)
        return hosts

    def house(self, database: Database, principal: Principal) -> Addresses:
        """Return whether the appliance is where its hosts look for it, as of some seconds ago at most."""
        read_at, house = self._houses.get(principal.tenant_id, (0.0, None))
        if house is None or time.monotonic() - read_at > HOUSE_SECONDS:
            house = moving.show(database, principal)
            self._houses[principal.tenant_id] = (time.monotonic(), house)
        return house

    def host(self, database: Database, principal: Principal, agent_id: str) -> Host | None:
        """Return one of them; who is not among those of a moment ago may have come since."""
        for _attempt in range(2):
            found = next((host for host in self.hosts(database, principal) if host.agent.id == agent_id), None)
            if found is not None:
                return found
            self.forget(principal.tenant_id)
        return None

    def forget(self, tenant_id: TenantId) -> None:
        """Read anew: something has just been changed from here."""
        self._fleets.pop(tenant_id, None)
        self._houses.pop(tenant_id, None)


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
        self._browser_zone = unquote(request.cookies.get(ZONE_COOKIE, ""))[:64]
        accepted = request.headers.get("accept-language", "")
        self.speak(preferred(accepted, self.principal.language, self.parts.standing.language))
        self.frame: Frame | None = None
        self._is_gone = False

    def speak(self, language: str) -> None:
        """Speak this language from now on; what is drawn already keeps its words until it is drawn anew."""
        self.words = Words(language)
        self.words.set_zone(self.principal.time_zone or self._browser_zone)
        self.say = self.words.say

    async def prefer(self, **chosen: str) -> None:
        """Keep how the reader likes the dashboard: `language`, `theme`, `time_zone`; those not named stay.

        Raises InvalidRequest for a zone that does not exist.
        """
        liked = msgspec.structs.replace(self.principal, **chosen)
        await self.ask(sessions.set_preferences, language=liked.language, theme=liked.theme, time_zone=liked.time_zone)
        self.principal = liked
        self.words.set_zone(liked.time_zone or self._browser_zone)

    async def ask(self, verb: Callable[Concatenate[Database, Principal, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a feature's verb in a thread, as whoever holds the session at this moment. Raises SaveOSError."""

        def work() -> T:
            return verb(self.parts.database, self._present(), *args, **kwargs)

        return cast("T", await run.io_bound(work))

    async def who(self) -> Principal:
        """Return whoever holds the session at this moment, for a verb that waits. Raises SaveOSError."""
        return cast("Principal", await run.io_bound(self._present))

    def _present(self) -> Principal:
        principal = sessions.by_session(self.parts.database, self._cookie)
        if (principal.role, principal.tenant_id) != (self.principal.role, self.principal.tenant_id):
            message = "Your rights have changed."
            raise RoleChanged(message)
        return principal

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
            except RoleChanged:
                self.leave("/")
            except NotAuthenticated:
                self.leave("/logout")
            except SaveOSError as error:
                self.notify(self.words.problem(error.code, error.message), is_bad=True)

        return handler

    def every(self, refresh: Callable[[], Awaitable[None]], seconds: float = TICK_SECONDS) -> ui.timer:
        """Run `refresh` again and again while the page, or the part of it that is being drawn, is there."""
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
                group=False,
            )

    def leave(self, path: str) -> None:
        """Send the page elsewhere, once: to the sign-in, or to the start as somebody else."""
        if not self._is_gone:
            self._is_gone = True
            with self.client:
                ui.run_javascript("window.onbeforeunload = null")  # nobody is asked about work that is not kept
                ui.navigate.to(path)

    def stand_at(self, path: str, /, **values: str) -> None:
        """Put what is looked for into the address, so that a reload or a shared link finds it again."""
        query = urlencode({name: value for name, value in values.items() if value})
        with self.client:
            ui.navigate.history.replace(f"{path}?{query}" if query else path)

    def rename(self, title: str) -> None:
        """Name the page in the browser's tab and history."""
        with self.client:
            ui.page_title(f"{title} · SaveOS")

    async def learn_zone(self) -> None:
        """Ask the browser for its time zone; it keeps it in a cookie, so that the next page knows it from the start."""
        try:
            zone = await ui.run_javascript(ZONE, timeout=5)
        except TimeoutError:  # the reader has left already
            return
        if isinstance(zone, str) and zone != self._browser_zone:
            self._browser_zone = zone
            self.words.set_zone(self.principal.time_zone or zone)
            if self.frame is not None and not self.principal.time_zone:
                await self.frame.switch(self.words.language)


class Page:
    """One page of the dashboard: drawn in the reader's language, then looked at again and again.

    What a person has typed and not yet kept belongs into attributes, so that it outlives a drawing.
    """

    title = ""  # key of its sentence
    section = ""  # the entry of the menu that it stands under
    missing = "missing.title"  # said when there is no such page

    def __init__(self, visit: Visit) -> None:
        """Draw nothing yet."""
        self.visit = visit

    async def prepare(self) -> None:
        """Read what the first drawing needs. Raises NotFound when there is no such page."""

    def draw(self) -> None:
        """Draw what does not change by itself."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Show how things stand now."""


class Frame:
    """Header, menu and page; all of it is drawn anew when the reader chooses another language."""

    def __init__(self, visit: Visit, page: Page) -> None:
        """Draw it."""
        self._visit, self._page = visit, page
        visit.frame = self
        self._dark = ui.dark_mode(DARK.get(visit.principal.theme))
        with ui.header(elevated=False).classes("top"):
            self._top = components.element("div", "top-inner")
        self._sections = components.element("div", "sections-place")
        self._main = components.element("div", "page")  # NiceGUI puts it into a <main>
        self.draw()

    def draw(self) -> None:
        """Draw all, in the language of the moment."""
        visit = self._visit
        visit.rename(visit.say(self._page.title))
        for place in (self._top, self._sections, self._main):
            place.clear()
        with self._top:
            sections.toggle(visit.say)
            with components.link("", "/", "brand"):
                ui.html('<img src="/assets/logo.svg" alt="">', sanitize=False)
                components.text("span", "SaveOS")
            search_box.draw(visit.say, visit.say("search.title"), "top-search")
            account.menu(visit)
        with self._sections:
            sections.menu(visit.say, self._page.section)
        with self._main:
            self._moved = MovedBanner(visit)
            self._banner = Banner(visit)
            self._page.draw()

    async def refresh(self) -> None:
        """Show whether the appliance has moved, and whether something is unlocked."""
        await self._moved.refresh()
        await self._banner.refresh()

    def wear(self, theme: str) -> None:
        """Look light, dark, or as the system does."""
        self._dark.set_value(DARK[theme])

    async def switch(self, language: str) -> None:
        """Speak another language (or tell time in another zone), here and now; what is being typed stays."""
        self._visit.speak(language)
        self.draw()
        with self._visit.client:
            ui.run_javascript(f"document.documentElement.lang = '{language}'")
        await self._visit.doing(self._page.refresh)()


async def open_page(board: Board, client: Client, make: Callable[[Visit], Page]) -> None:
    """Answer a request for a page."""
    visit = Visit(board, client)
    theme = visit.principal.theme
    # The page object is shared by its visitors: give this one their language and theme.
    client.page = copy.copy(client.page)
    client.page.language = QUASAR_LANGUAGES[visit.words.language]  # type: ignore[assignment]
    client.page.dark = DARK.get(theme)
    scheme = "" if theme == "system" else f"<style>:root {{ color-scheme: {theme} }}</style>"
    ui.add_head_html(HEAD + scheme)
    page = make(visit)
    try:
        await page.prepare()
    except NotFound as error:
        client.status_code = error.status
        page = Missing(visit, page.missing)
    shown = Frame(visit, page)
    await shown.refresh()
    await visit.doing(page.refresh)()
    visit.every(page.refresh)
    visit.every(shown.refresh)
    client.on_connect(visit.learn_zone)  # a timer here would send the page before it is filled


class Missing(Page):
    """Said instead of a page that does not exist."""

    def __init__(self, visit: Visit, title: str = "missing.title") -> None:
        """`title`: key of what is said."""
        super().__init__(visit)
        self.title = title

    def draw(self) -> None:
        """Say so, and show the way out."""
        components.text("h1", self.visit.say(self.title))
        components.link(self.visit.say("missing.back"), "/")


def register_missing(board: Board) -> None:
    """Answer every address that no page has; call it after all others."""

    @ui.page("/{path:path}")
    async def page(client: Client, path: str) -> None:
        del path
        client.status_code = NotFound.status
        await open_page(board, client, Missing)
