"""Sealed names, opened in memory: of a host that somebody looks at while its key is at hand, and for so long.

The first look begins it. A process of the keyholder opens the listings, the one that indexes brings them into a
catalogue in memory, and that is deleted when the host is locked, for whatever reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sqlite3
import sys
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.listing_opener import SealedListing, UnsealOrder
from saveos.audit.record import record
from saveos.errors import Locked, SaveOSError, Unavailable
from saveos.identity.principals import Permission, Principal, system
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_memory as memory
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import catalogue_search, rebuilding, table_listings
from saveos.snapshots.indexing import LIMIT_BYTES, Ending, Order

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import AgentId, TenantId
    from saveos.repositories.model import Unlock
    from saveos.repositories.unlocks import Unlocks
    from saveos.snapshots.catalogue_model import SearchQuery
    from saveos.snapshots.table_listings import Listing

log = logging.getLogger("saveos.unsealing")
BATCH_LISTINGS = 100  # opened at once, by one process
BATCH_BYTES = 256 * 1024**2
GROWTH = 4  # a catalogue is no larger than so many times its listings, as a rule
WATCH_SECONDS = 5.0
AGAIN_SECONDS = 60.0  # after a failure
IDLE_SECONDS = 900.0  # a managed host's names are closed when nobody has looked for so long


class Unsealing:
    """The sealed names of this process that are open. For the event loop, but for `prepare`."""

    def __init__(self, settings: Settings, database: Database, unlocks: Unlocks) -> None:
        """Open nothing until `start`."""
        self._settings, self._database, self._unlocks = settings, database, unlocks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hosts: dict[AgentId, tuple[TenantId, float]] = {}  # that are open, and when they were last looked at
        self._refused: dict[AgentId, tuple[float, str]] = {}  # when and why some could not be opened
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Delete what a killed appliance left, and be ready."""
        await asyncio.to_thread(memory.wipe, self._settings)
        self._loop = asyncio.get_running_loop()
        self._unlocks.on_end = self._locked
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Close everything."""
        self._loop = None
        tasks = [*self._tasks.values(), *([self._watcher] if self._watcher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(memory.wipe, self._settings)

    def prepare(self, principal: Principal, agent_ids: Iterable[AgentId]) -> None:
        """Begin to open the sealed names of these hosts if their keys are at hand: called by a thread, before a look.

        Raises Unavailable (no file system in memory, or none of these could be opened a moment ago).
        """
        principal.require(Permission.READ)
        if not self._is_sealed(principal.tenant_id):
            return
        refusals = [self._prepare(principal, agent_id) for agent_id in agent_ids]
        if refusals and all(refusals):
            raise Unavailable(refusals[0])

    def prepare_search(self, principal: Principal, query: SearchQuery) -> None:
        """As `prepare`, of the hosts that a query looks at; what cannot be opened is skipped. Raises NotFound."""
        if self._is_sealed(principal.tenant_id):
            found = catalogue_search.hosts_of(self._database, principal, query)
            with contextlib.suppress(Unavailable):
                self.prepare(principal, [agent_id for agent_id, _hostname, _is_indexed in found])

    def _prepare(self, principal: Principal, agent_id: AgentId) -> str:
        """Return why a host's names cannot be opened, or nothing."""
        if not self._unlocks.is_open(principal, agent_id):  # of this tenant: whatever another one names is not touched
            return ""
        if agent_id in self._hosts:
            self._hosts[agent_id] = (principal.tenant_id, time.monotonic())
        if agent_id in self._tasks:
            return ""
        refused_at, message = self._refused.get(agent_id, (0.0, ""))
        if message and time.monotonic() - refused_at < AGAIN_SECONDS:
            return message
        if self._loop is not None and self._lacking(principal.tenant_id, agent_id):
            folder = memory.make(self._settings)
            files.opening(folder, principal.tenant_id, agent_id).mkdir(parents=True, exist_ok=True)
            self._loop.call_soon_threadsafe(self._begin, principal, agent_id)
        return ""

    def _begin(self, principal: Principal, agent_id: AgentId) -> None:
        if agent_id in self._tasks or self._loop is None:
            return
        self._hosts[agent_id] = (principal.tenant_id, time.monotonic())
        self._tasks[agent_id] = task = asyncio.create_task(self._open(principal, agent_id))
        task.add_done_callback(lambda task: self._ended(principal.tenant_id, agent_id, is_cut=task.cancelled()))

    def _ended(self, tenant_id: TenantId, agent_id: AgentId, *, is_cut: bool) -> None:
        self._tasks.pop(agent_id, None)
        if is_cut:
            files.close(self._settings, tenant_id, agent_id)
        elif folder := memory.folder(self._settings):
            shutil.rmtree(files.opening(folder, tenant_id, agent_id), ignore_errors=True)

    async def _open(self, principal: Principal, agent_id: AgentId) -> None:
        tenant_id = principal.tenant_id
        try:
            async with self._turn:
                await self._database.write_async(
                    lambda connection: record(
                        connection, tenant_id=tenant_id, actor=principal.label, action="names-opened", target=agent_id
                    )
                )
                while batch := self._batch(await asyncio.to_thread(self._lacking, tenant_id, agent_id)):
                    await self._unseal(tenant_id, agent_id, batch)
                    await self._index(tenant_id, agent_id, batch)
        except Locked:
            self._close(tenant_id, agent_id)
        except (SaveOSError, OSError) as error:
            log.exception("The sealed names of %s could not be opened.", agent_id)
            self._refused[agent_id] = (time.monotonic(), str(error))
            await asyncio.to_thread(rebuilding.ask_if_lost, self._database, self._settings, tenant_id, agent_id)

    def _lacking(self, tenant_id: str, agent_id: str) -> list[Listing]:
        """Return the sealed listings that the catalogue in memory does not hold."""
        listings = table_listings.sealed(self._database.read, agent_id)
        folder = memory.make(self._settings)
        with pool.reading(files.opened(folder, tenant_id, agent_id)) as reader:
            return [listing for listing in listings if reader is None or reader.k_of(listing.snapshot_id) is None]

    def _batch(self, lacking: list[Listing]) -> list[Listing]:
        """Return the first of them, as many as are opened at once. Raises Unavailable."""
        batch: list[Listing] = []
        size = 0
        for listing in lacking[:BATCH_LISTINGS]:
            size += sum(path.stat().st_size for path in self._sealed(listing).iterdir())
            if batch and size > BATCH_BYTES:
                break
            batch.append(listing)
        if batch and size * GROWTH > memory.room_bytes(memory.make(self._settings)):
            raise Unavailable("There is not enough memory to open the sealed names.")
        return batch

    async def _unseal(self, tenant_id: TenantId, agent_id: AgentId, batch: list[Listing]) -> None:
        """Let the keyholder's process open listings into memory. Raises Locked, Unavailable."""
        order = UnsealOrder(
            listings=tuple(
                SealedListing(
                    archive=listing.archive,
                    base=listing.base,
                    parts=str(self._sealed(listing)),
                    into=str(_made(self._opened(listing))),
                )
                for listing in batch
            )
        )
        run = await self._unlocks.start(
            system(tenant_id, "names"), agent_id, ["unseal-listings"], given=msgspec.json.encode(order)
        )
        try:
            while await run.read(65536):
                pass
            code = await run.finish()
        except BaseException:
            await run.abort()
            raise
        if code:
            message = f"The listings of {agent_id} cannot be opened with its key ({code}). {run.said}"
            raise Unavailable(message)

    async def _index(self, tenant_id: TenantId, agent_id: AgentId, batch: list[Listing]) -> None:
        """Bring opened listings into the catalogue in memory. Raises Unavailable."""
        folder = memory.make(self._settings)
        path = files.opened(folder, tenant_id, agent_id)
        size = path.stat().st_size if path.exists() else 0
        limit_bytes = min(LIMIT_BYTES, size + memory.room_bytes(folder))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "saveos.snapshots.indexing"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SQLITE_TMPDIR": str(folder)},
        )
        try:
            orders = [self._order(listing, path, limit_bytes) for listing in batch]
            output, _ = await process.communicate(b"\n".join(map(msgspec.json.encode, orders)))
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        endings = msgspec.json.Decoder(Ending).decode_lines(output) if not process.returncode else []
        if len(endings) < len(batch) or endings[-1].code:
            told = endings[-1] if endings else Ending(code="died")
            message = f"The listings of {agent_id} cannot be brought in: {told.code}. {told.message}"
            raise Unavailable(message)
        for listing in batch:
            await asyncio.to_thread(shutil.rmtree, self._opened(listing), ignore_errors=True)

    def _order(self, listing: Listing, path: Path, limit_bytes: int) -> Order:
        return Order(
            catalogue=str(path),
            parts=str(self._opened(listing)),
            snapshot_id=listing.snapshot_id,
            archive=listing.archive,
            at=listing.started_at.isoformat(),
            base=listing.base,
            limit_bytes=limit_bytes,
        )

    def _sealed(self, listing: Listing) -> Path:
        return files.sealed(self._settings, listing.tenant_id, listing.agent_id) / listing.snapshot_id

    def _opened(self, listing: Listing) -> Path:
        folder = memory.make(self._settings)
        return files.opening(folder, listing.tenant_id, listing.agent_id) / listing.snapshot_id

    def _locked(self, tenant_id: TenantId, unlock: Unlock) -> None:
        """Close what an unlock held open. What another one, or the appliance itself, opens too is opened anew."""
        for agent_id in unlock.agent_ids:
            self._close(tenant_id, agent_id)

    def _close(self, tenant_id: TenantId, agent_id: AgentId) -> None:
        """Delete a host's names from memory; what is still opening them is ended, and deletes again behind itself."""
        self._hosts.pop(agent_id, None)
        self._refused.pop(agent_id, None)
        task = self._tasks.get(agent_id)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        files.close(self._settings, tenant_id, agent_id)

    async def _watch(self) -> None:
        """Close what should not be open any more: sealed again, names readable now, or managed and forgotten."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for agent_id, (tenant_id, looked_at) in list(self._hosts.items()):
                try:
                    if not await asyncio.to_thread(self._is_due, tenant_id, agent_id, looked_at):
                        self._close(tenant_id, agent_id)
                except (SaveOSError, sqlite3.Error, OSError):  # looked at again: nobody else would ever close them
                    log.exception("Whether the sealed names of %s may stay open could not be told.", agent_id)

    def _is_sealed(self, tenant_id: TenantId) -> bool:
        return table_listings.names_of_tenant(self._database.read, tenant_id) == "sealed"

    def _is_due(self, tenant_id: TenantId, agent_id: AgentId, looked_at: float) -> bool:
        """Return whether a host's names may stay open."""
        principal = system(tenant_id, "names")
        is_unlocked = any(agent_id in unlock.agent_ids for unlock in self._unlocks.current(principal))
        is_fresh = is_unlocked or time.monotonic() - looked_at < IDLE_SECONDS
        return is_fresh and self._is_sealed(tenant_id) and self._unlocks.is_open(principal, agent_id)


def _made(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    return folder
