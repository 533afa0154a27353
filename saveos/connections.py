"""uvicorn's protocols and what an appliance needs besides: the client's certificate, bounds on a request's head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httptools
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from saveos.agents.credentials import Peer

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS = 30.0
HEAD_LIMIT = 64 * 1024
REFUSAL = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": f"This is no HTTP request, or its head is larger than {HEAD_LIMIT // 1024} KiB.",
        "code": "invalid-request",
    }
)


class PeerCertificate:
    """Mixin over uvicorn's protocols: the client's certificate goes into the scope, a slow or endless head ends.

    uvicorn gives no certificate to the application; the place it is put in may go once it does.
    """

    app: Any
    transport: Any
    loop: Any

    def connection_made(self, transport: Any) -> None:
        """Wrap the application so that each request's scope carries who the channel says the peer is."""
        super().connection_made(transport)  # type: ignore[misc]
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None
        peer, inner = (_peer(certificate) if certificate else None), self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})["saveos.peer"] = peer
            await inner(scope, receive, send)

        self.app = app


class Http(PeerCertificate, HttpToolsProtocol):
    """HTTP/1.1 with a bounded head."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Give the first head its deadline."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers on every kind of end: uvicorn keeps one after a reset."""
        self._stop_head_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start counting a head."""
        self._head_bytes = 0
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is whole."""
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what never reaches the application as it would: by a problem of RFC 9457."""
        del msg
        head = f"content-type: application/problem+json\r\ncontent-length: {len(REFUSAL)}\r\nconnection: close\r\n\r\n"
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head.encode() + REFUSAL)
        self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_LIMIT:
            message = "The request's head is too large."
            raise httptools.HttpParserError(message)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class WebSocket(PeerCertificate, WebSocketsSansIOProtocol):
    """WebSocket with the client's certificate in its scope."""


def _peer(der: bytes) -> Peer:
    certificate = x509.load_der_x509_certificate(der)
    return Peer(
        serial=format(certificate.serial_number, "x"), thumbprint=certificate.fingerprint(hashes.SHA256()).hex()
    )
