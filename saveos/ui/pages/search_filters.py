"""What is looked for: a part of a name, and conditions. It stands in the address."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from saveos import sizes
from saveos.agents import enrolment
from saveos.errors import NotFound
from saveos.protocol import AgentId
from saveos.snapshots.catalogue_model import ItemKind, Scope, SearchQuery
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.ui.components import Field
    from saveos.ui.frame import Visit

SCOPES = {Scope.ALL: "search.any_time", Scope.LATEST: "search.only_latest", Scope.DELETED: "search.only_deleted"}
KINDS = {"": "search.any_kind", ItemKind.FILE: "entry.file", ItemKind.FOLDER: "entry.folder"}
FIELDS = ("q", "agent", "kind", "min", "max", "since", "until", "held")


class Filters:
    """The fields above what was found."""

    def __init__(self, visit: Visit, on_look: Callable[[], Awaitable[None]]) -> None:
        """Begin with what the address says."""
        self._visit, self._on_look = visit, on_look
        asked = visit.client.request.query_params
        self._asked = {name: asked.get(name, "")[:255] for name in FIELDS}
        if self._asked["kind"] not in KINDS:
            self._asked["kind"] = ""
        if self._asked["held"] not in set(Scope):
            self._asked["held"] = Scope.ALL

    async def prepare(self) -> None:
        """Read the name of the host that alone is searched, if there is one."""
        self._hostname = ""
        if self._asked["agent"]:
            try:
                self._hostname = (await self._visit.ask(enrolment.get, self._asked["agent"])).hostname
            except NotFound:
                self._asked["agent"] = ""

    def draw(self) -> None:
        """Draw them."""
        say, asked, look = self._visit.say, self._asked, self._visit.doing(self._look)
        with components.element("div", "filters", role="search"):
            self._text = components.Field(
                say("search.text"), value=asked["q"], type="search", autocomplete="off", maxlength=255, autofocus=True
            )
            kinds = {key: say(sentence) for key, sentence in KINDS.items()}
            self._kind = components.Select(say("search.kind"), kinds, asked["kind"], look)
            scopes = {scope.value: say(sentence) for scope, sentence in SCOPES.items()}
            self._held = components.Select(say("search.held"), scopes, asked["held"], look)
            components.button(say("search.go"), look, "primary")
        has_more = any(asked[name] for name in ("min", "max", "since", "until"))
        with components.element("details", "more-filters", **({"open": True} if has_more else {})):
            components.text("summary", say("search.conditions"))
            self._draw_conditions()
        for field in (self._text, self._least, self._most, self._since, self._until):
            field.on_commit(look)
        self._only = components.button("", self._visit.doing(self._all_hosts), "small hidden")
        self._name_host()

    def _draw_conditions(self) -> None:
        say, asked = self._visit.say, self._asked
        with components.element("div", "filters"):
            self._least = components.Field(say("search.least"), value=asked["min"], placeholder="10 MB", maxlength=20)
            self._most = components.Field(say("search.most"), value=asked["max"], placeholder="1 GB", maxlength=20)
            self._since = components.Field(say("search.since"), value=asked["since"], type="date")
            self._until = components.Field(say("search.until"), value=asked["until"], type="date")

    def query(self) -> SearchQuery | None:
        """Return what is looked for; None when nothing is, or a field says what cannot be."""
        asked, text = self._asked, self._asked["q"].strip()
        try:
            least, most = self._bytes(self._least, asked["min"]), self._bytes(self._most, asked["max"])
        except ValueError:
            return None
        since, until = self._day(asked["since"]), self._day(asked["until"], after=1)
        if not text and all(condition is None for condition in (least, most, since, until)):
            return None
        return SearchQuery(
            text=text or "*",
            agent_ids=(AgentId(asked["agent"]),) if asked["agent"] else (),
            kinds=(ItemKind(asked["kind"]),) if asked["kind"] else (),
            min_bytes=least,
            max_bytes=most,
            modified_since=since,
            modified_until=until,
            scope=Scope(asked["held"]),
        )

    def _bytes(self, field: Field, text: str) -> int | None:
        try:
            return sizes.parse(text)
        except ValueError:
            field.error.show(self._visit.say("search.no_size"))
            raise

    def _day(self, text: str, after: int = 0) -> datetime | None:
        """Return the beginning of a day, or of one `after` it, in the reader's zone; no date excludes nothing."""
        try:
            return self._visit.words.midnight(date.fromisoformat(text) + timedelta(days=after))
        except (ValueError, OverflowError):
            return None

    async def _look(self) -> None:
        fields = {"q": self._text, "min": self._least, "max": self._most, "since": self._since, "until": self._until}
        asked = {**self._asked, **{name: field.value.strip() for name, field in fields.items()}}
        asked |= {"kind": self._kind.value, "held": self._held.value}
        if asked == self._asked and asked["q"]:  # Enter and leaving the field both say so
            return
        self._asked = asked
        await self._go()

    async def _all_hosts(self) -> None:
        self._asked["agent"] = ""
        self._name_host()
        await self._go()

    async def _go(self) -> None:
        shown = {name: value for name, value in self._asked.items() if value != Scope.ALL}
        self._visit.stand_at("/search", **shown)
        await self._on_look()

    def _name_host(self) -> None:
        """Show that one host alone is searched, and the way out of that."""
        name = self._hostname if self._asked["agent"] else ""
        self._only.show(self._visit.say("search.all_hosts", host=name) if name else "")
        components.put(self._only, "aria-label", self._visit.say("search.all_hosts_label", host=name) if name else None)
        components.dress(self._only, "button small" if name else "button small hidden")
