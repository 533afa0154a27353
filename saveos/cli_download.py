"""`saveos download`: fetches files of a snapshot from a serving appliance by its REST API, resuming what is cut off."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from saveos import cli_remote
from saveos.cli_remote import Unreachable
from saveos.protocol import ReadForm, entry_path

if TYPE_CHECKING:
    import argparse

    from saveos.cli_remote import Remote
    from saveos.config import Settings

PART_BYTES = 1024 * 1024
TRIES = 5  # without a byte more than before


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("snapshot", help="a snapshot's id")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="a file, or folders and several files to be packed")
    parser.add_argument("--output", required=True, help="the file to write; - is standard output")
    parser.add_argument("--form", type=ReadForm, choices=list(ReadForm), help="file (of one path), zip or tar.zst")
    cli_remote.add_arguments(parser)


def run(settings: Settings, parsed: argparse.Namespace) -> dict[str, Any]:
    """Fetch; the API token is in SAVEOS_TOKEN, or the first line of standard input. Raises SaveOSError."""
    download = _Download(cli_remote.of(settings, parsed))
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


class _Download:
    """One download from one appliance."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def fetch(self, snapshot: str, paths: list[str], form: ReadForm, file: IO[bytes]) -> int:
        """Write all of it; return how many bytes. One file is resumed where it was cut off."""
        tag, count, tries = "", 0, 0
        while True:
            address = self._address(snapshot, paths, form)
            more = {"range": f"bytes={count}-", "if-range": tag} if count else {}
            before = count
            with contextlib.closing(self._remote.connect()) as connection:
                response = self._remote.ask(connection, "GET", address, more)
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
        with contextlib.closing(self._remote.connect()) as connection:
            body = json.dumps({"paths": paths, "form": form.value}).encode()
            return str(json.loads(self._remote.ask(connection, "POST", base, {}, body).read())["url"])
