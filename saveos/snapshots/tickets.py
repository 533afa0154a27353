"""One-time rights to a download: a browser fetches files by GET, and what was ticked does not fit into an address."""

from __future__ import annotations

import secrets
import time

import msgspec

from saveos.errors import NotFound, TooMany
from saveos.identity.principals import Permission, Principal
from saveos.protocol import ReadOrder

LIFE_SECONDS = 120.0
LIMIT = 256


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What may be fetched, by whom, until when (monotonic)."""

    principal: Principal
    snapshot_id: str
    order: ReadOrder
    ends_at: float


class Tickets:
    """Those of this process, in memory: after a restart one asks again."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._tickets: dict[str, Ticket] = {}

    def issue(self, principal: Principal, snapshot_id: str, order: ReadOrder) -> str:
        """Return the id of a new ticket. Raises TooMany."""
        principal.require(Permission.RESTORE)
        now = time.monotonic()
        self._tickets = {name: ticket for name, ticket in self._tickets.items() if ticket.ends_at > now}
        if len(self._tickets) >= LIMIT:
            raise TooMany("Too many downloads were asked for and not fetched.", retry_seconds=LIFE_SECONDS)
        name = secrets.token_urlsafe(32)
        self._tickets[name] = Ticket(
            principal=principal, snapshot_id=snapshot_id, order=order, ends_at=now + LIFE_SECONDS
        )
        return name

    def look(self, principal: Principal, name: str) -> Ticket:
        """Return a ticket to whoever it was issued to, in the same session. Raises NotFound."""
        principal.require(Permission.RESTORE)
        ticket = self._tickets.get(name)
        if ticket is None or ticket.ends_at <= time.monotonic() or _whose(ticket.principal) != _whose(principal):
            raise NotFound("There is no such download, or it has been fetched, or it was not fetched in time.")
        return ticket

    def spend(self, name: str) -> None:
        """Use a ticket up: what it stands for is being sent."""
        self._tickets.pop(name, None)


def _whose(principal: Principal) -> tuple[str, str, str]:
    return principal.tenant_id, principal.id, principal.session_hash
