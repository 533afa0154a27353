"""Where a host's stream and the person who waits for it meet: in memory, a few hundred kilobytes at a time.

The host sends frames (`protocol.Frame`: DATA, PING, at last EXIT) as the body of one request; the person's response
takes the data. Whoever goes first ends the other: a stream without EXIT is not whole.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saveos.errors import HostOffline, InvalidRequest, NotFound, TooMany
from saveos.protocol import FRAME_HEADER, FRAME_LIMIT, Frame

if TYPE_CHECKING:
    from saveos.protocol import AgentId, QuestionId, TenantId

LIMIT_PER_HOST = 4
LIMIT_PER_TENANT = 16
LIMIT = 64
AHEAD_BYTES = 512 * 1024  # of data that the person has not taken yet
BEGIN_SECONDS = 15.0  # for a host that is online to begin
SILENCE_SECONDS = 30.0  # for a host that has begun: it pings each half second, also while it has nothing to send
STALL_SECONDS = 120.0  # for a person who takes nothing: a paused download is resumed by range


class Hanged(Exception):
    """The person has gone, or takes nothing any more: the host may stop."""


class Stream:
    """One stream, for the event loop: the host feeds it once, a person reads it once."""

    def __init__(self, tenant_id: TenantId, agent_id: AgentId) -> None:
        """Wait for the host."""
        self.tenant_id, self.agent_id = tenant_id, agent_id
        self.is_taken = False
        self._data = bytearray()
        self._unparsed = bytearray()
        self._code: int | None = None
        self._is_over = self._is_aborted = False
        self._heard_at = 0.0  # of the loop's clock
        self._moved = asyncio.Event()

    def begin(self) -> None:
        """Note that the host has begun."""
        self.is_taken = True
        self._heard_at = _now()
        self._tell()

    async def read(self, limit: int) -> bytes:
        """Return up to so many bytes, b"" at the end. Raises HostOffline when the host does not begin."""
        deadline = _now() + BEGIN_SECONDS
        while not self._data and not self._is_over and not self._is_aborted:
            if self.is_taken:
                await self._listen()
            elif not await self._wait(deadline - _now()):
                raise HostOffline("The host was asked, but does not begin. Try again, or look whether it is well.")
        if not self._data:
            return b""
        part = bytes(self._data[:limit])
        del self._data[:limit]
        self._heard_at = _now()  # as long as there was something to take, it may have had to wait
        self._tell()
        return part

    async def finish(self) -> int:
        """Return the exit code of what read on the host, 1 when the stream was cut off."""
        while not self._is_over and not self._is_aborted:
            await self._listen()
        return 1 if self._code is None else self._code

    async def abort(self) -> None:
        """Go: the host is told with its next frame."""
        self._is_aborted = True
        self._data.clear()
        self._tell()

    async def feed(self, data: bytes) -> None:
        """Take what came from the host, and wait while there is too much of it. Raises Hanged, InvalidRequest."""
        self._heard_at = _now()
        self._unparsed += data
        while (frame := self._frame()) is not None:
            self._accept(*frame)
        self._tell()
        await self._be_taken()
        if self._is_aborted:
            raise Hanged

    def end(self) -> None:
        """Note that nothing more will come."""
        self._is_over = True
        self._tell()

    async def _be_taken(self) -> None:
        """Wait while there is too much that the person has not taken. Raises Hanged."""
        deadline = _now() + STALL_SECONDS
        while len(self._data) > AHEAD_BYTES and not self._is_aborted:
            size = len(self._data)
            if not await self._wait(deadline - _now()):
                raise Hanged
            if len(self._data) < size:
                deadline = _now() + STALL_SECONDS

    async def _listen(self) -> None:
        """Wait for the host; one that has gone without a word is cut off."""
        silent_at = self._heard_at + SILENCE_SECONDS
        if not await self._wait(silent_at - _now()) and self._heard_at + SILENCE_SECONDS <= silent_at:
            await self.abort()

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame off what came."""
        if len(self._unparsed) < FRAME_HEADER.size:
            return None
        kind, size = FRAME_HEADER.unpack_from(self._unparsed)
        if size > FRAME_LIMIT:
            raise InvalidRequest("A frame is too large.")
        end = FRAME_HEADER.size + size
        if len(self._unparsed) < end:
            return None
        payload = bytes(self._unparsed[FRAME_HEADER.size : end])
        del self._unparsed[:end]
        return kind, payload

    def _accept(self, kind: int, payload: bytes) -> None:
        if self._code is not None:
            raise InvalidRequest("Nothing follows the end.")
        if kind == Frame.DATA:
            self._data += payload
        elif kind == Frame.EXIT and len(payload) == 1:
            self._code = payload[0]
        elif kind != Frame.PING:
            raise InvalidRequest("A stream is made of data, pings and its end.")

    def _tell(self) -> None:
        self._moved.set()

    async def _wait(self, seconds: float) -> bool:
        """Wait for the other side to do something; return False when it did not in time.

        In this very task: `asyncio.wait_for` would begin to wait in another one, later, and miss what has come since
        (CPython 3.11).
        """
        self._moved.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return False
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()


class Streams:
    """The streams of this process."""

    def __init__(self) -> None:
        """Hold none yet."""
        self._streams: dict[str, Stream] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._streams)

    def open(self, tenant_id: TenantId, agent_id: AgentId, question_id: QuestionId) -> Stream:
        """Make a stream that only this host may feed, as the answer to this question. Raises TooMany."""
        of_host = sum(stream.agent_id == agent_id for stream in self._streams.values())
        of_tenant = sum(stream.tenant_id == tenant_id for stream in self._streams.values())
        if of_host >= LIMIT_PER_HOST or of_tenant >= LIMIT_PER_TENANT or len(self._streams) >= LIMIT:
            where = "of this host " if of_host >= LIMIT_PER_HOST else ""
            raise TooMany(f"Too many downloads {where}are under way. Wait until one ends.", retry_seconds=5)
        stream = self._streams[question_id] = Stream(tenant_id, agent_id)
        return stream

    def take(self, agent_id: AgentId, question_id: str) -> Stream:
        """Return the stream that a host is to feed, once. Raises NotFound."""
        stream = self._streams.get(question_id)
        if stream is None or stream.agent_id != agent_id or stream.is_taken:
            raise NotFound("Nobody waits for this stream.")
        stream.begin()
        return stream

    def close(self, question_id: str) -> None:
        """Forget a stream."""
        self._streams.pop(question_id, None)
