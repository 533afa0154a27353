"""Read files out of a snapshot for a person who waits, from whoever has the key: unlocked here, or the live host.

Nothing is kept: what is read flows through memory, and a source that ends too early breaks the person's copy off.
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from saveos import errors
from saveos.agents import questions
from saveos.agents import table as agents
from saveos.agents.streams import Streams
from saveos.audit.record import listed, record
from saveos.database.connection import Database
from saveos.errors import HostOffline, InvalidRequest, NotFound, OfflineAndSealed, SaveOSError
from saveos.identity.principals import Permission
from saveos.offsite.layout import KnownSnapshot
from saveos.protocol import READ_HEAD_LIMIT, AgentId, ReadForm, ReadHead, ReadOrder, entry_bytes
from saveos.snapshots import rehydrating, table
from saveos.snapshots.lost import require_present
from saveos.snapshots.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from saveos.identity.principals import Principal
    from saveos.protocol import QuestionId

PART_BYTES = 256 * 1024
HEAD_SECONDS = 120.0  # a folder is found by walking through the whole archive
REFUSALS: dict[str, type[SaveOSError]] = {
    "path-not-found": errors.PathNotFound,
    "not-a-file": errors.NotAFile,
    "range-not-satisfiable": errors.RangeWrong,
    "damaged": errors.SnapshotDamaged,
    "snapshot-missing": errors.NotFound,
    "unavailable": errors.Unavailable,
}


class Source(Protocol):
    """Where the bytes come from: an agent's stream, or a process of the keyholder."""

    async def read(self, limit: int) -> bytes:
        """Return up to so many bytes, b"" at the end."""

    async def finish(self) -> int:
        """Return the exit code: 0 means that all of it came."""

    async def abort(self) -> None:
        """Stop it."""


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading needs of the appliance. `unlocks`, `reaches`: the registries of opened keys and copies, if any."""

    database: Database
    streams: Streams
    unlocks: Any = None
    reaches: Any = None


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Whose files are read, and as of when: of a copy, as it was written down there."""

    agent_id: AgentId
    hostname: str
    snapshot: Snapshot | KnownSnapshot


class SourceLost(Exception):
    """The source ended before all of it had come."""


class Reading:
    """One reading that has begun: its head is known, its body waits. To be closed, whatever happens."""

    def __init__(self, means: Means, host: Host, order: ReadOrder, source: Source) -> None:
        """Use `begin`."""
        self.host, self.order, self.head = host, order, ReadHead()
        self._means, self._source = means, source
        self._is_ended = False
        self._ahead = b""
        self.question_id: QuestionId | None = None

    async def body(self) -> AsyncIterator[bytes]:
        """Give the body, its last part once it is known to be whole. Raises SourceLost when it is not."""
        count, promised = 0, 0 if self.order.is_head_only else self.head.size_bytes
        kept, self._ahead = self._ahead, b""
        count += len(kept)
        while part := await self._source.read(PART_BYTES):
            count += len(part)
            if promised is not None and count > promised:
                raise SourceLost("more than was promised")
            if kept:
                yield kept
            kept = part
        code = await self._source.finish()
        self._is_ended = True
        if code or promised not in (None, count):
            raise SourceLost(f"exit code {code}, {count} bytes")
        if kept:
            yield kept

    async def close(self) -> None:
        """End the source if it has not ended by itself, and forget it."""
        if self.question_id is not None:
            self._means.streams.close(self.question_id)
            question_id = self.question_id
            self._means.database.submit(lambda connection: questions.close(connection, question_id))
        if not self._is_ended:
            self._is_ended = True
            await self._source.abort()

    async def hear_head(self) -> None:
        """Take the first line. Raises SaveOSError when it is a refusal."""
        line = b""
        while b"\n" not in line and len(line) < READ_HEAD_LIMIT:
            part = await self._source.read(PART_BYTES)
            if not part:
                break
            line += part
        line, newline, self._ahead = line.partition(b"\n")
        if not newline:
            raise errors.EngineError("What reads the snapshot ended without a word.")
        self.head = _understood(line)
        if self.head.error_code:
            kind = REFUSALS.get(self.head.error_code, errors.EngineError)
            raise kind(self.head.message or self.head.error_code, whole_bytes=self.head.whole_bytes)


def _understood(line: bytes) -> ReadHead:
    """Return a head, its time in UTC. Raises EngineError for what is none, or has a time of nowhere."""
    try:
        head = msgspec.json.decode(line, type=ReadHead)
        moment = None if head.modified_at is None else head.modified_at.astimezone(UTC)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise errors.EngineError("What reads the snapshot cannot be understood.") from error
    return msgspec.structs.replace(head, modified_at=moment)


def require_possible(order: ReadOrder) -> None:
    """Raise InvalidRequest for what no archive can hold, and for several paths that are not packed."""
    if not order.chosen or (order.form is ReadForm.FILE and len(order.chosen) > 1):
        raise InvalidRequest("Name one path, or pack several of them.", field="paths")
    for one in order.chosen:
        try:
            raw = entry_bytes(one.path)
        except ValueError as error:
            raise InvalidRequest("This is no path inside an archive.", field="path") from error
        if b"\0" in raw:
            raise InvalidRequest("No path holds a zero byte.", field="path")


def require_known(means: Means, principal: Principal, snapshot_id: str) -> None:
    """Raise NotFound for a snapshot that is not of the principal's tenant."""
    principal.require(Permission.RESTORE)
    _known(means.database, principal, snapshot_id)


def require_source(means: Means, principal: Principal, snapshot_id: str) -> None:
    """Raise OfflineAndSealed when nobody could read a snapshot at this moment; NotFound."""
    principal.require(Permission.RESTORE)
    agent_id = _known(means.database, principal, snapshot_id).agent_id
    rehydrating.require_here(means.database, agent_id)
    if means.unlocks is not None and means.unlocks.is_open(principal, agent_id):
        return
    try:
        questions.reachable(agents.get(means.database.read, agent_id, principal.tenant_id))
    except errors.Conflict as error:
        raise _nobody(error) from error


async def begin(means: Means, principal: Principal, snapshot_id: str, order: ReadOrder) -> Reading:
    """Begin to read what is ordered of a snapshot (`order.archive` is filled in here), once the head has come.

    Raises NotFound, PathNotFound, NotAFile, RangeWrong, OfflineAndSealed, HostOffline, TooMany, EngineError,
    RepositoryLocked (it is only in the offsite copy).
    """
    principal.require(Permission.RESTORE)
    require_possible(order)
    host = await asyncio.to_thread(_known, means.database, principal, snapshot_id)
    await asyncio.to_thread(rehydrating.require_here, means.database, host.agent_id)
    order = msgspec.structs.replace(order, archive=host.snapshot.archive)
    return await hear(means, principal, await _start(means, principal, host, order))


async def hear(means: Means, principal: Principal, reading: Reading, **facts: object) -> Reading:
    """Return a reading once its head has come, and write down who reads what; else close it. Raises as `begin`."""
    order, snapshot = reading.order, reading.host.snapshot
    try:
        await asyncio.wait_for(reading.hear_head(), HEAD_SECONDS)
        await means.database.write_async(
            lambda connection: record(
                connection,
                tenant_id=principal.tenant_id,
                actor=principal.label,
                action="files-downloaded",
                target=snapshot.id,
                form=order.form.value,
                **facts,
                **listed([chosen.path for chosen in order.chosen]),
            )
        )
    except TimeoutError as error:
        await reading.close()
        raise HostOffline("Nothing was read in time. Try again.") from error
    except BaseException:
        await reading.close()
        raise
    return reading


async def _start(means: Means, principal: Principal, host: Host, order: ReadOrder) -> Reading:
    """Start what has the key: here if it is open here, else the host itself."""
    agent_id = host.agent_id
    if means.unlocks is not None and await asyncio.to_thread(means.unlocks.is_open, principal, agent_id):
        local = await means.unlocks.start(principal, agent_id, ["read"], given=msgspec.json.encode(order))
        return Reading(means, host, order, local)
    question_id = questions.new_question()
    stream = means.streams.open(principal.tenant_id, agent_id, question_id)
    reading = Reading(means, host, order, stream)
    reading.question_id = question_id
    try:
        await asyncio.to_thread(_ask, means.database, principal, agent_id, order, question_id)
    except BaseException:
        await reading.close()
        raise
    return reading


def _ask(
    database: Database, principal: Principal, agent_id: AgentId, order: ReadOrder, question_id: QuestionId
) -> None:
    try:
        questions.ask(database, principal, agent_id, order, question_id)
    except errors.Conflict as error:
        raise _nobody(error) from error


def _nobody(error: SaveOSError) -> OfflineAndSealed:
    return OfflineAndSealed(
        f"{error.message} Its key is sealed: only the host itself, or the recovery code, opens this snapshot."
        " Start the host, or unlock its key."
    )


def _known(database: Database, principal: Principal, snapshot_id: str) -> Host:
    snapshot = table.get(database.read, snapshot_id, principal.tenant_id)
    agent = agents.get(database.read, snapshot.agent_id, principal.tenant_id) if snapshot else None
    if snapshot is None or agent is None:
        raise NotFound("There is no such snapshot.")
    require_present(snapshot)
    return Host(agent_id=agent.id, hostname=agent.hostname, snapshot=snapshot)
