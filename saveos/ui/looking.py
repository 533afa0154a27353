"""How pages look into the catalogue, and how far it is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from saveos.errors import Unavailable
from saveos.identity.principals import Permission
from saveos.snapshots import rebuilding
from saveos.snapshots.catalogue_model import CatalogueState
from saveos.ui import components, unlock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.protocol import AgentId
    from saveos.snapshots.catalogue_model import SearchQuery
    from saveos.snapshots.unsealing import Unsealing
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

P = ParamSpec("P")
T = TypeVar("T")

STATES = {
    CatalogueState.WAITING: "catalogue.waiting",
    CatalogueState.MISSING: "catalogue.missing",
    CatalogueState.SEALED: "catalogue.sealed",
}


async def look(
    visit: Visit,
    verb: Callable[Concatenate[Database, Settings, Principal, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """As `visit.ask`, for a verb that reads the files of the catalogue. Raises SaveOSError."""
    settings = visit.parts.settings
    return await visit.ask(lambda database, principal: verb(database, settings, principal, *args, **kwargs))


class Opening:
    """Opens sealed names when their hosts are unlocked, and offers to unlock them to who may."""

    def __init__(self, visit: Visit, on_unlocked: Callable[[], Awaitable[None]]) -> None:
        """Draw the offer hidden. `on_unlocked` looks again."""
        self._visit = visit
        self._agent_ids: tuple[AgentId, ...] = ()
        self._may = visit.principal.may(Permission.KEYS)
        self._button = components.button(visit.say("catalogue.unlock"), self._ask, "hidden")
        self._dialog = unlock.Dialog(visit, on_unlocked) if self._may else None
        self._make = components.button(visit.say("catalogue.make"), visit.doing(self._rebuild), "hidden")

    async def prepare(self, agent_id: AgentId) -> str:
        """Begin to open a host's names if its key is at hand; return why they cannot be, or nothing."""
        return await self._begin(lambda _database, principal: self._unsealing.prepare(principal, [agent_id]))

    async def prepare_search(self, query: SearchQuery) -> str:
        """As `prepare`, of the hosts that a query looks at."""
        return await self._begin(lambda _database, principal: self._unsealing.prepare_search(principal, query))

    def offer(self, agent_ids: Sequence[AgentId], *, is_sealed: bool, is_missing: bool = False) -> None:
        """Offer to unlock these hosts if names are sealed (none named: all), or to ask them for what is missing."""
        self._agent_ids = tuple(agent_ids)
        components.dress(self._button, "button" if is_sealed and self._may else "hidden")
        may_make = is_missing and self._visit.principal.may(Permission.BACK_UP)
        components.dress(self._make, "button" if may_make else "hidden")

    @property
    def _unsealing(self) -> Unsealing:
        return self._visit.parts.unsealing

    async def _begin(self, verb: Callable[[Database, Principal], None]) -> str:
        try:
            await self._visit.ask(verb)
        except Unavailable:
            return self._visit.say("catalogue.unable")
        return ""

    async def _rebuild(self) -> None:
        for agent_id in self._agent_ids:
            await look(self._visit, rebuilding.rebuild, agent_id)
        components.dress(self._make, "hidden")

    def _ask(self) -> None:
        if self._dialog is not None:
            self._dialog.open(self._agent_ids)


def state(words: Words, said: CatalogueState, hostname: str) -> str:
    """Return why nothing can be looked at; empty when it can."""
    return words.say(STATES[said], host=hostname) if said in STATES else ""
