"""All SQL that makes and fills a catalogue: one SQLite file per agent, apart from the appliance's own database.

Each path stands once, each version of it with the moments (snapshots in their order) from `first` to `last`; OPEN is
the `last` of what the newest snapshot holds. A path that was a file and a folder at different times is two nodes, so
that folders come first in the order of the index. Names are found by their trigrams. (Groups of 32 names to one entry
make the file a sixth smaller and a search for common syllables forty times slower.) Those that two words of a text
bring together are found by what is on both sides of a joint. How often trigrams and joints occur is counted at one name
of SAMPLED, so that a search looks the rarest ones up: the index cannot say it without reading it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from saveos.database.connection import one

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

OPEN = 2**31 - 1
PAGE_BYTES = 4096
CACHE_KIB = 64 * 1024
VERSION = 3
OLDEST = 2  # without joints: it is read as it is, and gets them with the next listing
SAMPLED = 64

_SCHEMA = """
CREATE TABLE moments (
    k INTEGER PRIMARY KEY, snapshot_id TEXT UNIQUE, archive TEXT NOT NULL, at TEXT NOT NULL,
    entries_count INTEGER NOT NULL
);
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, is_leaf INTEGER NOT NULL, name BLOB NOT NULL,
    UNIQUE (parent, is_leaf, name)
);
CREATE TABLE versions (
    node INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL,
    modified INTEGER, mode INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (node, first)
) WITHOUT ROWID;
CREATE INDEX versions_begun ON versions(first) WHERE first > 1;
CREATE INDEX versions_ended ON versions(last) WHERE last < 2147483647;
CREATE TABLE totals (
    node INTEGER NOT NULL, k INTEGER NOT NULL, files_count INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (node, k)
) WITHOUT ROWID;
CREATE TABLE trigrams (text TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE names USING fts5(text, content='', detail=none, columnsize=0, tokenize='trigram');
"""
_JOINTS = "CREATE VIRTUAL TABLE joints USING fts5(text, content='', detail=none, columnsize=0, tokenize='ascii')"


def create(path: Path, limit_bytes: int) -> sqlite3.Connection:
    """Make an empty catalogue that nobody else sees yet: without a journal, as a failure begins anew."""
    path.touch(mode=0o600)
    connection = _open(path, limit_bytes, "OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.executescript(_SCHEMA)
    add_joints_index(connection)
    return connection


def add_joints_index(connection: sqlite3.Connection) -> None:
    """Make a catalogue one of this version, by an index of joints that is empty."""
    connection.execute(_JOINTS)
    connection.execute(f"PRAGMA user_version={VERSION}")


def open_to_write(path: Path, limit_bytes: int) -> sqlite3.Connection:
    """Open a catalogue that others read meanwhile."""
    return _open(path, limit_bytes, "WAL")


def is_of_use(path: Path) -> bool:
    """Return whether there is a catalogue, of a version that can be read and written."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return OLDEST <= version(connection) <= VERSION
    except sqlite3.DatabaseError:
        return False


def version(connection: sqlite3.Connection) -> int:
    """Return the version of a catalogue's form."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def seal(connection: sqlite3.Connection) -> None:
    """Bring a new catalogue into the form that others may read while it is written."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def last_moment(connection: sqlite3.Connection) -> sqlite3.Row | None:
    """Return the newest moment."""
    return one(connection, "SELECT * FROM moments ORDER BY k DESC LIMIT 1")


def moment_of(connection: sqlite3.Connection, snapshot_id: str) -> sqlite3.Row | None:
    """Return the moment of a snapshot."""
    return one(connection, "SELECT * FROM moments WHERE snapshot_id = ?", (snapshot_id,))


def add_moment(connection: sqlite3.Connection, values: tuple[int, str, str, str, int]) -> None:
    """Add a moment: k, snapshot id, archive, text time, entries."""
    connection.execute("INSERT INTO moments VALUES (?, ?, ?, ?, ?)", values)


def forget_moment(connection: sqlite3.Connection, k: int) -> None:
    """Forget a moment's snapshot, and the versions that no other one has. Moments after it keep their numbers."""
    connection.execute("UPDATE moments SET snapshot_id = NULL WHERE k = ?", (k,))
    before, after = connection.execute(
        "SELECT coalesce((SELECT max(k) FROM moments WHERE k < ?1 AND snapshot_id IS NOT NULL), 0),"
        f" coalesce((SELECT min(k) FROM moments WHERE k > ?1 AND snapshot_id IS NOT NULL), {OPEN})",
        (k,),
    ).fetchone()
    connection.execute(
        f"DELETE FROM versions WHERE (node, first) IN (SELECT node, first FROM versions INDEXED BY versions_ended"
        f" WHERE last < {OPEN} AND last > ?1 AND last < ?2 AND first > ?1)",
        (before, after),
    )


def newest_kept(connection: sqlite3.Connection) -> int:
    """Return the newest moment whose snapshot is not forgotten, 0 when there is none."""
    row = connection.execute("SELECT coalesce(max(k), 0) FROM moments WHERE snapshot_id IS NOT NULL").fetchone()
    return int(row[0])


def go_back_to(connection: sqlite3.Connection, k: int) -> None:
    """Undo all moments after one: it is the newest again, as the next difference takes it."""
    connection.execute("DELETE FROM versions WHERE first > 1 AND first > ?", (k,))
    connection.execute(f"UPDATE versions SET last = {OPEN} WHERE last < {OPEN} AND last >= ?", (k,))
    connection.execute("DELETE FROM totals WHERE k > ?", (k,))
    connection.execute("DELETE FROM moments WHERE k > ?", (k,))


def largest_node(connection: sqlite3.Connection) -> int:
    """Return the largest id of a node."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM nodes").fetchone()[0])


def present(connection: sqlite3.Connection, parent: int, name: bytes) -> list[tuple[Any, ...]]:
    """Return (id, is_leaf, first, kind, size, modified, mode) of the nodes of a name in a folder.

    `first` and all after it are None for what the newest moment does not hold.
    """
    rows: list[tuple[Any, ...]] = connection.execute(
        "SELECT n.id, n.is_leaf, v.first, v.kind, v.size, v.modified, v.mode FROM nodes n"
        " LEFT JOIN versions v ON v.node = n.id AND v.last = ?"
        " WHERE n.parent = ? AND n.is_leaf IN (0, 1) AND n.name = ?",
        (OPEN, parent, name),
    ).fetchall()
    return rows


def add_nodes(connection: sqlite3.Connection, rows: Iterable[tuple[int, int, int, bytes]]) -> None:
    """Add nodes: id, parent, is_leaf, name."""
    connection.executemany("INSERT INTO nodes VALUES (?, ?, ?, ?)", rows)


def add_versions(
    connection: sqlite3.Connection, rows: Iterable[tuple[int, int, str, int, int | None, int, int]]
) -> None:
    """Add versions that the newest moment holds: node, first, kind, size, modified, mode, place."""
    connection.executemany(f"INSERT INTO versions VALUES (?, ?, {OPEN}, ?, ?, ?, ?, ?)", rows)


def add_names(connection: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
    """Make nodes findable: node, folded name."""
    connection.executemany("INSERT INTO names (rowid, text) VALUES (?, ?)", rows)


def add_joints(connection: sqlite3.Connection, rows: Iterable[tuple[int, str]]) -> None:
    """Make nodes findable by their joints: node, the joints' letters with spaces between them."""
    connection.executemany("INSERT INTO joints (rowid, text) VALUES (?, ?)", rows)


def names(connection: sqlite3.Connection) -> Iterable[tuple[int, bytes]]:
    """Give (id, name) of all nodes."""
    return connection.execute("SELECT id, name FROM nodes ORDER BY id")


def count_terms(connection: sqlite3.Connection, rows: Iterable[tuple[str, int]]) -> None:
    """Add to how often trigrams and joints occur in the sample: term, times more."""
    connection.executemany(
        "INSERT INTO trigrams VALUES (?, ?) ON CONFLICT (text) DO UPDATE SET count = count + excluded.count", rows
    )


def close_versions(connection: sqlite3.Connection, rows: Iterable[tuple[int, int, int]]) -> None:
    """End versions: last, node, first."""
    connection.executemany("UPDATE versions SET last = ? WHERE node = ? AND first = ?", rows)


def open_versions(connection: sqlite3.Connection) -> Iterable[tuple[int, int, int, int, int]]:
    """Give (node, first, size, parent, is_leaf) of all that the newest moment holds."""
    return connection.execute(
        "SELECT v.node, v.first, v.size, n.parent, n.is_leaf FROM versions v JOIN nodes n ON n.id = v.node"
        " WHERE v.last = ?",
        (OPEN,),
    )


def parent(connection: sqlite3.Connection, node: int) -> int:
    """Return a node's folder; 0 is the root."""
    return int(connection.execute("SELECT parent FROM nodes WHERE id = ?", (node,)).fetchone()[0])


def total_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of all that the newest moment holds."""
    row = connection.execute("SELECT bytes FROM totals WHERE node = 0 ORDER BY k DESC LIMIT 1").fetchone()
    return int(row["bytes"]) if row else 0


def add_totals(connection: sqlite3.Connection, rows: Iterable[tuple[int, int, int, int]]) -> None:
    """Add to the totals of folders from a moment on: node, k, files, bytes more than at the moment before."""
    connection.executemany(
        "INSERT INTO totals SELECT ?1, ?2, ?3 + coalesce(max(t.files_count), 0), ?4 + coalesce(max(t.bytes), 0) FROM"
        " (SELECT files_count, bytes FROM totals WHERE node = ?1 AND k <= ?2 ORDER BY k DESC LIMIT 1) t WHERE true"
        " ON CONFLICT (node, k) DO UPDATE SET files_count = excluded.files_count, bytes = excluded.bytes",
        rows,
    )


def _open(path: Path, limit_bytes: int, journal: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute(f"PRAGMA max_page_count={limit_bytes // PAGE_BYTES}")
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection
