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
from saveos.errors import Conflict, Unavailable
from saveos.protocol import ReadForm, entry_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

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
        with _writing("Standard output"):
            sys.stdout.buffer.flush()
        return {}
    with _whole(Path(parsed.output)) as file:
        count = download.fetch(parsed.snapshot, paths, form, file)
    return {"file": parsed.output, "bytes": count}


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a new file beside `path` that takes its name once all of it is on the disk, and is gone otherwise."""
    part = Path(f"{path}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with _writing(part):
            file = open(os.open(part, flags, 0o600), "wb")  # noqa: PTH123, SIM115 - by descriptor, closed below
    except FileExistsError as error:
        raise Conflict(f"{part} is there: another download writes it, or one was killed. Remove it then.") from error
    try:
        yield file
        with _writing(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what could not be written once
            file.close()
        raise


@contextlib.contextmanager
def _writing(what: str | Path) -> Iterator[None]:
    """Raise Unavailable for what this machine does not write: it is no line that was cut."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise Unavailable(f"{what} cannot be written: {error.strerror or error}.") from error


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
                is_whole = False
                for part in _parts(response):
                    with _writing("What came"):
                        file.write(part)
                    count += len(part)
                    is_whole = not part
                if is_whole and whole in (None, count - before):  # `read1` says nothing of a body that is too short
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


def _parts(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Give what comes, b"" last, or without it when the line is cut."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        while part := response.read1(PART_BYTES):
            yield part
        yield b""
