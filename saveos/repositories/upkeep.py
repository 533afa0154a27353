"""The process that does to repositories what needs Borg but no key: `python -m saveos.repositories.upkeep`.

It reads one Order from stdin and writes lines of JSON to stdout: Steps, and at last an Ending. Whenever it is killed,
Borg's own log makes the repository whole at its next opening, and the same order may begin anew.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from saveos.agent import privacy
from saveos.protocol import Wire
from saveos.repositories.handover import HOST_ID

NICENESS = 10
LOCK_SECONDS = 120.0
THRESHOLD = 0.1  # of a segment that is of no use any more: then it is written anew without that; borg-compact(1)


class Order(Wire, frozen=True, kw_only=True):
    """Compact a repository, or only open it, which makes a missing index anew. `home`: for what Borg keeps itself.

    `clean`: give the room back that a transaction took which was never committed.
    """

    repository: str
    home: str
    compact: bool = False
    clean: bool = False


class Step(Wire, frozen=True, kw_only=True, tag="step"):
    """How far it is, from 0 to 1000."""

    done: int


class Ending(Wire, frozen=True, kw_only=True, tag="ending"):
    """How it ended. `segment`: of the last commit now. `code`: empty, repository-locked, disk-full or engine-error."""

    segment: int = -1
    freed_bytes: int = 0
    code: str = ""
    message: str = ""


def main() -> int:
    """Do the order on stdin."""
    os.nice(NICENESS)
    os.umask(0o077)
    privacy.end_with_parent(signal.SIGKILL)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    for name in [name for name in os.environ if name.startswith("BORG_")]:
        del os.environ[name]
    os.environ["BORG_BASE_DIR"] = order.home
    os.environ["BORG_HOST_ID"] = HOST_ID
    _say(perform(order))
    return 0


def perform(order: Order) -> Ending:
    """Do it in this process."""
    from borg.helpers import Error  # noqa: PLC0415 - reads the environment while it is imported
    from borg.locking import LockFailed, LockTimeout  # noqa: PLC0415
    from borg.logger import setup_logging  # noqa: PLC0415
    from borg.repository import Repository  # noqa: PLC0415

    from saveos.repositories import locks  # noqa: PLC0415

    locks.adopt()
    setup_logging(level="warning", env_var=None)
    before = _size(Path(order.repository))
    try:
        # Exclusive in both cases: to make an index is to write.
        with Repository(order.repository, exclusive=True, lock_wait=LOCK_SECONDS) as repository:
            if order.compact:
                _compact(repository)
            if order.clean:
                repository.prepare_txn(repository.get_transaction_id())  # clears away what is behind it
                repository.rollback()
            segment = repository.get_transaction_id()
    except (LockTimeout, LockFailed) as error:
        return Ending(code="repository-locked", message=error.get_message())
    except Repository.InsufficientFreeSpaceError as error:
        return Ending(code="disk-full", message=error.get_message())
    except Error as error:
        return Ending(code="engine-error", message=error.get_message())
    freed = max(0, before - _size(Path(order.repository)))
    return Ending(segment=-1 if segment is None else segment, freed_bytes=freed)


def _compact(repository: Any) -> None:
    """As `borg compact` does it: the manifest is written once more, so that there is something to commit."""
    from borg.helpers import Manifest  # noqa: PLC0415 - see `perform`

    progress = logging.getLogger("borg.output.progress")
    progress.handlers, progress.propagate = [_Told()], False
    progress.setLevel(logging.INFO)
    repository.put(Manifest.MANIFEST_ID, repository.get(Manifest.MANIFEST_ID))
    repository.commit(compact=True, threshold=THRESHOLD)


class _Told(logging.Handler):
    """Passes on how far Borg is: "compact_segments 12%"."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, if there is a number."""
        words = [word for word in record.getMessage().replace("%", " ").split() if word.replace(".", "", 1).isdigit()]
        if words:
            _say(Step(done=min(1000, int(float(words[-1]) * 10))))


def _size(repository: Path) -> int:
    return sum(path.stat().st_size for path in (repository / "data").glob("*/*"))


def _say(message: Step | Ending) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
