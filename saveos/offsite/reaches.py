"""The generations that are read now: opened when somebody asks, gone a while after the last reader."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from saveos.database.identifiers import new_id
from saveos.errors import NotFound, OffsiteNoIndex, TooMany
from saveos.offsite import stores, table
from saveos.offsite.desk import Desk, read_manifest
from saveos.offsite.reaching import Reach, aside, later_parts
from saveos.repositories import table as repositories
from saveos.repositories.space import FULL, DiskFull, free_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.offsite.layout import Manifest
    from saveos.offsite.model import Store
    from saveos.repositories.model import Repository

LINGER_SECONDS = 60.0  # the next file is often of the same copy
LIMIT = 64  # of the appliance at once: each takes the room of an index
Key = tuple[str, str, int]  # store, agent, generation


class Reaches:
    """Those of this process. For the event loop alone."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Have none yet."""
        self._settings, self._database = settings, database
        self._open: dict[Key, asyncio.Task[Reach]] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self.linger_seconds = LINGER_SECONDS

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    async def open(self, agent_id: str, number: int) -> Reach:
        """Return a generation of a host's copy, to be read from its folder soon.

        Raises NotFound, OffsiteNoIndex, StorageError, DiskFull, TooMany.
        """
        _repository, store = await asyncio.to_thread(_place_of, self._database, agent_id)
        key = store.id, agent_id, number
        opening = self._open.get(key)
        if opening is None:
            if len(self._open) >= LIMIT:
                raise TooMany("Too many copies are read at once. Try again in a minute.", retry_seconds=60)
            opening = self._open[key] = asyncio.create_task(self._opened(agent_id, number))
            keeper = asyncio.create_task(self._keep(key, opening))
            self._keepers.add(keeper)
            keeper.add_done_callback(self._keepers.discard)
        reach = await asyncio.shield(opening)
        reach.used_at = asyncio.get_running_loop().time()
        return reach

    def is_here(self, agent_id: str) -> bool:
        """Return whether a host's repository is on this disk. For any thread."""
        repository = repositories.of_agent(self._database.read, agent_id)
        if repository is None or repository.away_at is not None:
            return False
        return repositories.repository_path(self._settings, repository.tenant_id, repository.agent_id).exists()

    async def folder(self, agent_id: str, number: int) -> Path:
        """Return where a generation is read from. Raises as `open`."""
        return (await self.open(agent_id, number)).folder

    async def stop(self) -> None:
        """Close them all: the appliance ends."""
        for keeper in list(self._keepers):
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def sweep(self) -> None:
        """Remove what a former process left."""
        shutil.rmtree(self._settings.offsite_reading, ignore_errors=True)

    async def _opened(self, agent_id: str, number: int) -> Reach:
        desk = await asyncio.to_thread(desk_of, self._database, self._settings, agent_id)
        manifest = await aside(lambda: manifest_of(desk, number))
        await asyncio.to_thread(_require_room, self._settings, manifest)
        reach = Reach(desk, manifest, self._settings.offsite_reading / new_id("rea"))
        try:
            await reach.start()
        except BaseException:
            await reach.stop()
            raise
        return reach

    async def _keep(self, key: Key, opening: asyncio.Task[Reach]) -> None:
        """Wait until nobody has read for a while, or nothing could be opened; then leave nothing."""
        try:
            with contextlib.suppress(Exception):  # who asked is told
                reach = await asyncio.shield(opening)
                while (left := self._left(reach)) > 0:  # noqa: ASYNC110 - it is the clock that is waited for
                    await asyncio.sleep(left)
        finally:
            self._open.pop(key, None)
            opening.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await (await opening).stop()

    def _left(self, reach: Reach) -> float:
        idle = asyncio.get_running_loop().time() - reach.used_at
        return self.linger_seconds if reach.is_used else self.linger_seconds - idle


def desk_of(database: Database, settings: Settings, agent_id: str) -> Desk:
    """Lay out what it takes to read a host's copy. Raises NotFound."""
    repository, store = _place_of(database, agent_id)
    is_cancelled = threading.Event()
    return Desk(
        database=database,
        column_key=settings.column_key,
        store=store,
        bucket=stores.bucket_of(database, settings, store, is_cancelled),
        repository=repository,
        keep=timedelta(),
        is_cancelled=is_cancelled,
        hear=lambda _phase, _done: None,
    )


def manifest_of(desk: Desk, number: int) -> Manifest:
    """Return what a generation holds. Raises NotFound, StorageError."""
    known = table.generations(desk.database.read, desk.store.id, desk.repository.agent_id)
    generation = next((one for one in known if one.number == number), None)
    if generation is None:
        raise NotFound("There is no such generation.")
    return read_manifest(desk.bucket, desk.folder, generation)


def _place_of(database: Database, agent_id: str) -> tuple[Repository, Store]:
    repository = repositories.of_agent(database.read, agent_id)
    store = table.store_of(database.read, repository.tenant_id) if repository else None
    if repository is None or store is None:
        raise NotFound("There is no copy of this host.")
    return repository, store


def _require_room(settings: Settings, manifest: Manifest) -> None:
    if manifest.index is None:
        raise OffsiteNoIndex("This generation has no index: it can only be fetched whole.")
    wanted = manifest.index.bytes + sum(part.bytes for part in later_parts(manifest))
    if free_bytes(settings) - wanted < settings.reserve_bytes // 2:
        raise DiskFull(FULL)
