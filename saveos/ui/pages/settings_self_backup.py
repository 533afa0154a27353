"""The appliance's backups of itself: a section of the settings, for whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.errors import NotAllowed
from saveos.selfbackup import orders
from saveos.snapshots import rehydrating
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.selfbackup.orders import Standing
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words


class SelfBackups:
    """The section; hidden from whom it is no business of."""

    def __init__(self, visit: Visit) -> None:
        """Draw it hidden; how it stands comes with `refresh`."""
        self._visit = visit
        say = visit.say
        self._box = components.element("section", "hidden")
        with self._box:
            components.text("h2", say("self.title"))
            components.text("p", say("self.lead"), "muted")
            self._newest = components.text("p", "", "strong num", aria_live="polite")
            self._where = components.text("p", "", "muted whole")
            self._trouble = components.text("p", "", "hidden", role="status")
            self._now = components.button(say("self.now"), visit.doing(self._make))
            self._away = components.element("div", "hidden")
            with self._away:
                self._away_text = components.text("p", "", "notice")
                components.button(say("self.fetch_all"), visit.doing(self._fetch))

    async def refresh(self) -> None:
        """Show how it stands."""
        found = await self._visit.ask(self._look)
        components.dress(self._box, "" if found else "hidden")
        if found is None:
            return
        words = self._visit.words
        self._newest.show(_newest(words, found))
        self._where.show(_where(words, found))
        trouble = _trouble(words, found)
        self._trouble.show(trouble)
        components.dress(self._trouble, "notice bad" if trouble else "hidden")
        components.put(self._now, "disabled", bool(found.job_id))
        components.dress(self._away, "" if found.away_count else "hidden")
        self._away_text.show(words.count("self.away", found.away_count) if found.away_count else "")

    def _look(self, database: Database, principal: Principal) -> Standing | None:
        try:
            return orders.standing(database, self._visit.parts.settings, principal)
        except NotAllowed:
            return None

    async def _make(self) -> None:
        await self._visit.ask(orders.request)
        self._visit.notify(self._visit.say("self.asked"))
        await self.refresh()

    async def _fetch(self) -> None:
        count = await self._visit.change(rehydrating.request_all)
        self._visit.notify(self._visit.words.count("self.fetching", count))
        await self.refresh()


def _newest(words: Words, found: Standing) -> str:
    if found.job_id:
        return words.say("self.making")
    if found.made_at is None:
        return words.say("self.none")
    return words.say("self.newest", when=words.exact(found.made_at), size=words.size(found.bytes))


def _where(words: Words, found: Standing) -> str:
    if not found.store:
        return words.say("self.here_alone", folder=found.folder)
    when = words.exact(found.store_made_at) if found.store_made_at else words.say("self.none")
    return words.say("self.here_and_there", folder=found.folder, store=found.store, when=when)


def _trouble(words: Words, found: Standing) -> str:
    if not found.has_kit:
        return words.say("self.no_kit")
    if found.error_code:
        return words.say("self.failed", why=words.problem(found.error_code, found.error_message))
    return words.say("self.old") if found.is_late else ""
