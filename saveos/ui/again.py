"""How a page asks for a job again. Where no host lends its key, who may is asked for the recovery code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.errors import OfflineAndSealed
from saveos.identity.principals import Permission
from saveos.snapshots import again
from saveos.ui import unlock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.repositories.unlocks import Unlocks
    from saveos.ui.frame import Visit

    Verb = Callable[[Database, Principal, str, Unlocks], Job]


class Again:
    """`on_made` is told the job that was made, or that waits already."""

    def __init__(self, visit: Visit, on_made: Callable[[Job], Awaitable[None]]) -> None:
        """Draw the dialog that unlocks, closed."""
        self._visit, self._on_made = visit, on_made
        self._waiting: tuple[Verb, str] | None = None
        self._unlock = unlock.Dialog(visit, self._go_on)

    async def retry(self, job_id: str) -> None:
        """Have a job that ended badly done again. Raises SaveOSError."""
        await self._ask(again.retry, job_id)

    async def carry_out(self, job_id: str) -> None:
        """Have done what a dry run looked at. Raises SaveOSError."""
        await self._ask(again.carry_out, job_id)

    async def _ask(self, verb: Verb, job_id: str) -> None:
        visit = self._visit
        try:
            made = await visit.change(verb, job_id, visit.parts.unlocks)
        except OfflineAndSealed:
            if not visit.principal.may(Permission.KEYS):
                raise
            self._waiting = (verb, job_id)
            self._unlock.open((await visit.ask(again.owner_of, job_id),))
            return
        await self._on_made(made)

    async def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            await self._ask(*waiting)
