"""A run with an opened key, as the main process has it: what it writes, how it ended, and the way to stop it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, cast

from saveos.repositories import keyholding

if TYPE_CHECKING:
    from collections.abc import Callable

PIPE_BYTES = 1024**2
LOST = -1  # the exit code of a run whose keyholder was killed
_SAID_BYTES = 8192


class Ends:
    """Our ends of a run: where we write its input, read its output, and hear of its end."""

    def __init__(self, given: int, output: int, line: socket.socket) -> None:
        """Own them."""
        self.given, self.output, self.line = given, output, line

    def close(self) -> None:
        """Give up, which ends the run."""
        os.close(self.given)
        os.close(self.output)
        self.line.close()


def channels() -> tuple[Ends, list[int]]:
    """Return our ends and the run's: its input, its output, the line. Whoever calls closes the latter."""
    their_given, given = os.pipe()
    output, their_output = os.pipe()
    line, their_line = socket.socketpair()
    with contextlib.suppress(OSError, AttributeError):
        import fcntl  # noqa: PLC0415 - a larger pipe is a luxury of Linux

        fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return Ends(given, output, line), [their_given, their_output, their_line.detach()]


class LocalRun:
    """One run. Somebody has to call `finish` or `abort`."""

    def __init__(self, output: asyncio.StreamReader, transport: asyncio.ReadTransport, line: _Line) -> None:
        """Use `connected`."""
        self._output, self._transport, self._line = output, transport, line

    @classmethod
    async def connected(cls, ends: Ends, given: bytes) -> LocalRun:
        """Take our ends of a run that has begun, and give it its input."""
        loop = asyncio.get_running_loop()
        output = asyncio.StreamReader(limit=PIPE_BYTES)
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(ends.output, "rb", buffering=0)
        )
        ends.line.setblocking(False)  # noqa: FBT003 - its only argument
        _, line = await loop.create_connection(_Line, sock=ends.line)
        writing = asyncio.create_task(asyncio.to_thread(_give, ends.given, given))
        line.keep(writing)
        return cls(output, transport, line)

    async def read(self, limit: int) -> bytes:
        """Return the next bytes of its output, at most so many; none at its end."""
        return await self._output.read(limit)

    async def finish(self) -> int:
        """Wait for its end and return its exit code; `LOST` when its keyholder was killed or its time was over."""
        try:
            return await self._line.ended
        finally:
            self._transport.close()

    async def abort(self) -> None:
        """End it now."""
        self.let_go()
        self._transport.close()
        await asyncio.wait([self._line.ended])

    def let_go(self) -> None:
        """Hang up, which ends it; what it has written can still be read."""
        self._line.hang_up()

    @property
    def said(self) -> str:
        """The last it wrote on its standard error."""
        return self._line.said

    def on_end(self, call: Callable[[], object]) -> None:
        """Have something called when it is over."""
        self._line.ended.add_done_callback(lambda _ended: call())


class _Line(asyncio.Protocol):
    """Hears a run's errors and its end."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tail = b""
        self._transport: asyncio.Transport | None = None
        self._kept: asyncio.Task[None] | None = None

    @property
    def said(self) -> str:
        return self._tail.partition(keyholding.END_MARK)[0].decode("utf-8", "backslashreplace")

    def keep(self, task: asyncio.Task[None]) -> None:
        self._kept = task

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of a socket; uvloop's has another base class

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_SAID_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        code = self._tail.rpartition(keyholding.END_MARK)
        if not self.ended.done():
            self.ended.set_result(int(code[2]) if code[1] and code[2].lstrip(b"-").isdigit() else LOST)


def _give(descriptor: int, given: bytes) -> None:
    with contextlib.suppress(OSError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
        view = memoryview(given)
        while view:
            view = view[pipe.write(view) or 0 :]
