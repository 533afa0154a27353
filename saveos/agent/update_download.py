"""Fetch the executable that an order names, over as many cuts of the line as may be, and check all of it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING, BinaryIO

from saveos.agent.client import Client
from saveos.agent.executable import digest
from saveos.agent.failures import Failure, Refused

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.agent.work import Work
    from saveos.protocol import UpdateOrder

CHUNK_BYTES = 1 << 17
RETRY_SECONDS = (1, 2, 5, 10, 20, 30, 60, 60)
SPARE_BYTES = 64 << 20
SERVER_ERROR, TOO_MANY, NOT_FOUND = 500, 429, 404


def fetch(work: Work, order: UpdateOrder, path: Path) -> None:
    """Let the whole executable lie at a private path; what an earlier attempt left there is used. Raises Failure."""
    file = _open_private(path)
    with file:
        if file.seek(0, os.SEEK_END) > order.size_bytes:
            file.truncate(order.size_bytes)
        _require_space(path, order)
        work.note(phase="downloading", total_bytes=order.size_bytes)
        client = Client.for_host(work.home, work.config)
        for wait in (*RETRY_SECONDS, None):
            work.go_on()
            try:
                _receive(work, client, order, file)
                break
            except Failure as failure:
                if wait is None or not _is_passing(failure):
                    raise
                work.say(f"{failure} Trying again in {wait} s.", "warning")
                work.is_cancelled.wait(wait)
        file.flush()
        if file.seek(0, os.SEEK_END) != order.size_bytes or digest(file, order.size_bytes) != order.sha256:
            message = "What was downloaded is not what the appliance ordered. Nothing was changed."
            raise Failure("update-damaged", message)


def _receive(work: Work, client: Client, order: UpdateOrder, file: BinaryIO) -> None:
    """Read on from where the file ends."""
    offset = file.seek(0, os.SEEK_END)
    if offset == order.size_bytes:
        return
    with client.executable(order.sha256, offset) as (start, response):
        offset = file.seek(start)
        file.truncate()
        while chunk := response.read(CHUNK_BYTES):
            work.go_on()
            offset += file.write(chunk)
            work.note(original_bytes=offset)
            if offset > order.size_bytes:
                message = "The appliance sent more than it had announced. Nothing was changed."
                raise Failure("update-damaged", message)
    if offset < order.size_bytes:
        message = "The line was cut."
        raise Failure("unreachable", message)


def _is_passing(failure: Failure) -> bool:
    if isinstance(failure, Refused):
        if failure.status == NOT_FOUND:
            message = "The appliance has another executable by now. Ask for the update again."
            raise Failure("update-superseded", message) from failure
        return failure.status >= SERVER_ERROR or failure.status == TOO_MANY
    return failure.code == "unreachable"


def _open_private(path: Path) -> BinaryIO:
    """Open the file that an earlier attempt left, if it is surely ours, or a new one. Raises Failure."""
    with contextlib.suppress(OSError):
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "rb+")
        facts = os.fstat(file.fileno())
        if stat.S_ISREG(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077:
            return file
        file.close()
    try:
        path.unlink(missing_ok=True)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "rb+")
    except OSError as error:
        message = f"The executable cannot be replaced where it is: {error}."
        raise Failure("update-impossible", message) from error


def _require_space(path: Path, order: UpdateOrder) -> None:
    if shutil.disk_usage(path.parent).free < order.size_bytes + SPARE_BYTES - path.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
