"""How the one SQLite file is opened, read and written.

One thread writes (BEGIN IMMEDIATE, several callers per transaction, a savepoint each); every reading thread has a
connection of its own on WAL. Other processes (the command line) do the same beside us; SQLite's lock orders them.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from saveos.errors import DatabaseDamaged, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    Values = Sequence[Any] | Mapping[str, Any]

T = TypeVar("T")
Work = tuple["Callable[[sqlite3.Connection], Any]", "Future[Any]"]

BATCH = 200  # callers that share one transaction at most
BUSY_SECONDS = 10.0


def connect(path: Path, *, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the file in WAL with foreign keys on; rows are `sqlite3.Row`."""
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "secure_delete=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def one(connection: sqlite3.Connection, statement: str, values: Values = ()) -> sqlite3.Row | None:
    """Return the first row, if any."""
    row: sqlite3.Row | None = connection.execute(statement, values).fetchone()
    return row


def many(connection: sqlite3.Connection, statement: str, values: Values = ()) -> list[sqlite3.Row]:
    """Return all rows."""
    return connection.execute(statement, values).fetchall()


@contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the body in one write transaction that takes the lock first."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def copy_whole(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, however much is written meanwhile; the copy is one file, and is checked.

    Source: SQLite, "Online Backup API". In one step: else each write of another connection begins it anew.
    Raises DatabaseDamaged, sqlite3.Error.
    """
    with closing(connect(source)) as whole, closing(sqlite3.connect(target, isolation_level=None)) as copy:
        whole.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        require_whole(copy)


def require_whole(connection: sqlite3.Connection) -> None:
    """Raise DatabaseDamaged unless all of a database fits together."""
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found != ["ok"]:
        raise DatabaseDamaged(f"The database is damaged: {found[0][:200]}.")


class Database:
    """The open file. Close it last."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, which must have been migrated, and start the writer."""
        self.path = path
        self._local = threading.local()
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._closed = False
        self._writer = threading.Thread(target=self._write_loop, name="database-writer", daemon=True)
        self._writer.start()

    @property
    def read(self) -> sqlite3.Connection:
        """Give this thread's reading connection (`query_only`); it is closed with its thread. Raises Unavailable."""
        self._require_open()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path)
            connection.execute("PRAGMA query_only=ON")
            self._local.connection = connection
        return connection

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue a write; the future resolves after COMMIT with what `work` returned or raised. Raises Unavailable."""
        self._require_open()
        future: Future[T] = Future()
        self._work.put((work, future))
        return future

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a write transaction and return its result once it is committed."""
        return self.submit(work).result()

    async def write_async(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, without blocking the event loop."""
        return await asyncio.wrap_future(self.submit(work))

    def close(self) -> None:
        """Finish the queued writes and read no more.

        What other threads still read goes on: to close a connection under a reader is to crash the process.
        """
        if self._closed:
            return
        self._closed = True
        self._work.put(None)
        self._writer.join()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("The appliance is shutting down.")

    def _write_loop(self) -> None:
        connection = connect(self.path)
        try:
            while (first := self._work.get()) is not None:
                batch, is_last = self._drain(first)
                _run_batch(connection, batch)
                if is_last:
                    return
        finally:
            connection.execute("PRAGMA optimize")
            connection.execute("PRAGMA wal_checkpoint")  # it is not the last connection while somebody still reads
            connection.close()

    def _drain(self, first: Work) -> tuple[list[Work], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                following = self._work.get_nowait()
            except queue.Empty:
                return batch, False
            if following is None:
                return batch, True
            batch.append(following)
        return batch, False


def _run_batch(connection: sqlite3.Connection, batch: list[Work]) -> None:
    """Run each piece of work in its own savepoint; tell the callers only after COMMIT."""
    settled: list[tuple[Future[Any], Any, BaseException | None]] = []
    try:
        with immediate(connection):
            for work, future in batch:
                settled.append((future, *_run_one(connection, work)))
    except sqlite3.Error as error:
        failure = Unavailable(f"The database cannot be written: {error}.", reason=str(error))
        failure.__cause__ = error
        for _work, future in batch:
            future.set_exception(failure)
        return
    for future, result, error_raised in settled:
        if error_raised is None:
            future.set_result(result)
        else:
            future.set_exception(error_raised)


def _run_one(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]
) -> tuple[Any, BaseException | None]:
    connection.execute("SAVEPOINT work")
    try:
        result = work(connection)
    except sqlite3.OperationalError:
        raise  # disk full, file gone: nothing of this batch can be trusted
    except Exception as error:  # noqa: BLE001 - handed to the caller, whoever it is
        connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")
        return None, error
    connection.execute("RELEASE work")
    return result, None
