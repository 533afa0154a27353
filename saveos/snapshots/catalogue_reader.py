"""One open catalogue: finds paths in it, and turns its rows into what people see."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from saveos.protocol import SnapshotId, entry_bytes, entry_path
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots.catalogue_model import Change, Entry, kind_of, moment_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable


FOLDER_SECONDS = 3.0  # then a folder's page ends, however little is on it
PATHS_BYTES = 4 * 1024**2  # of folders' paths that are remembered: some 30,000, or a thousand of the longest


class Paths:
    """The paths of the folders that were met last, as far as they fit: hosts say how long paths are, and how many."""

    def __init__(self, limit_bytes: int = PATHS_BYTES) -> None:
        """Remember nothing yet."""
        self._limit_bytes = limit_bytes
        self._paths: OrderedDict[int, str] = OrderedDict()
        self.bytes = 0

    def get(self, node: int) -> str | None:
        """Return a folder's path if it is remembered."""
        path = self._paths.get(node)
        if path is not None:
            self._paths.move_to_end(node)
        return path

    def keep(self, node: int, path: str) -> None:
        """Remember a folder's path, and forget those that were not asked for the longest."""
        if node in self._paths:
            return
        self._paths[node] = path
        self.bytes += sys.getsizeof(path)
        while self.bytes > self._limit_bytes:
            self.bytes -= sys.getsizeof(self._paths.popitem(last=False)[1])


class Reader:
    """A catalogue as it is now."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read the moments; the rest as it is asked for."""
        self.connection = connection
        moments = table.moments(connection)
        self.ks = [moment.k for moment in moments]
        self._by_snapshot: dict[str, int] = {moment.snapshot_id: moment.k for moment in moments}
        self._moments = {moment.k: moment for moment in moments}

    def k_of(self, snapshot_id: str) -> int | None:
        """Return the moment of a snapshot, None when it is not indexed."""
        return self._by_snapshot.get(snapshot_id)

    @property
    def snapshot_ids(self) -> Iterable[str]:
        """The snapshots that it holds."""
        return self._by_snapshot.keys()

    @property
    def newest(self) -> int:
        """The newest moment; 0 when there is none."""
        return self.ks[-1] if self.ks else 0

    def entries_count(self, k: int) -> int:
        """Return how many entries a moment has."""
        return self._moments[k].entries_count

    def snapshot(self, k: int) -> tuple[SnapshotId, datetime]:
        """Return a moment's snapshot and when it was made."""
        return self._moments[k].snapshot_id, datetime.fromisoformat(self._moments[k].at)

    def first_from(self, k: int) -> int | None:
        """Return the first moment that is still known from k on."""
        at = bisect_left(self.ks, k)
        return self.ks[at] if at < len(self.ks) else None

    def last_until(self, k: int) -> int | None:
        """Return the last moment that is still known up to k."""
        at = bisect_right(self.ks, k)
        return self.ks[at - 1] if at else None

    def nodes(self, path: str) -> tuple[int | None, int | None]:
        """Return the nodes of a path: as a folder, and as anything else; (0, None) for the root. Raises ValueError."""
        if not path:
            return 0, None
        *above, name = entry_bytes(path).split(b"/")
        at: int | None = 0
        for part in above:
            at = table.node(self.connection, at, part, 0) if at is not None else None
        if at is None:
            return None, None
        return table.node(self.connection, at, name, 0), table.node(self.connection, at, name, 1)

    def path(self, node: int, known: Paths) -> str:
        """Return a node's path; `known` keeps those of folders from one call to the next."""
        below: list[tuple[int, str, int]] = []
        path: str | None = None
        while node and (path := known.get(node)) is None:
            row = table.upward(self.connection, node)
            if row is None:
                return ""
            below.append((node, entry_path(row["name"]), row["is_leaf"]))
            node = row["parent"]
        path = path or ""
        for at, name, is_leaf in reversed(below):
            path = f"{path}/{name}" if path else name
            if not is_leaf:
                known.keep(at, path)
        return path

    def children(
        self, folder: int, k: int, other: int | None, after: tuple[int, bytes] | None, limit: int
    ) -> tuple[list[sqlite3.Row], sqlite3.Row | None]:
        """Return what a folder holds at k (or at the other moment), and the row to go on after if there may be more.

        That is so when they are enough or the time is over: what the folder held once is looked at too.
        """
        deadline = time.monotonic() + FOLDER_SECONDS
        rows = (
            table.children(self.connection, folder, k, after)
            if other is None
            else table.children_of_both(self.connection, folder, (k, other), after)
        )
        found: list[sqlite3.Row] = []
        for row in rows:
            if row["kind"] is not None:
                found.append(row)
            if len(found) >= limit or time.monotonic() >= deadline:
                return found, row
        return found, None

    def entry(self, row: sqlite3.Row | dict[str, Any], above: str, k: int, change: Change = Change.NONE) -> Entry:
        """Return what a row of a folder shows at k."""
        name = entry_path(row["name"])
        files_count, size = (None, row["size"]) if row["is_leaf"] else table.total(self.connection, row["id"], k)
        return Entry(
            name=name,
            path=f"{above}/{name}" if above else name,
            kind=kind_of(row["kind"]),
            size_bytes=size,
            files_count=files_count,
            modified_at=moment_of(row["modified"]),
            mode=row["mode"],
            place=self._place(row, k),
            change=change,
        )

    def _place(self, row: sqlite3.Row | dict[str, Any], k: int) -> int | None:
        """Return about where the entry is in the archive of k: places move as other entries come and go."""
        if row["place"] < 0:
            return None
        then = self._moments.get(row["first"])
        if then is None or not then.entries_count:
            return int(row["place"])
        return int(row["place"] * self.entries_count(k) // then.entries_count)
