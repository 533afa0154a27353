"""Read files straight out of an offsite copy, whatever became of the repository here: only what is needed travels.

The key has to be open, or the appliance's own. Who has it reads from a folder that leads to the store
(offsite/reaching); it sees neither the store's address nor its key.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos.agents import table as agents
from saveos.errors import Locked, NotFound, SaveOSError
from saveos.identity.principals import Permission
from saveos.offsite import table as table_offsite
from saveos.offsite.layout import KnownSnapshot
from saveos.offsite.reaches import desk_of, manifest_of
from saveos.snapshots import reading, table
from saveos.snapshots.reading import Host, Reading

if TYPE_CHECKING:
    from saveos.agents.model import Agent
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.offsite.reaching import Reach
    from saveos.protocol import ReadOrder
    from saveos.repositories.local_run import LocalRun
    from saveos.snapshots.reading import Means


class CopyContents(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation holds, as the store says. `has_index`: single files can be read from it."""

    generation: int
    made_at: datetime
    hostname: str
    bytes: int
    has_index: bool
    snapshots: tuple[KnownSnapshot, ...]


def contents(database: Database, settings: Settings, principal: Principal, agent_id: str, number: int) -> CopyContents:
    """Return what a generation of a host's copy holds; the store is asked. Raises NotFound, StorageError."""
    principal.require(Permission.READ)
    _known(database, principal, agent_id)
    manifest = manifest_of(desk_of(database, settings, agent_id), number)
    return CopyContents(
        generation=manifest.number,
        made_at=manifest.made_at,
        hostname=manifest.hostname,
        bytes=sum(part.bytes for part in manifest.segments),
        has_index=manifest.index is not None,
        snapshots=manifest.snapshots,
    )


async def begin_anywhere(means: Means, principal: Principal, snapshot_id: str, order: ReadOrder) -> Reading:
    """Begin to read what is ordered of a snapshot, out of the copy if that is all there is. Raises as both ways do."""
    source = await asyncio.to_thread(_copy_of, means, principal, snapshot_id)
    if source is None:
        return await reading.begin(means, principal, snapshot_id, order)
    agent_id, number = source
    return await begin(means, principal, agent_id, number, snapshot_id, order)


def require_source(means: Means, principal: Principal, snapshot_id: str) -> None:
    """Raise what says that nobody could read a snapshot at this moment, here or out of its copy; NotFound."""
    if _copy_of(means, principal, snapshot_id) is None:
        reading.require_source(means, principal, snapshot_id)


def _copy_of(means: Means, principal: Principal, snapshot_id: str) -> tuple[str, int] | None:
    """Return host and generation to read from: the repository is not here, its key is open, and there is a copy."""
    reading.require_known(means, principal, snapshot_id)
    snapshot = table.get(means.database.read, snapshot_id, principal.tenant_id)
    if snapshot is None or means.reaches is None or means.reaches.is_here(snapshot.agent_id):
        return None
    if means.unlocks is None or not means.unlocks.is_open(principal, snapshot.agent_id):
        return None
    store = table_offsite.store_of(means.database.read, principal.tenant_id)
    known = table_offsite.generations(means.database.read, store.id, snapshot.agent_id) if store else []
    return (snapshot.agent_id, known[0].number) if known else None


async def begin(
    means: Means, principal: Principal, agent_id: str, number: int, snapshot_id: str, order: ReadOrder
) -> Reading:
    """Begin to read what is ordered of a snapshot in a generation (`order.archive` is filled in here).

    Returns once the head has come; what breaks off later ends the body visibly. Raises NotFound, PathNotFound,
    NotAFile, RangeWrong, Locked (nobody opened the key), OffsiteNoIndex, StorageError, DiskFull, TooMany.
    """
    principal.require(Permission.RESTORE)
    reading.require_possible(order)
    agent = await asyncio.to_thread(_known, means.database, principal, agent_id)
    if means.unlocks is None or not await asyncio.to_thread(means.unlocks.is_open, principal, agent.id):
        message = "Only an open key reads the copy: its key is sealed. Unlock it with the recovery code."
        raise Locked(message)
    reach: Reach = await means.reaches.open(agent.id, number)
    snapshot = next((one for one in reach.manifest.snapshots if one.id == snapshot_id), None)
    if snapshot is None:
        raise NotFound("The copy does not hold this snapshot.")
    order = msgspec.structs.replace(order, archive=snapshot.archive)
    reach.failure = None
    run = await _started(means, principal, agent, reach, order)
    begun = Reading(means, Host(agent_id=agent.id, hostname=agent.hostname, snapshot=snapshot), order, run)
    try:
        return await reading.hear(means, principal, begun, copy=number)
    except SaveOSError as error:
        if reach.failure is not None:  # the reader knows only that it did not come
            raise reach.failure from error
        raise


async def _started(means: Means, principal: Principal, agent: Agent, reach: Reach, order: ReadOrder) -> LocalRun:
    """Start who has the key; the copy is kept at hand for as long as they live."""
    reach.hold()
    try:
        words = ["read", str(reach.folder)]
        run: LocalRun = await means.unlocks.start(principal, agent.id, words, given=msgspec.json.encode(order))
    except BaseException:
        reach.let_go()
        raise
    run.on_end(reach.let_go)
    return run


def _known(database: Database, principal: Principal, agent_id: str) -> Agent:
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent
