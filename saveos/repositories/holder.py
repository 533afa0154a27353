"""The main process's handle of one keyholder: started, asked, and buried when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from saveos import in_memory
from saveos.errors import Unavailable
from saveos.repositories import keyholding
from saveos.repositories.keyholding import HEADER, Hello, Opened, Order, Start, Started
from saveos.repositories.local_run import LocalRun, channels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.protocol import AgentId
    from saveos.repositories.keyholding import Open

T = TypeVar("T")
ANSWER_SECONDS = 30.0
STOP_SECONDS = 2.0
PREFIX = "saveos-keyholder-"
LEFT_SECONDS = 2 * 86400.0
_endings: set[asyncio.Future[None]] = set()  # kept until they are done: the loop alone would not


class Holder:
    """One keyholder. `on_end` is called once, when it is gone for whatever reason."""

    def __init__(self, unlock_id: str, on_end: Callable[[], None]) -> None:
        """Use `spawned`."""
        self._on_end = on_end
        self._folder = _place() / (PREFIX + unlock_id)
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)  # noqa: FBT003 - its only argument
        self._turn = asyncio.Lock()
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        words = [sys.executable, "-m", "saveos.repositories.keyholder", str(theirs.fileno()), unlock_id]
        with theirs:
            self._process = subprocess.Popen(
                [*words, str(self._folder)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._listener = asyncio.create_task(self._listen())
        self._runs: set[LocalRun] = set()
        self.public_key = ""

    @classmethod
    async def spawned(cls, unlock_id: str, on_end: Callable[[], None]) -> Holder:
        """Start one and wait until it has its key pair. Raises Unavailable."""
        holder = cls(unlock_id, on_end)
        try:
            holder.public_key = (await holder._answer(Hello)).public_key
        except BaseException:
            await holder.stop()
            raise
        return holder

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._listener.done()

    async def open(self, order: Open) -> Opened:
        """Let it open keys. Raises Unavailable when it is gone; nobody waiting any more, it ends."""
        return await self._ask(Order(open=order), Opened)

    async def start(self, agent_id: AgentId, words: Sequence[str], given: bytes) -> LocalRun:
        """Let it run the agent's program. Raises Unavailable. Nobody waiting any more, the run ends, not the others."""
        starting = asyncio.ensure_future(self._start(agent_id, words, given))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise

    async def _start(self, agent_id: AgentId, words: Sequence[str], given: bytes) -> LocalRun:
        ours, theirs = channels()
        try:
            started = await self._ask(Order(start=Start(agent_id=agent_id, words=tuple(words))), Started, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        if started.error:
            ours.close()
            message = f"The host's key cannot be used ({started.error})."
            raise Unavailable(message, reason=started.error)
        run = await LocalRun.connected(ours, given)
        self._runs.add(run)
        run.on_end(lambda: self._runs.discard(run))
        return run

    def hang_up(self) -> None:
        """End it at once."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    async def stop(self) -> None:
        """Hang up, and wait until it is gone."""
        self.hang_up()
        await asyncio.wait([self._listener])

    async def _ask(self, order: Order, kind: type[T], descriptors: Sequence[int] = ()) -> T:
        """Return the answer to an order. One that comes too late would be taken for the next one's: then it ends."""
        async with self._turn:
            try:
                await self._send(order, descriptors)
                return await self._answer(kind)
            except BaseException:
                self.hang_up()
                raise

    async def _send(self, order: Order, descriptors: Sequence[int] = ()) -> None:
        raw = msgspec.json.encode(order)
        try:
            socket.send_fds(self._channel, [HEADER.pack(len(raw))], list(descriptors))  # an idle channel takes it
            await asyncio.get_running_loop().sock_sendall(self._channel, raw)
        except OSError as error:
            raise _gone() from error

    async def _answer(self, kind: type[T]) -> T:
        try:
            raw = await asyncio.wait_for(self._answers.get(), ANSWER_SECONDS)
        except TimeoutError as error:
            raise _gone() from error
        if raw is None:
            self._answers.put_nowait(None)
            raise _gone()
        return msgspec.json.decode(raw, type=kind)

    async def _listen(self) -> None:
        """Take its answers until it is gone; then bury it."""
        try:
            while True:
                (size,) = HEADER.unpack(await self._exactly(HEADER.size))
                if size > keyholding.LARGEST:
                    break
                self._answers.put_nowait(await self._exactly(size))
        except (OSError, EOFError):
            pass
        finally:
            self._channel.close()
            self._answers.put_nowait(None)
            for run in self._runs:
                run.let_go()
            await asyncio.to_thread(self._bury)
            self._on_end()

    async def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = await asyncio.get_running_loop().sock_recv(self._channel, min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _bury(self) -> None:
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _abandon(starting: asyncio.Future[LocalRun]) -> None:
    """End a run that began when nobody waited for it any more."""
    if not starting.cancelled() and starting.exception() is None:
        ending = asyncio.ensure_future(starting.result().abort())
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)


def sweep() -> None:
    """Remove what keyholders left that were killed together with their appliance: no unlock lasts for two days."""
    for folder in _place().glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < time.time() - LEFT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path:
    """Return where keyholders' folders lie, in memory if that can be: Borg's own files hold no key, but names."""
    return Path(in_memory.place() or tempfile.gettempdir())


def _gone() -> Unavailable:
    return Unavailable("The keys are locked again: the process that held them has ended.")
