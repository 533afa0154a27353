"""A plain port on loopback that leads to the appliance as an agent's connection: its name, its certificate."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import threading
from typing import TYPE_CHECKING

from saveos.protocol import AGENT_SERVER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.host import WireHost

STATUS = re.compile(rb"^HTTP/1\.1 (\d{3}) ")


class Wire:
    """The port. `statuses` counts what the appliance answered."""

    def __init__(self, host: WireHost) -> None:
        self._host = host
        self._context = host.appliance.context(host.folder / "agent.pem", host.folder / "agent.key")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.statuses: dict[int, int] = {}

    @classmethod
    @contextlib.contextmanager
    def laid(cls, host: WireHost) -> Iterator[Wire]:
        """Lead there until the end of the block."""
        wire = cls(host)
        threading.Thread(target=wire._accept, daemon=True).start()
        try:
            yield wire
        finally:
            wire._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _address = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near, self._host.appliance.connect(AGENT_SERVER_NAME, self._context) as far:
            waiting = selectors.DefaultSelector()
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(end, selectors.EVENT_READ)
            while self._pass_on(waiting, near, far):
                pass

    def _pass_on(self, waiting: selectors.BaseSelector, near: socket.socket, far: ssl.SSLSocket) -> bool:
        """Pass on what has come; return whether both ends are still there."""
        for key, _events in waiting.select():
            source, target = (near, far) if key.fileobj is near else (far, near)
            chunk = source.recv(65536) if source is near else _received(far)
            if chunk is None:
                continue
            if not chunk:
                return False
            if source is far and (found := STATUS.match(chunk)):
                status = int(found[1])
                self.statuses[status] = self.statuses.get(status, 0) + 1
            target.sendall(chunk)
        return True


def _received(far: ssl.SSLSocket) -> bytes | None:
    """Return what has come, None if that was nothing for us: a ticket would make a blocking read wait for more."""
    far.settimeout(0.0)
    try:
        chunk = far.recv(65536)
        while far.pending():
            chunk += far.recv(65536)
    except ssl.SSLWantReadError:
        return None
    finally:
        far.settimeout(None)
    return chunk
