"""All SQL that reads a catalogue. `k` is a moment; what holds at `k` has first <= k <= last."""

from __future__ import annotations

import heapq
import sqlite3
from typing import TYPE_CHECKING, Literal

import msgspec

from saveos.database.connection import many, one
from saveos.protocol import SnapshotId
from saveos.snapshots.table_catalogue import OPEN, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

CACHE_KIB = 1024
_VERSION = "v.first, v.last, v.kind, v.size, v.modified, v.mode, v.place"
_AT = "v.node = n.id AND v.first <= {0} AND v.last >= {0}"

_NO_TEXT = " OR ".join(f'"\\x{digit}"' for digit in "89abcdef")  # what `entry_path` shows of bytes that are no UTF-8
_IN_FOLDER = "n.parent = :parent AND (n.is_leaf, n.name) > (:leaf, :name) ORDER BY n.parent, n.is_leaf, n.name"


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a catalogue; it is never changed through this. Raises sqlite3.OperationalError when there is none."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA temp_store=MEMORY")  # names of sealed listings reach no disk
    connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
    return connection


def stop_at(connection: sqlite3.Connection, is_over: Callable[[], bool] | None) -> None:
    """Interrupt what runs too long (sqlite3.OperationalError); None lets it run."""
    connection.set_progress_handler(is_over, 20_000)


class Moment(msgspec.Struct, frozen=True, array_like=True):
    """When a snapshot was made (text), and how many entries it has."""

    k: int
    snapshot_id: SnapshotId
    at: str
    entries_count: int


_MOMENTS, _COUNTS = msgspec.json.Decoder(list[Moment]), msgspec.json.Decoder(dict[str, int])


def moments(connection: sqlite3.Connection) -> list[Moment]:
    """Return all moments in their order; in one row, as each lets go of the interpreter, and others wait to get it."""
    row = one(
        connection,
        "SELECT json_group_array(json_array(k, snapshot_id, at, entries_count)) AS found FROM"
        " (SELECT * FROM moments WHERE snapshot_id IS NOT NULL ORDER BY k)",
    )
    return _MOMENTS.decode(row["found"]) if row else []


def node(connection: sqlite3.Connection, parent: int, name: bytes, is_leaf: int) -> int | None:
    """Return the id of a name in a folder."""
    row = one(connection, "SELECT id FROM nodes WHERE parent = ? AND is_leaf = ? AND name = ?", (parent, is_leaf, name))
    return row["id"] if row else None


def upward(connection: sqlite3.Connection, node_id: int) -> sqlite3.Row | None:
    """Return parent and name of a node."""
    return one(connection, "SELECT parent, name, is_leaf FROM nodes WHERE id = ?", (node_id,))


def children(
    connection: sqlite3.Connection, parent: int, k: int, after: tuple[int, bytes] | None
) -> Iterator[sqlite3.Row]:
    """Give what a folder ever held, folders first, then by name; the kind of what it does not hold at k is None.

    `after`: is_leaf and name of the last one.
    """
    return connection.execute(
        f"SELECT n.id, n.is_leaf, n.name, {_VERSION} FROM nodes n LEFT JOIN versions v ON {_AT.format(':k')}"
        f" WHERE {_IN_FOLDER}",
        {"parent": parent, "k": k, "leaf": after[0] if after else -1, "name": after[1] if after else b""},
    )


def version_at(connection: sqlite3.Connection, node_id: int, k: int) -> sqlite3.Row | None:
    """Return a node's version at k."""
    return one(
        connection,
        f"SELECT n.id, n.is_leaf, n.name, {_VERSION} FROM nodes n JOIN versions v ON {_AT.format(':k')}"
        " WHERE n.id = :node",
        {"node": node_id, "k": k},
    )


def versions(connection: sqlite3.Connection, node_ids: Sequence[int]) -> list[sqlite3.Row]:
    """Return all versions of some nodes, newest first."""
    marks = ", ".join("?" * len(node_ids))
    return many(
        connection,
        f"SELECT v.node, {_VERSION} FROM versions v WHERE v.node IN ({marks}) ORDER BY v.first DESC",
        node_ids,
    )


def total(connection: sqlite3.Connection, folder: int, k: int) -> tuple[int, int]:
    """Return files and bytes of a folder at k, however deep."""
    row = one(
        connection,
        "SELECT files_count, bytes FROM totals WHERE node = ? AND k <= ? ORDER BY k DESC LIMIT 1",
        (folder, k),
    )
    return (row["files_count"], row["bytes"]) if row else (0, 0)


def totals(connection: sqlite3.Connection, folder: int) -> list[sqlite3.Row]:
    """Return k, files_count, bytes for each moment at which something in a folder changed."""
    return many(connection, "SELECT k, files_count, bytes FROM totals WHERE node = ? ORDER BY k", (folder,))


def is_touched(connection: sqlite3.Connection, folder: int, older: int, newer: int) -> bool:
    """Return whether anything in a folder changed after one moment, up to another."""
    statement = "SELECT 1 FROM totals WHERE node = ? AND k > ? AND k <= ? LIMIT 1"
    return one(connection, statement, (folder, older, newer)) is not None


def children_of_both(
    connection: sqlite3.Connection,
    parent: int,
    moments_compared: tuple[int, int],
    after: tuple[int, bytes] | None,
) -> Iterator[sqlite3.Row]:
    """Give what a folder ever held as it is at k or else at another moment, as `children`."""
    k, other = moments_compared
    return connection.execute(
        f"SELECT n.id, n.is_leaf, n.name, {_VERSION} FROM nodes n LEFT JOIN versions v ON v.node = n.id AND v.first ="
        " coalesce((SELECT a.first FROM versions a WHERE a.node = n.id AND a.first <= :k AND a.last >= :k),"
        " (SELECT b.first FROM versions b WHERE b.node = n.id AND b.first <= :other AND b.last >= :other))"
        f" WHERE {_IN_FOLDER}",
        {
            "parent": parent,
            "k": k,
            "other": other,
            "leaf": after[0] if after else -1,
            "name": after[1] if after else b"",
        },
    )


def changed_nodes(connection: sqlite3.Connection, older: int, newer: int, after: int) -> Generator[int, None, None]:
    """Give the ids, in their order, of nodes after one of which a version began or ended between two moments.

    The indexes have them in this order for each moment alone: merged, they are read no further than they are asked for.
    """
    begun = (
        "SELECT node FROM versions INDEXED BY versions_begun WHERE first > 1 AND first = ? AND node > ? ORDER BY node"
    )
    ended = (
        f"SELECT node FROM versions INDEXED BY versions_ended WHERE last < {OPEN} AND last = ? AND node > ?"
        " ORDER BY node"
    )
    streams = [_ids(connection, begun, k, after) for k in range(older + 1, newer + 1)]
    streams += [_ids(connection, ended, k, after) for k in range(older, newer)]
    last = after
    for node_id in heapq.merge(*streams):
        if node_id != last:
            yield node_id
        last = node_id


def _ids(connection: sqlite3.Connection, statement: str, k: int, after: int) -> Iterator[int]:
    cursor = connection.cursor()
    cursor.row_factory = None
    for row in cursor.execute(statement, (k, after)):
        yield row[0]


def term_counts(connection: sqlite3.Connection, terms: Sequence[str]) -> tuple[dict[str, int], bool]:
    """Return how often trigrams and joints occur in the sample, without those that do not; and whether it has joints.

    A catalogue of the former version has none.
    """
    marks = ", ".join("?" * len(terms))
    row = one(
        connection,
        "SELECT json_group_object(text, count) AS found, (SELECT user_version FROM pragma_user_version) AS version"
        f" FROM trigrams WHERE text IN ({marks})",
        terms,
    )
    return (_COUNTS.decode(row["found"]), row["version"] >= VERSION) if row else ({}, False)


def nodes_matching(
    connection: sqlite3.Connection, index: Literal["names", "joints"], match: str, after: int, until: int
) -> Iterator[tuple[int, int, bytes]]:
    """Give (id, parent, name) of the nodes after one, up to another, whose names may hold all terms of a query."""
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(
        f"SELECT n.id, n.parent, n.name FROM {index} f CROSS JOIN nodes n ON n.id = f.rowid"
        f" WHERE f.{index} MATCH ? AND f.rowid > ? AND f.rowid <= ? ORDER BY f.rowid",
        (match, after, until),
    )


def nodes_with(
    connection: sqlite3.Connection, pieces: Sequence[str], after: int, until: int
) -> Iterator[tuple[int, int, bytes]]:
    """Give (id, parent, name) of the nodes after one, up to another, whose names may hold all pieces (of ASCII).

    Looks at every name: letters beyond ASCII may fold to some of it, and bytes that are no text are shown in ASCII.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    numbers = range(4, len(pieces) + 4)
    conditions = " AND ".join(f"instr(lower(CAST(name AS TEXT)), ?{number})" for number in numbers) or "true"
    yield from cursor.execute(
        "SELECT id, parent, name FROM nodes WHERE id > ?1 AND id <= ?2"
        f" AND ({conditions} OR length(CAST(name AS TEXT)) < length(name)"
        " OR id IN (SELECT rowid FROM names WHERE names MATCH ?3 AND rowid > ?1 AND rowid <= ?2)) ORDER BY id",
        (after, until, _NO_TEXT, *pieces),
    )
