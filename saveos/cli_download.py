"""`saveos download`: fetches files of a snapshot from a serving appliance by its REST API, resuming what is cut off."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from saveos import app
from saveos.errors import InvalidRequest, SaveOSError
from saveos.protocol import ExitCode, ReadForm, entry_path
from saveos.tenants import facts

if TYPE_CHECKING:
    import argparse

    from saveos.config import Settings

PART_BYTES = 1024 * 1024
SECONDS = 150.0  # a host may walk through a whole archive before its first word
TRIES = 5  # without a byte more than before


class Unreachable(SaveOSError):
    """The appliance does not answer, or breaks off again and again."""

    code = "unreachable"
    exit_code = ExitCode.UNREACHABLE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("snapshot", help="a snapshot's id")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or folders and several files to be packed")
    parser.add_argument("--output", required=True, help="the file to write; - is standard output")
    parser.add_argument("--form", type=ReadForm, choices=list(ReadForm), help="file (of one path), zip or tar.zst")
    parser.add_argument("--server", help="host:port of the appliance (default: the one of this data folder)")
    parser.add_argument("--root", type=Path, help="its root certificate (default: that of this data folder)")


def run(settings: Settings, parsed: argparse.Namespace) -> dict[str, Any]:
    """Fetch; the API token is in SAVEOS_TOKEN, or the first line of standard input. Raises SaveOSError."""
    server = parsed.server or _own_address(settings)
    context = ssl.create_default_context(cafile=str(parsed.root or settings.authority / "root.pem"))
    download = _Download(server, context, os.environ.get("SAVEOS_TOKEN") or sys.stdin.readline().strip())
    paths = [entry_path(os.fsencode(path).strip(b"/")) for path in parsed.paths]
    form = parsed.form or (ReadForm.FILE if len(paths) == 1 else ReadForm.ZIP)
    if parsed.output == "-":
        count = download.fetch(parsed.snapshot, paths, form, sys.stdout.buffer)
    else:
        part = Path(f"{parsed.output}.part")
        with part.open("wb") as file:
            part.chmod(0o600)
            count = download.fetch(parsed.snapshot, paths, form, file)
        part.rename(parsed.output)
    return {"file": parsed.output, "bytes": count} if parsed.output != "-" else {}


def _own_address(settings: Settings) -> str:
    with app.open_stores(settings) as stores:
        addresses = facts.addresses(stores.database)
    if not addresses:
        message = "This data folder has not been served yet. Name the appliance with --server."
        raise InvalidRequest(message)
    return addresses[0]


class _Download:
    """One download from one appliance."""

    def __init__(self, server: str, context: ssl.SSLContext, token: str) -> None:
        self._host, _, port = server.rpartition(":")
        self._port, self._context = int(port) if port.isdigit() else 443, context
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}

    def fetch(self, snapshot: str, paths: list[str], form: ReadForm, file: IO[bytes]) -> int:
        """Write all of it; return how many bytes. One file is resumed where it was cut off."""
        tag, count, tries = "", 0, 0
        while True:
            address = self._address(snapshot, paths, form)
            more = {"range": f"bytes={count}-", "if-range": tag} if count else {}
            before = count
            with contextlib.closing(self._connect()) as connection:
                response = self._ask(connection, "GET", address, more)
                if count and response.status != http.client.PARTIAL_CONTENT:
                    raise Unreachable("The download was cut off, and what is there now is something else.")
                tag, whole = response.headers.get("etag", ""), response.length
                with contextlib.suppress(OSError, http.client.HTTPException):
                    while part := response.read1(PART_BYTES):
                        file.write(part)
                        count += len(part)
                    if whole in (None, count - before):  # `read1` says nothing of a body that is too short
                        return count
            tries = tries + 1 if count == before else 0
            if form is not ReadForm.FILE or not tag or tries >= TRIES:
                raise Unreachable("The download was cut off: what came is not whole.")

    def _address(self, snapshot: str, paths: list[str], form: ReadForm) -> str:
        base = f"/api/v1/snapshots/{quote(snapshot, safe='')}/download"
        if len(paths) == 1:
            return f"{base}?path={quote(paths[0], safe='')}&form={form.value}"
        with contextlib.closing(self._connect()) as connection:
            body = json.dumps({"paths": paths, "form": form.value}).encode()
            return str(json.loads(self._ask(connection, "POST", base, {}, body).read())["url"])

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host.strip("[]"), self._port, timeout=SECONDS, context=self._context)

    def _ask(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        more: dict[str, str],
        body: bytes | None = None,
    ) -> http.client.HTTPResponse:
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
