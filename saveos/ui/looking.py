"""How pages look into the catalogue, and how far it is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from saveos.snapshots.catalogue_model import CatalogueState

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
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


def state(words: Words, said: CatalogueState, hostname: str) -> str:
    """Return why nothing can be looked at; empty when it can."""
    return words.say(STATES[said], host=hostname) if said in STATES else ""
