"""Moves bytes between Borg's pipes and the tunnel: one thread, nothing copied twice that need not be."""

from __future__ import annotations

import contextlib
import os
import select
import ssl
import time
from typing import Any

import msgspec

from saveos.protocol import FRAME_HEADER, FRAME_LIMIT, Frame, TunnelRefusal

PIPE_BYTES = 1024**2
BUFFER_BYTES = 256 * 1024
BACKLOG_BYTES = 2 * 1024**2  # for Borg, which does not read; no more is received meanwhile
CONTROL_BYTES = 64 * 1024
HEAD = FRAME_HEADER.size
REFUSED_BY_TLS = (
    "The appliance refuses this host's certificate: it has expired, was revoked, or is another appliance's."
)


class TunnelFailed(Exception):
    """The tunnel is not there, or no longer."""

    def __init__(self, code: str, message: str, retry_seconds: float = 0.0) -> None:
        """Keep why."""
        super().__init__(message)
        self.refusal = TunnelRefusal(code=code, message=message, retry_seconds=retry_seconds)


class Pump:
    """One connection, from hello to exit."""

    def __init__(self, tls: ssl.SSLSocket, ping_seconds: float, silence_seconds: float) -> None:
        """Keep the connection; standard input and output are Borg's."""
        tls.setblocking(False)  # noqa: FBT003 - its only argument
        self._tls = tls
        self._ping_seconds = ping_seconds
        self._silence_seconds = silence_seconds
        self._heard_at = self._said_at = time.monotonic()
        self._is_ready = self._has_ended = self._is_deaf = False
        self._exit_code: int | None = None
        # towards the appliance: at most one frame under way
        self._frame = memoryview(bytearray(HEAD + BUFFER_BYTES))
        self._sending: memoryview | bytes = b""
        # towards Borg
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._backlog = bytearray()
        self._head = bytearray()
        self._kind: Frame | None = None
        self._left = 0
        self._body = bytearray()

    def run(self, hello: bytes) -> int:
        """Say hello, wait for admission, then join Borg and the appliance. Raises TunnelFailed."""
        _widen(0)
        _widen(1)
        self._sending = FRAME_HEADER.pack(Frame.HELLO, len(hello)) + hello
        poll = select.poll()
        watched: dict[int, int] = {}
        while self._exit_code is None or self._backlog:
            wanted = self._wanted()
            for descriptor in watched.keys() - wanted.keys():
                poll.unregister(descriptor)
            for descriptor, events in wanted.items():
                if watched.get(descriptor) != events:
                    poll.register(descriptor, events)
            watched = wanted
            seconds = 0.0 if self._can_receive() and self._tls.pending() else self._patience()
            ready = dict(poll.poll(seconds * 1000))
            self._turn(ready, may_be_silent=not ready and seconds > 0)
        return self._exit_code

    def _wanted(self) -> dict[int, int]:
        """Return what to wait for, by descriptor."""
        wanted = {self._tls.fileno(): select.POLLIN if self._can_receive() else 0}
        if self._sending:
            wanted[self._tls.fileno()] |= select.POLLOUT
        if not self._is_ready:
            wanted[0] = 0  # only whether Borg is still there
        elif not self._sending and not self._has_ended:
            wanted[0] = select.POLLIN
        if self._backlog and not self._is_deaf:
            wanted[1] = select.POLLOUT
        return wanted

    def _turn(self, ready: dict[int, int], *, may_be_silent: bool) -> None:
        if self._can_receive() and (self._tls.fileno() in ready or self._tls.pending()):
            self._receive()
        elif may_be_silent and time.monotonic() - self._heard_at >= self._silence_seconds:
            raise TunnelFailed("silent", "The appliance has fallen silent.", self._ping_seconds)
        if self._backlog:
            self._give(b"")
        self._send()
        if 0 in ready and self._is_ready:
            self._read_borg()
        elif 0 in ready:
            raise TunnelFailed("interrupted", "Borg ended before the appliance let it in.")
        if not self._sending and time.monotonic() - self._said_at >= self._ping_seconds:
            self._sending = FRAME_HEADER.pack(Frame.PING, 0)
            self._send()

    def _can_receive(self) -> bool:
        return self._exit_code is None and len(self._backlog) < BACKLOG_BYTES

    def _patience(self) -> float:
        now = time.monotonic()
        until_ping = self._said_at + self._ping_seconds - now
        if not self._can_receive():
            self._heard_at = now  # Borg is the slow one: the appliance's silence cannot be heard
        return max(0.01, min(until_ping, self._heard_at + self._silence_seconds - now))

    def _read_borg(self) -> None:
        """Frame what Borg says in place and send it, until Borg or the connection has had enough."""
        while not self._sending and not self._has_ended:
            try:
                count = os.readv(0, [self._frame[HEAD:]])
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if count:
                FRAME_HEADER.pack_into(self._frame, 0, Frame.DATA, count)
                self._sending = self._frame[: HEAD + count]
            else:
                self._has_ended = True
                self._sending = FRAME_HEADER.pack(Frame.EOF, 0)
            self._send()

    def _send(self) -> None:
        while self._sending:
            try:
                count = self._tls.send(self._sending)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except (OSError, ssl.SSLError) as error:
                if self._exit_code is not None:
                    self._sending = b""
                    return
                self._receive()  # the reason may be there already
                raise self._lost(error) from error
            now = time.monotonic()
            self._said_at = now
            self._sending = self._sending[count:]

    def _receive(self) -> None:
        filled, failure = 0, None
        while filled < BUFFER_BYTES and failure is None:
            try:
                count = self._tls.recv_into(self._buffer[filled:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except (OSError, ssl.SSLError) as error:
                failure = self._lost(error)
                break
            if not count:
                failure = self._lost(None)
            filled += count
        if filled:
            self._heard_at = time.monotonic()
            self._parse(self._buffer[:filled])
        if failure is not None and self._exit_code is None:
            raise failure

    def _lost(self, error: Exception | None) -> TunnelFailed:
        if isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason):
            return TunnelFailed("certificate-refused", REFUSED_BY_TLS)
        if not self._is_ready:
            return TunnelFailed("unreachable", "The appliance closed the connection at once.", self._ping_seconds)
        why = f": {error}" if error else ""
        return TunnelFailed("connection-lost", f"The connection to the appliance was lost{why}.", self._ping_seconds)

    def _parse(self, view: memoryview) -> None:
        while view:
            if self._kind is None:
                missing = HEAD - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) < HEAD:
                    return
                self._begin()
            part = view[: self._left]
            view = view[len(part) :]
            self._left -= len(part)
            if self._kind is Frame.DATA:
                self._give(part)
            else:
                self._body += part
            if not self._left:
                self._end()

    def _begin(self) -> None:
        kind, self._left = FRAME_HEADER.unpack(self._head)
        self._head.clear()
        limit = FRAME_LIMIT if kind in (Frame.DATA, Frame.STDERR) else CONTROL_BYTES
        if kind not in Frame.__members__.values() or self._left > limit:
            raise TunnelFailed("protocol", "The appliance does not speak the tunnel's protocol.")
        self._kind = Frame(kind)

    def _end(self) -> None:
        kind, body = self._kind, bytes(self._body)
        self._kind = None
        self._body.clear()
        if kind is Frame.READY:
            self._is_ready = True
        elif kind is Frame.STDERR:
            with contextlib.suppress(OSError):
                os.write(2, body)
        elif kind is Frame.EXIT:
            self._exit_code = body[0] if body else 1
        elif kind is Frame.REFUSED:
            refusal = msgspec.json.decode(body, type=TunnelRefusal)
            raise TunnelFailed(refusal.code, refusal.message, refusal.retry_seconds)

    def _give(self, part: memoryview | bytes) -> None:
        """Write to Borg at once; keep what does not fit."""
        if self._is_deaf:
            return
        try:
            if self._backlog:
                self._backlog += part
                count = os.write(1, self._backlog)
                del self._backlog[:count]
                return
            count = os.write(1, part) if part else 0
            self._backlog += part[count:]
        except BlockingIOError:
            if not self._backlog:
                self._backlog += part
        except OSError:  # Borg is gone; the appliance still has to close the repository
            self._is_deaf = True
            self._backlog.clear()


def _widen(descriptor: int) -> None:
    """Let a pipe hold a whole batch, and never wait on it."""
    os.set_blocking(descriptor, False)
    module: Any = __import__("fcntl")
    with contextlib.suppress(OSError, AttributeError):
        module.fcntl(descriptor, module.F_SETPIPE_SZ, PIPE_BYTES)
