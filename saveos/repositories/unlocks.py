"""Unlocks: hosts whose keys lie opened in a keyholder's memory, for minutes, because somebody typed the recovery code.

This process never sees the code or a key: it passes on what the person's browser sealed to the keyholder.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import InvalidRequest, Locked, NotFound, SaveOSError, TooMany
from saveos.identity.principals import Permission, Principal
from saveos.protocol import AgentId
from saveos.repositories import code_trial, managed, sealing, table_keys
from saveos.repositories.holder import Holder
from saveos.repositories.keyholding import CODE_INFO, Open
from saveos.repositories.model import Offer, Purpose, Unlock
from saveos.repositories.single_uses import SingleUses

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import TenantId
    from saveos.repositories.keyholding import SealedHost
    from saveos.repositories.local_run import LocalRun

LIMIT = 8  # offers and unlocks of a tenant at once
LIMIT_OF_ALL = 64  # keyholders of the appliance, those of managed hosts too
LONGEST_MINUTES = 24 * 60


class _Entry:
    """One keyholder of a tenant; `unlock` None: an offer that nobody has taken yet."""

    def __init__(self, tenant_id: TenantId, offered_to: str) -> None:
        self.tenant_id, self.offered_to = tenant_id, offered_to
        self.holder: Holder | None = None
        self.unlock: Unlock | None = None
        self.end = "expired"  # why it ended, unless somebody says otherwise


class Unlocks:
    """Those of this process. For the event loop alone, but for `current`."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Hold none yet."""
        self._settings, self._database = settings, database
        self._entries: dict[str, _Entry] = {}
        self._single_uses = SingleUses(settings)
        self._ended: set[asyncio.Future[object]] = set()
        self.on_end: Callable[[TenantId, Unlock], None] = lambda _tenant_id, _unlock: None  # called when one has ended

    async def offer(self, principal: Principal) -> Offer:
        """Start a keyholder and return what to seal the recovery code to; it is worth two minutes.

        Raises TooMany, Unavailable.
        """
        principal.require(Permission.KEYS)
        await code_trial.require_patience(self._database, principal)
        self._require_room(principal)
        unlock_id = new_id("unl")
        entry = self._entries[unlock_id] = _Entry(principal.tenant_id, principal.label)
        try:
            entry.holder = await Holder.spawned(unlock_id, lambda: self._on_end(unlock_id))
        except BaseException:
            self._entries.pop(unlock_id, None)
            raise
        return Offer(unlock_id=unlock_id, public_key=entry.holder.public_key, info=_info(unlock_id))

    async def open(
        self, principal: Principal, unlock_id: str, sealed_code: str, agent_ids: Sequence[str] = (), minutes: float = 15
    ) -> Unlock:
        """Open the keys of these hosts (none named: of all) for so many minutes. Audited.

        Raises NotFound (the offer has ended), WrongCode, TooMany (guessing), Unavailable.
        """
        principal.require(Permission.KEYS)
        entry, holder = self._offered(principal, unlock_id)
        hosts = await asyncio.to_thread(self._hosts, principal, agent_ids)
        known = {host.agent_id for host in hosts}
        if unknown := set(agent_ids) - known:
            message = f"There is no sealed key of {', '.join(sorted(unknown))}."
            raise NotFound(message)
        minutes = min(max(minutes, 1 / 60), LONGEST_MINUTES)
        if not hosts:
            message = "No host has handed a key over yet: there is nothing to unlock."
            raise NotFound(message)
        order = Open(hosts=tuple(hosts), seconds=minutes * 60, sealed_code=sealed_code)
        try:
            opened = await code_trial.tried(self._database, principal, holder, order)
        except (InvalidRequest, TooMany):  # type it again
            raise
        except BaseException:
            holder.hang_up()  # keys that were opened are not held for nobody
            raise
        now = clock.now()
        entry.unlock = Unlock(
            unlock_id=unlock_id,
            opened_by=principal.label,
            agent_ids=opened.agent_ids,
            opened_at=now,
            ends_at=now + timedelta(minutes=minutes),
            missed_ids=tuple(sorted(known - set(opened.agent_ids))),
        )
        return entry.unlock

    async def prove(self, principal: Principal, unlock_id: str, sealed_code: str) -> None:
        """Confirm that the recovery code is at hand: nothing is opened. Raises as `open` does."""
        principal.require(Permission.KEYS)
        entry, holder = self._offered(principal, unlock_id)
        await code_trial.tried(self._database, principal, holder, Open(hosts=(), seconds=0, sealed_code=sealed_code))
        entry.end = "proved"
        await holder.stop()

    def current(self, principal: Principal) -> list[Unlock]:
        """Return the tenant's open unlocks, the first to end first."""
        principal.require(Permission.READ)
        found = [entry.unlock for entry in list(self._entries.values()) if entry.tenant_id == principal.tenant_id]
        return sorted((unlock for unlock in found if unlock is not None), key=lambda unlock: unlock.ends_at)

    async def lock(self, principal: Principal, unlock_id: str) -> None:
        """Lock again now; who may restore may also lock. Raises NotFound."""
        principal.require(Permission.RESTORE)
        entry = self._entries.get(unlock_id)
        if entry is None or entry.tenant_id != principal.tenant_id or entry.holder is None:
            raise _no_unlock()
        entry.end = f"locked by {principal.label}"
        await entry.holder.stop()

    async def start(self, principal: Principal, agent_id: str, words: Sequence[str], given: bytes = b"") -> LocalRun:
        """Run the agent's program on a host's repository here, with its key: unlocked, or managed.

        `given` becomes its standard input. Raises NotFound, Locked, TooMany, Unavailable.
        """
        principal.require(Permission.RESTORE)
        for entry in list(self._entries.values()):
            unlock = entry.unlock
            if unlock and entry.tenant_id == principal.tenant_id and agent_id in unlock.agent_ids and entry.holder:
                return await entry.holder.start(AgentId(agent_id), words, given)
        return await self._start_managed(principal, AgentId(agent_id), words, given)

    def is_open(self, principal: Principal, agent_id: str) -> bool:
        """Return whether `start` would find a key: unlocked, or managed."""
        if any(agent_id in unlock.agent_ids for unlock in self.current(principal)):
            return True
        mine = table_keys.mode(self._database.read, agent_id, principal.tenant_id) is not None
        return mine and Purpose.MANAGED in table_keys.purposes(self._database.read, agent_id).values()

    async def stop(self) -> None:
        """Lock everything: the appliance ends."""
        for entry in self._entries.values():
            entry.end = "appliance stopped"
        holders = [entry.holder for entry in self._entries.values() if entry.holder]
        await asyncio.gather(*(holder.stop() for holder in holders), self._single_uses.stop())
        await asyncio.gather(*self._ended, return_exceptions=True)

    async def _start_managed(
        self, principal: Principal, agent_id: AgentId, words: Sequence[str], given: bytes
    ) -> LocalRun:
        hosts = await asyncio.to_thread(self._hosts, principal, [agent_id])
        if not hosts:
            message = "There is no such host, or it has handed no key over yet."
            raise NotFound(message)
        own = await asyncio.to_thread(managed.public_key, self._settings)
        if sealing.as_text(own) not in {seal.public_key for seal in hosts[0].seals}:
            message = "This host's key is sealed. Unlock it with the recovery code."
            raise Locked(message)
        self._require_room_of_all()
        return await self._single_uses.start(principal.tenant_id, hosts[0], words, given)

    def _hosts(self, principal: Principal, agent_ids: Sequence[str]) -> list[SealedHost]:
        return table_keys.hosts(self._database.read, self._settings, principal.tenant_id, agent_ids)

    def _offered(self, principal: Principal, unlock_id: str) -> tuple[_Entry, Holder]:
        entry = self._entries.get(unlock_id)
        if (
            entry is None
            or entry.holder is None
            or entry.unlock is not None
            or (entry.tenant_id, entry.offered_to) != (principal.tenant_id, principal.label)
        ):
            raise _no_unlock()
        return entry, entry.holder

    def _require_room(self, principal: Principal) -> None:
        mine = [entry for entry in self._entries.values() if entry.tenant_id == principal.tenant_id]
        if len(mine) >= LIMIT:
            raise _too_many()
        self._require_room_of_all()

    def _require_room_of_all(self) -> None:
        if len(self._entries) + len(self._single_uses) >= LIMIT_OF_ALL:
            raise _too_many()

    def _on_end(self, unlock_id: str) -> None:
        """Forget an unlock whose keyholder is gone, and write that down."""
        entry = self._entries.pop(unlock_id, None)
        if entry is None or entry.unlock is None:
            return
        unlock, tenant_id, end = entry.unlock, entry.tenant_id, entry.end
        self.on_end(tenant_id, unlock)
        if end == "expired" and clock.now() < unlock.ends_at - timedelta(seconds=2):
            end = "keyholder died"
        with contextlib.suppress(SaveOSError):  # the appliance ends, and the database before us
            self._follow(
                asyncio.wrap_future(
                    self._database.submit(
                        lambda connection: record(
                            connection,
                            tenant_id=tenant_id,
                            actor=unlock.opened_by,
                            action="keys-locked",
                            agents=list(unlock.agent_ids),
                            reason=end,
                        )
                    )
                )
            )

    def _follow(self, future: asyncio.Future[object]) -> None:
        """Keep what runs beside us until it is done."""
        self._ended.add(future)
        future.add_done_callback(self._ended.discard)


def _info(unlock_id: str) -> str:
    return (CODE_INFO + unlock_id.encode()).decode()


def _no_unlock() -> NotFound:
    return NotFound("There is no such unlock: it has ended, or it is somebody else's.")


def _too_many() -> TooMany:
    return TooMany("Too many unlocks are open. Lock one, or wait until one ends.", retry_seconds=60)
