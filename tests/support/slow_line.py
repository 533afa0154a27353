"""A line to the appliance as in a train: far away and thin, for everything that a browser does at once."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time

BLOCK = 4096


class SlowLine:
    """Passes TCP connections on. `latency_seconds` one way, `bytes_per_second` each way, all connections together."""

    def __init__(self, port: int, *, latency_seconds: float, bytes_per_second: int) -> None:
        """Listen on a port of its own."""
        self._target = ("127.0.0.1", port)
        self._latency_seconds = latency_seconds
        self._pace = {way: _Pace(bytes_per_second) for way in ("up", "down")}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Welcome nobody any more; what is open ends with its ends."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _address = self._listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            for source, sink, way in ((near, far, "up"), (far, near, "down")):
                blocks: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=64)
                threading.Thread(target=self._read, args=(source, blocks, self._pace[way]), daemon=True).start()
                threading.Thread(target=_write, args=(sink, blocks), daemon=True).start()

    def _read(self, source: socket.socket, blocks: queue.Queue[tuple[float, bytes]], pace: _Pace) -> None:
        while True:
            try:
                data = source.recv(BLOCK)
            except OSError:
                data = b""
            blocks.put((pace.sent_at(len(data)) + self._latency_seconds, data))
            if not data:
                return


class _Pace:
    """When so many bytes have passed a thin place that others use too."""

    def __init__(self, bytes_per_second: int) -> None:
        self._bytes_per_second, self._free_at, self._lock = bytes_per_second, 0.0, threading.Lock()

    def sent_at(self, size: int) -> float:
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size / self._bytes_per_second
            return self._free_at


def _write(sink: socket.socket, blocks: queue.Queue[tuple[float, bytes]]) -> None:
    while True:
        at, data = blocks.get()
        time.sleep(max(0.0, at - time.monotonic()))
        try:
            if data:
                sink.sendall(data)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            with contextlib.suppress(OSError):
                sink.close()
            return
