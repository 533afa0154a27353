"""One-time rights to a download: a browser fetches files by GET, and what was ticked does not fit into an address."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import NotFound, TooMany
from saveos.identity.principals import Permission, Principal
from saveos.protocol import ReadOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LIFE_SECONDS = 120.0
LIMIT, LIMIT_PER_TENANT, LIMIT_PER_PERSON = 256, 64, 32  # not fetched yet
LIMIT_BYTES, LIMIT_BYTES_PER_TENANT = 128 * 1024**2, 32 * 1024**2  # of the paths in them


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What may be fetched, by whom, until when (monotonic)."""

    principal: Principal
    snapshot_id: str
    order: ReadOrder
    size_bytes: int  # of its paths
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
        ticket = Ticket(
            principal=principal,
            snapshot_id=snapshot_id,
            order=order,
            size_bytes=sum(len(chosen.path.encode()) for chosen in order.chosen),
            ends_at=now + LIFE_SECONDS,
        )
        self._require_room(ticket)
        name = secrets.token_urlsafe(32)
        self._tickets[name] = ticket
        return name

    @contextlib.contextmanager
    def spent(self, principal: Principal, name: str) -> Iterator[Ticket]:
        """Give a ticket to whoever it was issued to, in the same session, once; it is good again if this fails.

        Raises NotFound.
        """
        principal.require(Permission.RESTORE)
        ticket = self._tickets.get(name)
        if ticket is None or ticket.ends_at <= time.monotonic() or _whose(ticket.principal) != _whose(principal):
            raise NotFound("There is no such download, or it has been fetched, or it was not fetched in time.")
        del self._tickets[name]
        try:
            yield ticket
        except BaseException:
            self._tickets[name] = ticket
            raise

    def _require_room(self, ticket: Ticket) -> None:
        """Raise TooMany when this one is too much for its person, its tenant or this process."""
        tickets = [*self._tickets.values(), ticket]
        of_tenant = [one for one in tickets if one.principal.tenant_id == ticket.principal.tenant_id]
        of_person = [one for one in of_tenant if one.principal.id == ticket.principal.id]
        if (
            len(of_person) > LIMIT_PER_PERSON
            or len(of_tenant) > LIMIT_PER_TENANT
            or len(tickets) > LIMIT
            or _bytes(of_tenant) > LIMIT_BYTES_PER_TENANT
            or _bytes(tickets) > LIMIT_BYTES
        ):
            raise TooMany("Too many downloads were asked for and not fetched.", retry_seconds=LIFE_SECONDS)


def _bytes(tickets: Iterable[Ticket]) -> int:
    return sum(ticket.size_bytes for ticket in tickets)


def _whose(principal: Principal) -> tuple[str, str, str]:
    return principal.tenant_id, principal.id, principal.session_hash
