"""Find paths by part of their name, on one host or on all that a person may see, within a time."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission, Principal
from saveos.protocol import AgentId, entry_path
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots import table_listings
from saveos.snapshots.catalogue import known_snapshot
from saveos.snapshots.catalogue_model import (
    Hit,
    Scope,
    SearchPage,
    SearchQuery,
    kind_of,
    letters_of,
    milliseconds_of,
    moment_of,
)
from saveos.snapshots.catalogue_pattern import Pattern
from saveos.snapshots.table_catalogue import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.catalogue_reader import Reader

HITS_LIMIT = 1000
SECONDS = 5.0  # then what was found is shown


class _Host(msgspec.Struct, frozen=True):
    id: AgentId
    hostname: str


def search(
    database: Database,
    settings: Settings,
    principal: Principal,
    query: SearchQuery,
    *,
    limit: int = 100,
    after: str = "",
    seconds: float = SECONDS,
) -> SearchPage:
    """Return part of what a query finds, host by host; ends after so many seconds with what it has.

    Raises InvalidRequest (a text that no name holds, an `after` of somebody's making), NotFound (no such snapshot).
    """
    principal.require(Permission.READ)
    began, limit = time.monotonic(), min(max(limit, 1), HITS_LIMIT)
    deadline = began + seconds
    pattern = Pattern(query.text)
    hosts, skipped = _hosts(database, principal, query)
    begin_host, begin_node = _after(after, hosts)
    hits: list[Hit] = []
    next_after, searched = None, 0
    for host in hosts[begin_host:]:
        if len(hits) >= limit or time.monotonic() >= deadline:
            next_after = f"{host.id}.0"
            break
        look = _Look(query, pattern, host, deadline)
        with pool.reading(files.catalogue(settings, principal.tenant_id, host.id)) as reader:
            if reader is None:
                skipped += 1
                continue
            node = look.into(reader, hits, limit, begin_node)
        begin_node = 0
        searched += 1
        if node is not None:
            next_after = f"{host.id}.{node}"
            break
    is_out_of_time = next_after is not None and len(hits) < limit
    return SearchPage(
        hits=tuple(hits),
        next_after=next_after,
        searched_hosts=searched,
        skipped_hosts=skipped + (len(hosts) - begin_host - searched if is_out_of_time else 0),
        is_cut=next_after is not None,
        took_seconds=round(time.monotonic() - began, 4),
    )


class _Look:
    """A query at one host."""

    def __init__(self, query: SearchQuery, pattern: Pattern, host: _Host, deadline: float) -> None:
        self._query, self._pattern, self._host, self._deadline = query, pattern, host, deadline
        self._letters = letters_of(query.kinds)
        self._since = milliseconds_of(query.modified_since) if query.modified_since else None
        self._until = milliseconds_of(query.modified_until) if query.modified_until else None
        self._paths: dict[int, str] = {}

    def into(self, reader: Reader, hits: list[Hit], limit: int, after: int) -> int | None:
        """Add what fits to the hits; return the node to go on after when they are enough or the time is over."""
        k = reader.k_of(self._query.at_snapshot_id) if self._query.at_snapshot_id else None
        if not reader.ks or (self._query.at_snapshot_id and k is None):
            return None
        last = after
        table.stop_at(reader.connection, self._is_over)
        try:
            for node, parent, name in self._candidates(reader, after):
                last = node
                hit = self._hit(reader, node, parent, name, k)
                if hit is not None:
                    hits.append(hit)
                    if len(hits) >= limit:
                        return last
        except sqlite3.OperationalError:
            if not self._is_over():
                raise
            return last
        finally:
            table.stop_at(reader.connection, None)
        return None

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline

    def _candidates(self, reader: Reader, after: int) -> Iterator[tuple[int, int, str]]:
        """Give (id, parent, name) of the nodes after one whose name fits."""
        match = self._pattern.match_query()
        if match:
            nodes = table.nodes_matching(reader.connection, match, after)
        else:
            nodes = table.nodes_with(reader.connection, _ascii(self._pattern.literals), after)
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
            agent_id=self._host.id,
            hostname=self._host.hostname,
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


def _hosts(database: Database, principal: Principal, query: SearchQuery) -> tuple[list[_Host], int]:
    """Return the hosts to search, and how many cannot be."""
    wanted = set(query.agent_ids)
    if query.at_snapshot_id:
        wanted = {known_snapshot(database, principal, query.at_snapshot_id).agent_id}
    known = [
        (agent_id, hostname, is_indexed)
        for agent_id, hostname, is_indexed in table_listings.hosts(database.read, principal.tenant_id)
        if not wanted or agent_id in wanted
    ]
    hosts = [_Host(agent_id, hostname) for agent_id, hostname, is_indexed in known if is_indexed]
    return hosts, len(known) - len(hosts)


def _after(after: str, hosts: list[_Host]) -> tuple[int, int]:
    """Return at which host a page begins, and after which node of it."""
    if not after:
        return 0, 0
    agent_id, _, node = after.partition(".")
    at = next((number for number, host in enumerate(hosts) if host.id == agent_id), None)
    if at is None or not (node.isascii() and node.isdigit()) or int(node) > OPEN:
        raise InvalidRequest("This is not where a page ended.", field="after")
    return at, int(node)


def _ascii(pieces: list[str]) -> list[str]:
    """Return the pieces that SQLite can look for whatever their case."""
    return [piece for piece in pieces if piece.isascii() and "\\" not in piece]
