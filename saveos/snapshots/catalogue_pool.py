"""Open catalogues, kept open between questions: to open one costs more than to ask it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots.catalogue_reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
log = logging.getLogger("saveos.catalogue")
IDLE_LIMIT = 256

_idle: OrderedDict[tuple[str, int], sqlite3.Connection] = OrderedDict()  # by path and inode: a rebuilt one is another
_lock = threading.Lock()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Reader | None]:
    """Lend an open catalogue, in one state from beginning to end; None when there is none to be read."""
    try:
        key = (str(path), path.stat().st_ino)
        with _lock:
            connection = _idle.pop(key, None)
        if connection is None:
            connection = table.open_to_read(path)
        connection.execute("BEGIN")
        reader = Reader(connection)
    except FileNotFoundError:
        yield None
        return
    except sqlite3.DatabaseError as error:
        log.error("The catalogue %s cannot be read: %s", path.name, error)  # noqa: TRY400 - what matters is said
        yield None
        return
    try:
        yield reader
    except BaseException:
        connection.close()
        raise
    connection.execute("COMMIT")
    _keep(key, connection)


def drop(path: Path) -> None:
    """Close what is open of a catalogue that was deleted: until then its bytes stay."""
    with _lock:
        dropped = [_idle.pop(key) for key in list(_idle) if key[0] == str(path)]
    for connection in dropped:
        connection.close()


def _keep(key: tuple[str, int], connection: sqlite3.Connection) -> None:
    with _lock:
        former = _idle.pop(key, None)
        if not _is_there(key):  # deleted meanwhile, see `drop`
            connection.close()
            return
        _idle[key] = connection
        oldest = _idle.popitem(last=False)[1] if len(_idle) > IDLE_LIMIT else None
    for unneeded in (former, oldest):
        if unneeded is not None:
            unneeded.close()


def _is_there(key: tuple[str, int]) -> bool:
    try:
        return Path(key[0]).stat().st_ino == key[1]
    except FileNotFoundError:
        return False
