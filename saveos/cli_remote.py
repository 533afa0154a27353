"""Commands that speak to a serving appliance by its REST API: what is in its memory, no file tells."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saveos.errors import InvalidRequest, SaveOSError
from saveos.protocol import ExitCode
from saveos.stores import open_stores
from saveos.tenants import facts

if TYPE_CHECKING:
    import argparse

    from saveos.config import Settings

SECONDS = 150.0  # a host may walk through a whole archive before its first word


class Unreachable(SaveOSError):
    """The appliance does not answer, or breaks off again and again."""

    code = "unreachable"
    exit_code = ExitCode.UNREACHABLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which appliance; the API token is in SAVEOS_TOKEN, or the first line of standard input."""
    parser.add_argument("--server", help="host:port of the appliance (default: the one of this data folder)")
    parser.add_argument("--root", type=Path, help="its root certificate (default: that of this data folder)")


def of(settings: Settings, parsed: argparse.Namespace) -> Remote:
    """Return the appliance that was named, else the one of the data folder. Raises InvalidRequest."""
    server = parsed.server or _own_address(settings)
    context = ssl.create_default_context(cafile=str(parsed.root or settings.authority / "root.pem"))
    return Remote(server, context, os.environ.get("SAVEOS_TOKEN") or sys.stdin.readline().strip())


class Remote:
    """One appliance, and who asks it."""

    def __init__(self, server: str, context: ssl.SSLContext, token: str) -> None:
        """`server`: host:port."""
        self._host, _, port = server.rpartition(":")
        self._port, self._context = int(port) if port.isdigit() else 443, context
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that is opened by the first request."""
        return http.client.HTTPSConnection(self._host.strip("[]"), self._port, timeout=SECONDS, context=self._context)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request and return the answer's JSON. Raises SaveOSError with the problem's code, Unreachable."""
        with contextlib.closing(self.connect()) as connection:
            payload = None if body is None else json.dumps(body).encode()
            raw = self.ask(connection, method, path, {}, payload).read()
        return json.loads(raw) if raw else None

    def ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        more: dict[str, str],
        body: bytes | None = None,
    ) -> http.client.HTTPResponse:
        """Send one request and return the response, of which nothing is read yet. Raises as `call` does."""
        try:
            connection.request(method, path, body, self._headers | more)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self._host}:{self._port} does not answer: {error}.") from error
        if response.status >= http.client.BAD_REQUEST:
            problem: dict[str, Any] = {}
            with contextlib.suppress(ValueError):
                problem = json.loads(response.read())
            refusal = SaveOSError(str(problem.get("detail", f"The appliance answered {response.status}.")))
            refusal.code = str(problem.get("code", "error"))
            raise refusal
        return response


def _own_address(settings: Settings) -> str:
    with open_stores(settings) as stores:
        addresses = facts.addresses(stores.database)
    if not addresses:
        message = "This data folder has not been served yet. Name the appliance with --server."
        raise InvalidRequest(message)
    return addresses[0]
