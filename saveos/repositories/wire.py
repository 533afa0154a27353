"""The tunnel's frames over one non-blocking TLS connection, on the appliance's side.

OpenSSL must not read and write one connection from two threads at a time: everything that touches it holds the lock.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque

from saveos.protocol import FRAME_HEADER, FRAME_LIMIT, Frame

RECEIVE_BYTES = 256 * 1024  # read at once; OpenSSL gives 16 KiB a call
INBOX_BYTES = 4 * 1024**2  # of Borg's stream waiting to be handled; no more is read meanwhile
BATCH_BYTES = 128 * 1024  # answers gathered into one frame
CONTROL_BYTES = 64 * 1024
CONTROL_FRAMES = 4
_FROM_AGENT = frozenset({Frame.DATA, Frame.EOF, Frame.PING, Frame.HELLO})


class PeerGone(Exception):
    """The agent closed, broke the protocol or fell silent."""


class Wire:
    """Frames both ways. Data is taken as a stream; other frames one by one."""

    def __init__(self, tls: ssl.SSLSocket, ping_seconds: float, silence_seconds: float) -> None:
        """Keep the connection, after its handshake."""
        tls.setblocking(False)  # noqa: FBT003 - its only argument
        self._tls = tls
        self._lock = threading.Lock()
        self._ping_seconds = ping_seconds
        self._silence_seconds = silence_seconds
        self._heard_at = self._said_at = time.monotonic()
        self._poll = select.poll()
        # receiving
        self._buffer = memoryview(bytearray(RECEIVE_BYTES))
        self._inbox = bytearray()
        self._controls: deque[tuple[Frame, bytes]] = deque()
        self._head = bytearray()
        self._kind: Frame | None = None
        self._left = 0
        self._body = bytearray()
        # sending
        self._answers: list[bytes] = []
        self._answers_bytes = 0
        self._out: deque[bytes] = deque()
        self._out_bytes = 0
        self._is_blocked = self._is_closed = False
        self.is_finished = False  # the agent has said all

    @property
    def queued_bytes(self) -> int:
        """How much waits to be sent."""
        return self._out_bytes + self._answers_bytes

    def take(self) -> bytearray:
        """Return what has come of Borg's stream; it belongs to the caller."""
        data, self._inbox = self._inbox, bytearray()
        return data

    def next_control(self) -> tuple[Frame, bytes] | None:
        """Return the oldest frame that is not data."""
        return self._controls.popleft() if self._controls else None

    def answer(self, data: bytes) -> None:
        """Add to Borg's stream towards the agent; sent when enough is gathered or at the next `pump`."""
        self._answers.append(data)
        self._answers_bytes += len(data)
        if self._answers_bytes >= BATCH_BYTES:
            with self._lock:
                self._seal()
                self._send()

    def send(self, frame: Frame, payload: bytes = b"") -> None:
        """Queue a frame behind the data so far."""
        with self._lock:
            self._seal()
            self._queue(frame, payload)

    def pump(self, seconds: float | None = None, also: int | None = None) -> None:
        """Send what waits, wait until something can be done, receive what is there.

        Returns after `seconds`, or when the descriptor `also` is readable. Raises PeerGone.
        """
        with self._lock:
            self._seal()
            self._send()
            has_more = self._tls.pending() > 0
        now = time.monotonic()
        limit = self._heard_at + self._silence_seconds - now
        wait = 0.0 if has_more else max(0.0, limit if seconds is None else min(seconds, limit))
        ready = self._ready(wait, also)
        if has_more or ready:
            with self._lock:
                if len(self._inbox) < INBOX_BYTES:
                    self._receive()
                self._send()
        elif ready is None and time.monotonic() - self._heard_at >= self._silence_seconds:
            message = f"silent for {self._silence_seconds:g} s"
            raise PeerGone(message)

    def drain(self, queued_bytes: int, seconds: float | None = None) -> None:
        """Wait until no more than so much waits to be sent. Raises PeerGone."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            with self._lock:
                self._seal()
                self._send()
            if self.queued_bytes <= queued_bytes:
                return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                message = "does not read"
                raise PeerGone(message)
            self.pump(left)

    def beat(self) -> None:
        """Keep the peer's patience: called from a side thread while the main one may be deep inside Borg."""
        with self._lock, contextlib.suppress(PeerGone):  # the main thread will see it too
            if not self._out and time.monotonic() - self._said_at >= self._ping_seconds:
                self._queue(Frame.PING, b"")
            self._send()

    def close(self, seconds: float) -> None:
        """Send what waits and hang up; bytes that nobody read would turn the farewell into a reset."""
        with contextlib.suppress(PeerGone):
            self.drain(0, seconds)
        with self._lock:  # a ping after this would travel in the clear
            self._is_closed = True
            with contextlib.suppress(OSError):
                self._tls.shutdown(socket.SHUT_WR)
            raw = socket.socket(fileno=self._tls.detach())
        raw.settimeout(0.2)
        deadline = time.monotonic() + seconds
        with raw, contextlib.suppress(OSError):
            while time.monotonic() < deadline and raw.recv_into(self._buffer):
                pass

    def _ready(self, seconds: float, also: int | None) -> bool | None:
        """Wait; True: the connection is ready, False: `also` is, None: nothing happened."""
        events = select.POLLIN if len(self._inbox) < INBOX_BYTES else 0
        if self._out:
            events |= select.POLLOUT
        self._poll.register(self._tls, events)
        if also is not None:
            self._poll.register(also, select.POLLIN)
        try:
            found = {descriptor for descriptor, _event in self._poll.poll(seconds * 1000 + 1 if seconds else 0)}
        finally:
            if also is not None:
                self._poll.unregister(also)
        if self._tls.fileno() in found:
            return True
        return False if found else None

    def _receive(self) -> None:
        filled, is_closed = 0, False
        while filled < RECEIVE_BYTES:
            try:
                count = self._tls.recv_into(self._buffer[filled:])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except (OSError, ssl.SSLError) as error:
                message = f"connection lost ({error})"
                raise PeerGone(message) from error
            if not count:
                is_closed = True
                break
            filled += count
        if filled:
            self._heard_at = time.monotonic()
            self._parse(self._buffer[:filled])
        if is_closed:
            message = "closed the connection"
            raise PeerGone(message)

    def _parse(self, view: memoryview) -> None:
        while view:
            if self._kind is None:
                missing = FRAME_HEADER.size - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) < FRAME_HEADER.size:
                    return
                self._begin()
            part = view[: self._left]
            view = view[len(part) :]
            self._left -= len(part)
            if self._kind is Frame.DATA:
                self._inbox += part
            else:
                self._body += part
            if not self._left:
                self._end()

    def _begin(self) -> None:
        kind, self._left = FRAME_HEADER.unpack(self._head)
        self._head.clear()
        if kind not in _FROM_AGENT or self._left > (FRAME_LIMIT if kind == Frame.DATA else CONTROL_BYTES):
            message = f"sent a frame of type {kind} and {self._left} bytes"
            raise PeerGone(message)
        self._kind = Frame(kind)

    def _end(self) -> None:
        kind, body = self._kind, bytes(self._body)
        self._kind = None
        self._body.clear()
        if kind is Frame.EOF:
            self.is_finished = True
        elif kind is Frame.HELLO:
            if len(self._controls) >= CONTROL_FRAMES:
                message = "says hello too often"
                raise PeerGone(message)
            self._controls.append((kind, body))

    def _seal(self) -> None:
        """Turn the gathered answers into frames."""
        if not self._answers:
            return
        data = b"".join(self._answers) if len(self._answers) > 1 else self._answers[0]
        self._answers.clear()
        self._answers_bytes = 0
        if len(data) <= FRAME_LIMIT:
            self._queue(Frame.DATA, data)
            return
        view = memoryview(data)
        for start in range(0, len(data), FRAME_LIMIT):
            self._queue(Frame.DATA, view[start : start + FRAME_LIMIT])

    def _queue(self, frame: Frame, payload: bytes | memoryview) -> None:
        self._out.append(b"".join((FRAME_HEADER.pack(frame, len(payload)), payload)))
        self._out_bytes += FRAME_HEADER.size + len(payload)

    def _send(self) -> None:
        """Send as much as the connection takes; progress after it was full shows that the peer reads."""
        while self._out and not self._is_closed:
            try:
                count = self._tls.send(self._out[0])
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._is_blocked = True
                return
            except (OSError, ssl.SSLError) as error:
                message = f"connection lost ({error})"
                raise PeerGone(message) from error
            self._said_at = time.monotonic()
            if self._is_blocked:
                self._heard_at, self._is_blocked = self._said_at, False
            self._out_bytes -= count
            if count == len(self._out[0]):
                self._out.popleft()
            else:
                self._out[0] = self._out[0][count:]
