"""Bring one listing into a catalogue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from saveos.protocol import entry_path
from saveos.protocol_listing import SEPARATOR, name_of, parent_of
from saveos.snapshots import table_catalogue as table
from saveos.snapshots.catalogue_lines import MalformedListing
from saveos.snapshots.catalogue_pattern import fold, joints_of, trigrams_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from saveos.snapshots.catalogue_lines import Line

BATCH = 4000
BYTES_LIMIT = 2**62  # of all that a snapshot holds: sums of folders fit SQLite's integers
_TOO_LARGE = "The sizes of the listing are larger than can be."


class _Folder:
    """A folder that is open while the lines of what it holds go by."""

    __slots__ = ("bytes", "files", "is_touched", "key", "node")

    def __init__(self, key: bytes, node: int) -> None:
        self.key, self.node = key, node
        self.files = self.bytes = 0
        self.is_touched = False


class Writer:
    """The one who brings a listing in as moment `k`. Call `take` for each line in order, then `finish`."""

    def __init__(self, connection: sqlite3.Connection, k: int, *, is_whole: bool) -> None:
        """`is_whole`: what no line names is gone."""
        self._connection, self._k = connection, k
        self._is_first, self._is_whole = k == 1, is_whole
        self._next = table.largest_node(connection) + 1
        self._seen = bytearray(self._next // 8 + 1) if is_whole and not self._is_first else None
        self._open = [_Folder(b"", 0)]
        self._nodes: list[tuple[int, int, int, bytes]] = []
        self._versions: list[tuple[int, int, str, int, int | None, int, int]] = []
        self._closed: list[tuple[int, int, int]] = []
        self._totals: list[tuple[int, int, int, int]] = []
        self._names: list[tuple[int, str]] = []  # folded
        self._joints: list[tuple[int, str]] = []
        self._terms: Counter[str] = Counter()
        self._added_bytes = 0
        self.growth = 0  # entries more than before

    def take(self, line: Line) -> None:
        """Bring one line in. Raises MalformedListing when its folder is not there, or all is larger than can be."""
        folder = self._enter(parent_of(line.key))
        known = [] if self._is_first else table.present(self._connection, folder.node, line.name)
        same = None
        for node, is_leaf, first, *facts in known:
            if not line.is_gone and is_leaf == line.is_leaf:
                same = node
                if first is not None and tuple(facts) == line.facts:
                    self._keep(line, node)
                    return
            if first is not None:
                self._close(folder, node, first, is_leaf, facts[1])
                if not is_leaf and node != same:
                    self._open.append(_Folder(line.key, node))  # the lines of what was in it follow
        if not line.is_gone:
            node = self._add_node(folder, line) if same is None else same
            self._add_version(folder, node, line)
            self._keep(line, node)

    def finish(self) -> None:
        """Write what waits, and end what is gone. Raises MalformedListing when all is larger than can be."""
        while self._open:
            self._leave()
        self._flush()
        if self._seen is not None:
            self._close_unseen(self._seen)
        if table.total_bytes(self._connection) >= BYTES_LIMIT:
            raise MalformedListing(_TOO_LARGE)

    def _keep(self, line: Line, node: int) -> None:
        if self._seen is not None and node >> 3 < len(self._seen):
            self._seen[node >> 3] |= 1 << (node & 7)
        if not line.is_leaf:
            self._open.append(_Folder(line.key, node))

    def _enter(self, key: bytes) -> _Folder:
        """Return the open folder of a key, leaving those that the lines are through with."""
        while self._open[-1].key != key and self._open[-1].key and not key.startswith(self._open[-1].key + SEPARATOR):
            self._leave()
        if self._open[-1].key != key:
            above = self._open[-1]
            for name in key[len(above.key) :].removeprefix(SEPARATOR).split(SEPARATOR):
                above = self._find(above, name)
                self._open.append(above)
        return self._open[-1]

    def _find(self, above: _Folder, part: bytes) -> _Folder:
        if not self._is_first:
            self._flush()
            for node, is_leaf, first, *_facts in table.present(self._connection, above.node, name_of(part)):
                if not is_leaf and first is not None:
                    key = above.key + SEPARATOR + part if above.key else part
                    return _Folder(key, node)
        raise MalformedListing("An entry of the listing lies in no folder.")

    def _leave(self) -> None:
        folder = self._open.pop()
        if not folder.is_touched:
            return
        self._totals.append((folder.node, self._k, folder.files, folder.bytes))
        if self._open:
            above = self._open[-1]
            above.files += folder.files
            above.bytes += folder.bytes
            above.is_touched = True

    def _add_node(self, folder: _Folder, line: Line) -> int:
        node = self._next
        self._next += 1
        self._nodes.append((node, folder.node, int(line.is_leaf), line.name))
        name = fold(entry_path(line.name))
        self._names.append((node, name))
        if joints := joints_of(name):
            self._joints.append((node, " ".join(joints)))
        if node % table.SAMPLED == 0:
            self._terms.update({*trigrams_of(name), *joints})
        return node

    def _add_version(self, folder: _Folder, node: int, line: Line) -> None:
        self._added_bytes += line.size
        if self._added_bytes >= BYTES_LIMIT:
            raise MalformedListing(_TOO_LARGE)
        self._versions.append((node, self._k, line.kind, line.size, line.modified, line.mode, line.place))
        self._count(folder, 1, line.size, is_leaf=line.is_leaf)
        if len(self._versions) >= BATCH:
            self._flush()

    def _close(self, folder: _Folder, node: int, first: int, is_leaf: int, size: int) -> None:
        self._closed.append((self._k - 1, node, first))
        self._count(folder, -1, -size, is_leaf=bool(is_leaf))

    def _count(self, folder: _Folder, entries: int, size: int, *, is_leaf: bool) -> None:
        self.growth += entries
        folder.is_touched = True
        if is_leaf:
            folder.files += entries
            folder.bytes += size

    def _flush(self) -> None:
        connection = self._connection
        table.add_nodes(connection, self._nodes)
        table.close_versions(connection, self._closed)
        table.add_versions(connection, self._versions)
        table.add_totals(connection, self._totals)
        table.add_names(connection, self._names)
        table.add_joints(connection, self._joints)
        table.count_terms(connection, self._terms.items())
        written = (self._nodes, self._closed, self._versions, self._totals, self._names, self._joints, self._terms)
        for rows in written:
            rows.clear()

    def _close_unseen(self, seen: bytearray) -> None:
        """End what a whole listing does not name."""
        gone: dict[int, list[int]] = {}  # by folder: files and bytes fewer
        for node, first, size, parent, is_leaf in table.open_versions(self._connection):
            if first == self._k or seen[node >> 3] & 1 << (node & 7):
                continue
            self._closed.append((self._k - 1, node, first))
            self.growth -= 1
            fewer = gone.setdefault(parent, [0, 0])
            fewer[0] -= is_leaf
            fewer[1] -= size * is_leaf
        self._totals = [(node, self._k, files, size) for node, (files, size) in _summed(self._connection, gone).items()]
        self._flush()


def _summed(connection: sqlite3.Connection, direct: dict[int, list[int]]) -> dict[int, list[int]]:
    """Add what each folder lost to all the folders that it lies in."""
    totals: dict[int, list[int]] = {}
    parents: dict[int, int] = {}
    for node, (files, size) in direct.items():
        at = node
        while True:
            total = totals.setdefault(at, [0, 0])
            total[0] += files
            total[1] += size
            if at == 0:
                break
            if at not in parents:
                parents[at] = table.parent(connection, at)
            at = parents[at]
    return totals


def _add_all_joints(connection: sqlite3.Connection) -> None:
    """Give a catalogue of the former version the joints of all its names."""
    counts: Counter[str] = Counter()

    def rows() -> Iterator[tuple[int, str]]:
        for node, raw in table.names(connection):
            joints = joints_of(fold(entry_path(raw)))
            if node % table.SAMPLED == 0:
                counts.update(set(joints))
            if joints:
                yield node, " ".join(joints)

    table.add_joints_index(connection)
    table.add_joints(connection, rows())
    table.count_terms(connection, counts.items())


def bring_in(connection: sqlite3.Connection, k: int, lines: Iterable[Line], *, is_whole: bool) -> Writer:
    """Bring a listing in as moment `k`, inside the caller's transaction; return what was counted."""
    if table.version(connection) < table.VERSION:
        _add_all_joints(connection)
    writer = Writer(connection, k, is_whole=is_whole)
    for line in lines:
        writer.take(line)
    writer.finish()
    return writer
