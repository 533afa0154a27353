"""One session as the main process sees it: the way to its child and what is known of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import SaveOSError
from saveos.protocol import AgentId, TunnelMode, TunnelRefusal
from saveos.repositories.handover import Grant, Growth, Opening, Verdict, to_line

if TYPE_CHECKING:
    from saveos.repositories.zygote import Zygote

log = logging.getLogger("saveos.sessions")

END_SECONDS = 10.0  # for rolling back and releasing the lock; then the child is killed
LINE_BYTES = 64 * 1024


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A session, for those who look at it."""

    agent_id: AgentId
    mode: TunnelMode
    job_id: str | None
    is_open: bool  # False: it waits for a place
    started_at: datetime


class Session:
    """A child of the tunnel's process, known by the socket that leads to it: closed at the far end, it is gone."""

    def __init__(self, number: int) -> None:
        """Keep the number; later sessions have greater ones."""
        self.number = number
        self.agent_id: AgentId | None = None
        self.opening: Opening | None = None
        self.has_place = False
        self.is_open = False
        self.next_check_at = 0.0
        self.grant: Grant | None = None
        self.added_bytes = 0  # of what it wrote, as its child said last
        self.is_stopped = False  # by a limit, or because its host is not welcome any more
        self._started_at = clock.now()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._gone = asyncio.Event()
        self._process: int | None = None  # a descriptor, where there is such a thing: never another process

    @property
    def is_writing(self) -> bool:
        """Whether it writes or wants to."""
        return self.opening is not None and self.opening.mode is TunnelMode.WRITE

    async def connect(self, zygote: Zygote, client: socket.socket) -> None:
        """Hand the connection to a new child. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
            await zygote.hand_over(client, theirs)
        client.close()

    async def hear(self) -> Opening | None:
        """Return who is at the other end, or None when the child found nobody worth a word."""
        assert self._reader is not None  # noqa: S101 - connect comes first
        line = await self._reader.readline()
        if not line:
            return None
        self.opening = msgspec.json.decode(line, type=Opening)
        with contextlib.suppress(OSError, AttributeError):
            self._process = os.pidfd_open(self.opening.pid)  # it waits for our answer: the id is its own
        return self.opening

    def answer(self, admission: asyncio.Task[Grant]) -> None:
        """Tell the child the verdict."""
        error = admission.exception()
        if error is None:
            self._say(Verdict(grant=admission.result()))
        elif isinstance(error, SaveOSError):
            retry = error.context.get("retry_seconds", 0)
            seconds = float(retry) if isinstance(retry, (int, float)) else 0.0
            self._say(Verdict(refusal=TunnelRefusal(code=error.code, message=error.message, retry_seconds=seconds)))
        else:
            log.error("A session could not be admitted.", exc_info=error)
            refusal = TunnelRefusal(code="error", message="The appliance failed to decide.", retry_seconds=60)
            self._say(Verdict(refusal=refusal))

    async def wait_until_gone(self) -> None:
        """Return when the child has ended; the lock is free then."""
        assert self._reader is not None  # noqa: S101 - connect comes first
        with contextlib.suppress(OSError, ValueError):
            while line := await self._reader.readline():
                with contextlib.suppress(msgspec.DecodeError):
                    self.added_bytes = msgspec.json.decode(line, type=Growth).added_bytes
        self._gone.set()

    async def end(self, reason: TunnelRefusal) -> None:
        """Make the child roll back and go; kill it when it does not. Returns when it is gone."""
        self._say(Verdict(refusal=reason))
        if self._writer is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write_eof()
        if self.opening is None:
            return  # nobody yet: its child has nothing open and ends by its own clock
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), END_SECONDS)
            return
        self._kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), END_SECONDS)

    def close(self) -> None:
        """Let go of the child."""
        self._gone.set()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            os.close(self._process)
            self._process = None

    def facts(self) -> SessionFacts:
        """Return what others may know. Only for sessions of known agents."""
        assert self.agent_id is not None  # noqa: S101 - see above
        return SessionFacts(
            agent_id=self.agent_id,
            mode=self.opening.mode if self.opening else TunnelMode.READ,
            job_id=self.opening.job_id if self.opening else None,
            is_open=self.is_open,
            started_at=self._started_at,
        )

    def _say(self, verdict: Verdict) -> None:
        if self._writer is not None and not self._writer.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.write(to_line(verdict))

    def _kill(self) -> None:
        if self.opening is None:
            return
        log.warning("A session of %s did not end and is killed.", self.agent_id)
        with contextlib.suppress(OSError):
            if self._process is not None:
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            else:
                os.kill(self.opening.pid, signal.SIGKILL)
