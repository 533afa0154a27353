"""A line between hosts and the appliance that can be slow, freeze, be cut and come back."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 64 * 1024
BUFFER = 128 * 1024
POLL_SECONDS = 0.05
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset, as a router that forgot the connection would


class Proxy:
    """Passes TCP connections on to a port of this machine. `upstream_limit`: bytes per second and connection."""

    def __init__(self, port: int) -> None:
        """Listen on a port of its own."""
        self._target = ("127.0.0.1", port)
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._is_closed = False
        self.upstream_limit = 0
        self.port = 0
        self.restore()

    @property
    def address(self) -> str:
        """Where hosts find it."""
        return f"127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def slowed(self, bytes_per_second: int) -> Iterator[None]:
        """Let what hosts send trickle, so that a backup is under way for as long as a test wants."""
        self.upstream_limit = bytes_per_second
        try:
            yield
        finally:
            self.upstream_limit = 0

    def freeze(self) -> None:
        """Let nothing through any more, and tell nobody: a cable pulled far away."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Go on where it froze."""
        self._flowing.set()

    def drop(self) -> None:
        """Reset every connection; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for ends in pairs:
            for end in ends:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def cut(self) -> None:
        """Reset every connection and refuse new ones until `restore`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.drop()
        self.thaw()

    def restore(self) -> None:
        """Welcome connections, on the same port as ever."""
        listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # else the system swallows megabytes
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """End."""
        self._is_closed = True
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _address = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                near.close()  # nobody is there: the appliance is down
                continue
            far.settimeout(None)
            threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        """Pass both ways until both have ended, or one has broken."""
        with self._lock:
            self._pairs.add((near, far))
        back = threading.Thread(target=self._pass, args=(far, near), kwargs={"is_upstream": False}, daemon=True)
        back.start()
        self._pass(near, far, is_upstream=True)
        back.join()
        with self._lock:
            self._pairs.discard((near, far))
        near.close()
        far.close()

    def _pass(self, source: socket.socket, sink: socket.socket, *, is_upstream: bool) -> None:
        try:
            while not self._is_closed:
                if not select.select([source], [], [], POLL_SECONDS)[0]:
                    continue
                limit = self.upstream_limit if is_upstream else 0
                self._flowing.wait()
                data = source.recv(max(1, min(BLOCK, limit // 10)) if limit else BLOCK)
                self._flowing.wait()
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
                if limit:
                    time.sleep(len(data) / limit)
        except (OSError, ValueError):  # broken rather than ended: both ends learn of it
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
