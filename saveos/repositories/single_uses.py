"""Uses of hosts' keys that the appliance may open by itself: a keyholder for each, started for it and gone with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saveos.database.identifiers import new_id
from saveos.errors import TooMany
from saveos.repositories.holder import Holder
from saveos.repositories.keyholding import Open

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.config import Settings
    from saveos.protocol import TenantId
    from saveos.repositories.keyholding import SealedHost
    from saveos.repositories.local_run import LocalRun

LIMIT = 16  # of a tenant at once
SECONDS = 24 * 3600.0  # of one use


class _Use:
    """One use's place; `holder` None: its keyholder is being started."""

    def __init__(self, tenant_id: TenantId) -> None:
        self.tenant_id = tenant_id
        self.holder: Holder | None = None


class SingleUses:
    """Those of this process. For the event loop alone."""

    def __init__(self, settings: Settings) -> None:
        """Have none yet."""
        self._settings = settings
        self._uses: dict[str, _Use] = {}
        self._ending: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        """Return how many there are, with those that begin."""
        return len(self._uses)

    async def start(self, tenant_id: TenantId, host: SealedHost, words: Sequence[str], given: bytes) -> LocalRun:
        """Run the agent's program with this host's key. Raises TooMany, Unavailable.

        Its place is taken at once, before anything is waited for: whoever looks for room meanwhile counts it.
        """
        use_id, use = self._placed(tenant_id)
        try:
            use.holder = holder = await Holder.spawned(use_id, lambda: self._forget(use_id))
        except BaseException:
            self._forget(use_id)
            raise
        try:
            await holder.open(Open(hosts=(host,), seconds=SECONDS, key_path=str(self._settings.managed_key)))
            run = await holder.start(host.agent_id, words, given)
        except BaseException:
            await holder.stop()
            raise
        run.on_end(lambda: self._end(holder))
        return run

    async def stop(self) -> None:
        """End them all: the appliance ends."""
        await asyncio.gather(*(use.holder.stop() for use in self._uses.values() if use.holder))
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _placed(self, tenant_id: TenantId) -> tuple[str, _Use]:
        if sum(use.tenant_id == tenant_id for use in self._uses.values()) >= LIMIT:
            message = "Too many hosts are read at once. Wait until one is done."
            raise TooMany(message, retry_seconds=60)
        use_id, use = new_id("use"), _Use(tenant_id)
        self._uses[use_id] = use
        return use_id, use

    def _forget(self, use_id: str) -> None:
        self._uses.pop(use_id, None)

    def _end(self, holder: Holder) -> None:
        ending = asyncio.ensure_future(holder.stop())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
