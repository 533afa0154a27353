"""A line to a store that misbehaves: busy answers, bodies cut in the middle, a dialect that knows fewer words."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = "<Error><Code>SlowDown</Code></Error>"
UNKNOWN = "<Error><Code>NotImplemented</Code></Error>"
HOP_BY_HOP = {"connection", "transfer-encoding", "expect"}


@dataclass
class Line:
    """What it does to requests. `every`: each so many-th request meets the fault."""

    port: int
    store_port: int
    fault: str = ""  # busy, cut-request, cut-answer, dead
    every: int = 3
    has_conditions: bool = True
    surplus: bytes = b""  # comes with each range
    count: int = 0
    faults_count: int = 0
    got_bytes: int = 0  # of the contents of objects
    got_count: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fault_of_next(self) -> str:
        with self.lock:
            self.count += 1
            is_hit = bool(self.fault) and self.count % self.every == 0
            self.faults_count += is_hit
            return self.fault if is_hit else ""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def _pass(self) -> None:
        line: Line = self.server.line
        fault, size = line.fault_of_next(), int(self.headers.get("Content-Length", 0))
        if fault == "dead":
            self.close_connection = True
            return
        if fault == "cut-request" and size > 1000:
            self.rfile.read(size // 2)
            self.close_connection = True
            return
        body = self.rfile.read(size)
        if fault == "busy":
            self._say(503, BUSY, {"Retry-After": "0.2"})
        elif not line.has_conditions and self.headers.get("If-None-Match"):
            self._say(501, UNKNOWN, {})
        else:
            self._forward(line, body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - as http.server names them

    def _say(self, status: int, text: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def _forward(self, line: Line, body: bytes, fault: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", line.store_port, timeout=30)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    connection.putheader(name, value)  # the host too: it is signed
            connection.endheaders(body)
            answer = connection.getresponse()
            content = answer.read()
        if self.command == "GET" and "?" not in self.path and answer.status in (200, 206):
            line.got_bytes, line.got_count = line.got_bytes + len(content), line.got_count + 1
        content += line.surplus if answer.status == http.client.PARTIAL_CONTENT else b""
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {*HOP_BY_HOP, "content-length"}:
                self.send_header(name, value)
        size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", size or "0")
        self.end_headers()
        if fault == "cut-answer" and len(content) > 1000:
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def line_to(store_port: int, **more: Any) -> Iterator[Line]:
    """Open a line to a store on this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        line = Line(server.server_port, store_port, **more)
        server.line = line  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield line
        finally:
            server.shutdown()
