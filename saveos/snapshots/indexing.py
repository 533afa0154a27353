"""The process that brings received listings into their host's catalogue: `python -m saveos.snapshots.indexing`.

It reads Orders from stdin, each a line of JSON, and writes an Ending for each to stdout. Whenever it is killed, the
same order begins anew: a first listing is built in a file that nobody sees, every other one is a transaction.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sqlite3
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.agent import privacy
from saveos.database.connection import immediate
from saveos.errors import InvalidRequest, SaveOSError
from saveos.snapshots import catalogue_lines as lines
from saveos.snapshots import catalogue_writer as writer
from saveos.snapshots import table_catalogue as table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NICENESS = 10
_MACHINE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
)
LIMIT_BYTES = 8 * 1024**3  # of one host's catalogue: some fifty million paths


class WrongBase(InvalidRequest):
    """A difference to something that the catalogue does not hold as its newest."""

    code = "wrong-base"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to bring in where. `base`: the archive that the listing is a difference to, "" when it is whole."""

    catalogue: str
    parts: str
    snapshot_id: str
    archive: str
    at: str
    base: str = ""
    limit_bytes: int = LIMIT_BYTES


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. `code` is empty or says why the listing is of no use."""

    code: str = ""
    message: str = ""
    entries_count: int = 0


def main() -> int:
    """Do the orders on stdin, until one is of no use."""
    os.nice(NICENESS)
    os.umask(0o077)
    privacy.end_with_parent(signal.SIGKILL)
    for line in sys.stdin.buffer:
        ending = perform(msgspec.json.decode(line, type=Order))
        sys.stdout.buffer.write(msgspec.json.encode(ending) + b"\n")
        if ending.code:
            break
    return 0


def perform(order: Order) -> Ending:
    """Bring a listing in, once however often it is asked for. Raises OSError, sqlite3.Error: the machine's failures.

    Whatever else goes wrong is the listing's, or that of its catalogue, and is met again at each attempt.
    """
    path = Path(order.catalogue)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with _alone(path):
            if path.exists():
                return _bring_in(path, order)
            return _begin(path, order)
    except SaveOSError as error:
        return Ending(code=error.code, message=error.message)
    except (OSError, MemoryError):
        raise
    except sqlite3.DatabaseError as error:
        return _ending_of(error, path)
    except Exception as error:  # noqa: BLE001 - what a host makes us trip over is the end of its listing alone
        traceback.print_exc()
        return Ending(code="unreadable", message=f"The listing cannot be brought in: {error!r}.")


def _ending_of(error: sqlite3.DatabaseError, path: Path) -> Ending:
    """Tell what SQLite met; raise it when it may go another time."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # sqlite3's own errors have none
    if code == sqlite3.SQLITE_FULL and _has_room(path):
        return Ending(code="too-large", message="This host's catalogue would grow beyond its limit.")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Ending(code="broken-catalogue", message=f"This host's catalogue is broken: {error}.")
    if code in _MACHINE:
        raise error
    return Ending(code="unreadable", message=f"The listing cannot be brought in: {error}.")


def forget(path: Path, snapshot_ids: Iterable[str], limit_bytes: int = LIMIT_BYTES) -> None:
    """Take snapshots that are no more out of a catalogue, which goes with the last of them.

    The newest one that is left is what the next difference is to: whatever came after it is undone. Raises OSError,
    sqlite3.Error.
    """
    if not path.parent.exists():
        return
    with _alone(path):
        if not path.exists():
            return
        with contextlib.closing(table.open_to_write(path, limit_bytes)) as connection, immediate(connection):
            for snapshot_id in snapshot_ids:
                if (moment := table.moment_of(connection, snapshot_id)) is not None:
                    table.forget_moment(connection, moment["k"])
            newest, last = table.newest_kept(connection), table.last_moment(connection)
            if last is not None and 0 < newest < last["k"]:
                table.go_back_to(connection, newest)
        if not newest:
            path.unlink()
            _unlink_journal(path)


def _begin(path: Path, order: Order) -> Ending:
    if order.base:
        raise WrongBase("There is no catalogue yet that this difference could be brought into.")
    temporary = path.with_suffix(".making")
    temporary.unlink(missing_ok=True)
    with contextlib.closing(table.create(temporary, order.limit_bytes)) as connection:
        with immediate(connection):
            entries_count = _write(connection, order, 1, 0)
        table.seal(connection)
    descriptor = os.open(temporary, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    if not Path(order.parts).exists():
        raise lines.MissingParts("The listing is not wanted any more.")
    _unlink_journal(path)  # of one that was deleted while it was written: the new one is not to replay it
    temporary.replace(path)
    return Ending(entries_count=entries_count)


def _bring_in(path: Path, order: Order) -> Ending:
    with contextlib.closing(table.open_to_write(path, order.limit_bytes)) as connection:
        done = table.moment_of(connection, order.snapshot_id)
        if done is not None:
            return Ending(entries_count=done["entries_count"])
        last = table.last_moment(connection)
        if last is None or (order.base and order.base != last["archive"]):
            raise WrongBase("The catalogue's newest snapshot is another than this difference needs.")
        with immediate(connection):
            entries_count = _write(connection, order, last["k"] + 1, last["entries_count"])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Ending(entries_count=entries_count)


def _write(connection: sqlite3.Connection, order: Order, k: int, before: int) -> int:
    received = lines.read(lines.parts_of(Path(order.parts)))
    written = writer.bring_in(connection, k, received, is_whole=not order.base)
    entries_count = before + written.growth
    table.add_moment(connection, (k, order.snapshot_id, order.archive, order.at, entries_count))
    return entries_count


def _unlink_journal(path: Path) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process, such as an orphan of a killed appliance, fills this catalogue."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _has_room(path: Path) -> bool:
    status = os.statvfs(path.parent)
    return status.f_bavail * status.f_frsize > 64 * 1024**2


if __name__ == "__main__":
    sys.exit(main())
