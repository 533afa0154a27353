"""A search at one host: which of its paths fit, newest version first."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.protocol import AgentId, entry_path
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots.catalogue_model import Hit, Scope, kind_of, letters_of, milliseconds_of, moment_of
from saveos.snapshots.catalogue_reader import Paths
from saveos.snapshots.table_catalogue import OPEN, largest_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.snapshots.catalogue_model import SearchQuery
    from saveos.snapshots.catalogue_pattern import Pattern
    from saveos.snapshots.catalogue_reader import Reader

SCAN_STEP = 10_000  # nodes looked at one by one: some 3 ms
MATCH_STEP = 4_000_000  # nodes whose trigrams are looked up at once


class Host(msgspec.Struct, frozen=True):
    """Where to look."""

    id: AgentId
    hostname: str


class Look:
    """A query at one host."""

    def __init__(self, query: SearchQuery, pattern: Pattern, host: Host, deadline: float) -> None:
        """Look until `deadline` of the monotonic clock."""
        self._query, self._pattern, self.host, self._deadline = query, pattern, host, deadline
        self.hits: list[Hit] = []
        self.nodes: list[int] = []  # of the hits
        self._letters = letters_of(query.kinds)
        self._since = milliseconds_of(query.modified_since) if query.modified_since else None
        self._until = milliseconds_of(query.modified_until) if query.modified_until else None
        self._paths = Paths()
        self._last = 0  # the node up to which all has been looked at

    def into(self, reader: Reader, limit: int, after: int) -> int | None:
        """Keep what fits as hits; return the node to go on after when they are enough or the time is over."""
        k = reader.k_of(self._query.at_snapshot_id) if self._query.at_snapshot_id else None
        if not reader.ks or (self._query.at_snapshot_id and k is None):
            return None
        self._last, largest = after, largest_node(reader.connection)
        table.stop_at(reader.connection, self._is_over)
        try:
            while self._last < largest and len(self.hits) < limit:
                self._step(reader, limit, largest, k)
                if self._is_over():
                    break
        except sqlite3.OperationalError:
            if not self._is_over():
                raise
        finally:
            table.stop_at(reader.connection, None)
        return self._last if self._last < largest else None

    def give_up(self) -> None:
        """Let it end soon, whichever thread it is in: nobody wants to know any more."""
        self._deadline = 0.0

    def _step(self, reader: Reader, limit: int, largest: int, k: int | None) -> None:
        """Look at the next nodes: what has been looked at counts, whether or not anything fits."""
        until = min(self._last + (MATCH_STEP if self._pattern.trigrams else SCAN_STEP), largest)
        for node, parent, name in self._candidates(reader, self._last, until):
            hit = self._hit(reader, node, parent, name, k)
            self._last = node
            if hit is not None:
                self.hits.append(hit)
                self.nodes.append(node)
                if len(self.hits) >= limit:
                    return
        self._last = until

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def _candidates(self, reader: Reader, after: int, until: int) -> Iterator[tuple[int, int, str]]:
        """Give (id, parent, name) of the nodes after one, up to another, whose name fits."""
        if trigrams := self._pattern.trigrams:
            counts, has_joints = table.term_counts(reader.connection, [*trigrams, *self._pattern.joints])
            if has_joints and (joints := self._pattern.rarest_joints(counts)):
                nodes = table.nodes_matching(reader.connection, "joints", joints, after, until)
            else:
                match = self._pattern.rarest_trigrams(counts)
                nodes = table.nodes_matching(reader.connection, "names", match, after, until)
        else:
            nodes = table.nodes_with(reader.connection, _ascii(self._pattern.literals), after, until)
        for node, parent, raw in nodes:
            name = entry_path(raw)
            if self._pattern.fits_name(name):
                yield node, parent, name

    def _hit(self, reader: Reader, node: int, parent: int, name: str, k: int | None) -> Hit | None:
        if self._pattern.binds_folder and not self._pattern.fits_folder(reader.path(parent, self._paths)):
            return None
        version = self._version(reader, node, k)
        newest = reader.last_until(version["last"]) if version else None
        if version is None or newest is None or newest < version["first"]:
            return None
        above = reader.path(parent, self._paths)
        snapshot_id, at = reader.snapshot(newest)
        return Hit(
            agent_id=self.host.id,
            hostname=self.host.hostname,
            path=f"{above}/{name}" if above else name,
            kind=kind_of(version["kind"]),
            size_bytes=version["size"]
            if version["kind"] not in "di"
            else table.total(reader.connection, node, newest)[1],
            modified_at=moment_of(version["modified"]),
            newest_snapshot_id=snapshot_id,
            newest_at=at,
            is_in_latest=version["last"] == OPEN,
        )

    def _version(self, reader: Reader, node: int, k: int | None) -> sqlite3.Row | None:
        """Return the newest version of a node that fits."""
        rows = table.versions(reader.connection, [node])
        if not rows or (self._query.scope is Scope.DELETED and rows[0]["last"] == OPEN):
            return None
        return next((row for row in rows if self._fits(row, k)), None)

    def _fits(self, row: Any, k: int | None) -> bool:
        query = self._query
        if k is not None and not row["first"] <= k <= row["last"]:
            return False
        if query.scope is Scope.LATEST and row["last"] != OPEN:
            return False
        if self._letters and row["kind"] not in self._letters:
            return False
        if (
            not (query.min_bytes or 0)
            <= row["size"]
            <= (query.max_bytes if query.max_bytes is not None else row["size"])
        ):
            return False
        if self._since is None and self._until is None:
            return True
        modified = row["modified"]
        return (
            modified is not None
            and (self._since is None or modified >= self._since)
            and (self._until is None or modified < self._until)
        )


def _ascii(pieces: list[str]) -> list[str]:
    """Return the pieces that SQLite can look for whatever their case."""
    return [piece for piece in pieces if piece.isascii() and "\\" not in piece]
