"""uvicorn behind our own accept loop: the ClientHello decides which TLS context, or which process, a connection gets.

Python's `sni_callback` cannot switch on the request for a client certificate, so the choice is made before TLS
starts: the first bytes are peeked at, never consumed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import uvicorn

from saveos.connections import Http
from saveos.hello import NotTlsError, server_name
from saveos.protocol import AGENT_SERVER_NAME, TUNNEL_SERVER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.certificates.authority import Authority

log = logging.getLogger("saveos.server")

HELLO_SECONDS = 10.0
HELLO_LIMIT = 16384
PENDING_LIMIT = 1024  # connections that have not said yet who they are
NOT_TLS = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
    b"This port speaks HTTPS only: use https:// in the address.\n"
)


class Contexts:
    """The two TLS contexts; `load` again after a renewal and the next connection gets the new certificate."""

    def __init__(self, authority: Authority) -> None:
        """Load the server's certificate."""
        self._authority = authority
        self.load()

    def load(self) -> None:
        """Read certificate and key from their files."""
        browser, agent = self._context(), self._context()
        agent.verify_mode = ssl.CERT_REQUIRED
        agent.verify_flags |= ssl.VERIFY_X509_STRICT
        agent.load_verify_locations(cafile=str(self._authority.trust_path))
        self.browser, self.agent = browser, agent  # whole: the next connection may come in another thread

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._authority.server_chain_path, self._authority.server_key_path)
        context.set_alpn_protocols(["http/1.1"])
        return context


class Server(uvicorn.Server):
    """uvicorn that accepts by ClientHello. `on_tunnel` takes over sockets meant for Borg."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: list[socket.socket],
        contexts: Contexts,
        on_tunnel: Callable[[socket.socket], None],
        on_ready: Callable[[], None],
        on_stopping: Callable[[], None],
    ) -> None:
        """Keep what the accept loop needs."""
        super().__init__(config)
        self._listeners = listeners
        self._contexts = contexts
        self._on_tunnel = on_tunnel
        self._on_ready = on_ready
        self._on_stopping = on_stopping
        self._accepting: list[asyncio.Task[None]] = []
        self._pending: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGTERM and SIGINT as a wish to stop. uvicorn would raise them again: nothing would be closed then."""
        former = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the lifespan, then accept."""
        del sockets
        await super().startup(sockets=[])
        self._accepting = [asyncio.create_task(self._accept(listener)) for listener in self._listeners]
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, then let uvicorn finish what runs."""
        del sockets
        self._on_stopping()
        for task in [*self._accepting, *self._pending]:
            task.cancel()
        for listener in self._listeners:
            listener.close()
        await super().shutdown(sockets=None)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _address = await loop.sock_accept(listener)
            except OSError as error:  # out of file descriptors: wait for some to come back
                log.warning("A connection could not be accepted: %s", error)
                await asyncio.sleep(0.2)
                continue
            if len(self._pending) >= PENDING_LIMIT:
                connection.close()
                continue
            task = asyncio.create_task(self._welcome(connection))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        """Find out for whom a connection is and hand it over; whatever goes wrong ends this connection alone."""
        is_handed_over = False
        try:
            connection.setblocking(False)  # noqa: FBT003 - its only argument
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = await asyncio.wait_for(_server_name(connection), HELLO_SECONDS)
            if name == TUNNEL_SERVER_NAME:
                is_handed_over = True
                self._on_tunnel(connection)
                return
            context = self._contexts.agent if name == AGENT_SERVER_NAME else self._contexts.browser
            is_handed_over = True
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, ssl=context, ssl_handshake_timeout=HELLO_SECONDS
            )
        except NotTlsError:
            await _say_not_tls(connection)
        except (OSError, TimeoutError, ssl.SSLError) as error:
            log.debug("A connection ended before it began: %s", error)
        finally:
            if not is_handed_over:
                connection.close()

    def _protocol(self) -> Http:
        return Http(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def listen(address: str, port: int) -> list[socket.socket]:
    """Return listening sockets; the address `0.0.0.0` also listens on IPv6 where there is any.

    Raises OSError when the port is taken.
    """
    families = [(socket.AF_INET6 if ":" in address else socket.AF_INET, address)]
    if address == "0.0.0.0":  # noqa: S104 - the default of an appliance
        families.append((socket.AF_INET6, "::"))
    listeners: list[socket.socket] = []
    for family, host in families:
        try:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((host, port))
            listener.listen(1024)
        except OSError:
            if not listeners:
                raise
            continue  # no IPv6 here
        listener.setblocking(False)  # noqa: FBT003 - its only argument
        listeners.append(listener)
        port = listener.getsockname()[1]
    return listeners


async def _server_name(connection: socket.socket) -> str:
    while True:
        await _readable(connection)
        hello = connection.recv(HELLO_LIMIT, socket.MSG_PEEK)
        if not hello:
            message = "closed before it spoke"
            raise ConnectionResetError(message)
        name = server_name(hello)
        if name is not None:
            return name
        if len(hello) >= HELLO_LIMIT:
            raise NotTlsError
        await asyncio.sleep(0.01)  # the rest of a split ClientHello is under way


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(connection.fileno(), wake)
    try:
        await future
    finally:
        loop.remove_reader(connection.fileno())


async def _say_not_tls(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        await asyncio.wait_for(loop.sock_recv(connection, HELLO_LIMIT), 1)
        await asyncio.wait_for(loop.sock_sendall(connection, NOT_TLS), 1)
        connection.shutdown(socket.SHUT_WR)
