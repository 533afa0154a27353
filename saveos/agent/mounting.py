"""`saveos-agent mount`: a process serves the snapshot with this host's key; we wait until somebody unmounts it."""

from __future__ import annotations

import logging
import signal
import subprocess
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.failures import Failure
from saveos.agent.mount_place import NoPlace, Place
from saveos.agent.reading import with_key
from saveos.protocol import READ_HEAD_LIMIT, ReadHead

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from saveos.agent.settings import Config, Home

log = logging.getLogger("saveos.agent")
STOP_SECONDS = 10.0


def mount(home: Home, config: Config, archive: str, folder: Path) -> None:
    """Mount an archive on an empty folder and return when it is unmounted. SIGTERM and SIGINT unmount it.

    Raises Failure.
    """
    try:
        place = Place(str(folder))
    except NoPlace as error:
        raise Failure("usage", str(error)) from error
    with place, with_key(home, config, ["mount-archive", archive, str(folder)]) as process:

        def stop(_number: int, _frame: FrameType | None) -> None:
            process.terminate()

        former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            _await_mount(process)
            log.info("%s is mounted read-only on %s until you unmount it: umount %s", archive, folder, folder)
            if process.wait():
                place.unmount()
                raise Failure("host-error", f"What served {folder} has ended: it is unmounted.")
        finally:
            _end(process)
            for number, handler in former.items():
                signal.signal(number, handler)


def _await_mount(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None  # noqa: S101 - asked for
    line = process.stdout.readline(READ_HEAD_LIMIT)
    try:
        head = msgspec.json.decode(line, type=ReadHead)
    except msgspec.MsgspecError as error:
        raise Failure("engine-error", "What mounts the snapshot ended without a word.") from error
    if head.error_code:
        raise Failure(head.error_code, head.message)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let it unmount before it is killed."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("What served the mount does not end and is killed.")
