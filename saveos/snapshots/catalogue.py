"""Look into the catalogue: folders of a snapshot, versions of a path, what changed. Nothing here asks the host."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from saveos.agents import table as agents
from saveos.errors import InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.protocol import entry_bytes, entry_path
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import table as snapshots
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots import table_listings
from saveos.snapshots.catalogue_model import (
    CatalogueState,
    Change,
    Entry,
    FolderPage,
    Moment,
    Standing,
    Version,
    kind_of,
    moment_of,
)
from saveos.snapshots.table_listings import ListingState, Want

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agents.model import Agent
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.catalogue_reader import Reader
    from saveos.snapshots.model import Snapshot

PAGE_LIMIT = 2000


def folder(  # noqa: PLR0913 - what a page of a folder is
    database: Database,
    settings: Settings,
    principal: Principal,
    snapshot_id: str,
    path: str = "",
    *,
    after: str = "",
    limit: int = 200,
    compare: str = "",
) -> FolderPage:
    """Return part of what a folder of a snapshot holds; with `compare`, what is otherwise in that other snapshot.

    `path`: an entry path, "" for the root. A page may end early, and be empty, in a folder of which very much is gone:
    the time is bounded. A snapshot that is not indexed gives no entries and its state. Raises
    NotFound (no such snapshot of the tenant), InvalidRequest (a path that cannot be, an `after` of somebody's making).
    """
    principal.require(Permission.READ)
    snapshot = known_snapshot(database, principal, snapshot_id)
    other = known_snapshot(database, principal, compare) if compare else None
    begin = _after(after)
    limit = min(max(limit, 1), PAGE_LIMIT)
    with opened(settings, snapshot) as reader:
        k = reader.k_of(snapshot.id) if reader else None
        if reader is None or k is None:
            return FolderPage(entries=(), next_after=None, state=why_not(database, settings, snapshot))
        k_other = reader.k_of(other.id) if other else None
        node = _nodes(reader, path)[0]
        if node is None:
            return FolderPage(entries=(), next_after=None, state=CatalogueState.INDEXED)
        rows, last = reader.children(node, k, k_other, begin, limit)
        if k_other is None:
            entries = tuple(reader.entry(row, path, k) for row in rows)
        else:
            entries = tuple(_compared(reader, row, path, k, k_other) for row in rows)
    next_after = f"{last['is_leaf']}{entry_path(last['name'])}" if last else None
    return FolderPage(entries=entries, next_after=next_after, state=CatalogueState.INDEXED)


def entry(database: Database, settings: Settings, principal: Principal, snapshot_id: str, path: str) -> Entry:
    """Return one entry of a snapshot. Raises NotFound (also when the snapshot is not indexed), InvalidRequest."""
    principal.require(Permission.READ)
    snapshot = known_snapshot(database, principal, snapshot_id)
    with opened(settings, snapshot) as reader:
        k = reader.k_of(snapshot.id) if reader else None
        if reader is not None and k is not None:
            for node in _nodes(reader, path):
                row = table.version_at(reader.connection, node, k) if node else None
                if row is not None:
                    return reader.entry(row, path.rpartition("/")[0], k)
    raise NotFound("The catalogue knows no such entry of this snapshot.")


def versions(
    database: Database, settings: Settings, principal: Principal, agent_id: str, path: str
) -> tuple[Version, ...]:
    """Return every version of a path in the snapshots of a host, newest first. Raises NotFound, InvalidRequest."""
    principal.require(Permission.READ)
    agent = known_agent(database, principal, agent_id)
    found = []
    with pool.reading(files.to_read(settings, agent.tenant_id, agent.id)) as reader:
        if reader is None:
            return ()
        nodes = [node for node in _nodes(reader, path) if node]
        for row in table.versions(reader.connection, nodes) if nodes else ():
            first, last = reader.first_from(row["first"]), reader.last_until(row["last"])
            if first is None or last is None or first > last:
                continue  # the snapshots that had it are gone
            (first_id, first_at), (last_id, last_at) = reader.snapshot(first), reader.snapshot(last)
            found.append(
                Version(
                    first_snapshot_id=first_id,
                    last_snapshot_id=last_id,
                    first_at=first_at,
                    last_at=last_at,
                    kind=kind_of(row["kind"]),
                    size_bytes=row["size"],
                    modified_at=moment_of(row["modified"]),
                    mode=row["mode"],
                    is_present=last == reader.newest,
                )
            )
    return tuple(found)


def timeline(
    database: Database, settings: Settings, principal: Principal, agent_id: str, path: str = ""
) -> tuple[Moment, ...]:
    """Return the snapshots at which anything in a folder changed, however deep, oldest first.

    Raises NotFound, InvalidRequest.
    """
    principal.require(Permission.READ)
    agent = known_agent(database, principal, agent_id)
    with pool.reading(files.to_read(settings, agent.tenant_id, agent.id)) as reader:
        node = _nodes(reader, path)[0] if reader else None
        if reader is None or node is None:
            return ()
        moments: dict[int, Moment] = {}
        for row in table.totals(reader.connection, node):
            k = reader.first_from(row["k"])
            if k is not None:
                snapshot_id, at = reader.snapshot(k)
                moments[k] = Moment(
                    snapshot_id=snapshot_id, at=at, files_count=row["files_count"], size_bytes=row["bytes"]
                )
    return tuple(moments.values())


def state(
    database: Database, settings: Settings, principal: Principal, *, agent_id: str = "", snapshot_id: str = ""
) -> Standing:
    """Return how a host's catalogue stands, or what it knows of one snapshot. Raises NotFound."""
    principal.require(Permission.READ)
    if snapshot_id:
        snapshot = known_snapshot(database, principal, snapshot_id)
        listing = table_listings.get(database.read, snapshot.id)
        return Standing(
            state=state_of(database, settings, snapshot),
            entries_count=listing.entries_count if listing else 0,
            message=listing.message if listing else "",
        )
    agent = known_agent(database, principal, agent_id)
    counts = table_listings.counts(database.read, agent.id)
    head = table_listings.head(database.read, agent.id)
    waiting = counts.get(ListingState.WAITING, 0)
    missing = counts.get("", 0) + counts.get(ListingState.FAILED, 0)
    expected = len(table_listings.lacking(database.read, agent.id, table_listings.wanted(database.read, agent.id)))
    overall = CatalogueState.MISSING
    if head is not None and head.state is ListingState.SEALED:
        overall = state_of(database, settings, known_snapshot(database, principal, head.snapshot_id))
    elif waiting or expected:
        overall = CatalogueState.WAITING
    elif head is not None:
        overall = CatalogueState.INDEXED
    return Standing(
        state=overall,
        entries_count=head.entries_count if head else 0,
        indexed_count=counts.get(ListingState.INDEXED, 0),
        waiting_count=waiting + expected,
        missing_count=max(0, missing - expected),
        sealed_count=counts.get(ListingState.SEALED, 0),
    )


@contextlib.contextmanager
def opened(settings: Settings, snapshot: Snapshot) -> Iterator[Reader | None]:
    """Lend the catalogue of a snapshot's host."""
    with pool.reading(files.to_read(settings, snapshot.tenant_id, snapshot.agent_id)) as reader:
        yield reader


def known_snapshot(database: Database, principal: Principal, snapshot_id: str) -> Snapshot:
    """Return a snapshot of the tenant. Raises NotFound."""
    snapshot = snapshots.get(database.read, snapshot_id, principal.tenant_id)
    if snapshot is None:
        raise NotFound("There is no such snapshot.")
    return snapshot


def known_agent(database: Database, principal: Principal, agent_id: str) -> Agent:
    """Return an agent of the tenant. Raises NotFound."""
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")
    return agent


def why_not(database: Database, settings: Settings, snapshot: Snapshot) -> CatalogueState:
    """Return why a catalogue tells nothing of a snapshot: one that should be there and cannot be read is missing."""
    known = state_of(database, settings, snapshot)
    return CatalogueState.MISSING if known is CatalogueState.INDEXED else known


def state_of(database: Database, settings: Settings, snapshot: Snapshot) -> CatalogueState:
    """Return why a snapshot is not in the catalogue, or that it is; a sealed one may be, while its host is unlocked."""
    listing = table_listings.get(database.read, snapshot.id)
    if listing is not None and listing.state is ListingState.SEALED:
        with opened(settings, snapshot) as reader:
            if reader is not None and reader.k_of(snapshot.id) is not None:
                return CatalogueState.INDEXED
        is_opening = files.is_being_opened(settings, snapshot.tenant_id, snapshot.agent_id)
        return CatalogueState.WAITING if is_opening else CatalogueState.SEALED
    if listing is not None and listing.state is not ListingState.FAILED:
        return CatalogueState(listing.state.value)
    want = table_listings.wanted(database.read, snapshot.agent_id)
    if want is not Want.NOTHING and snapshot.archive in table_listings.lacking(database.read, snapshot.agent_id, want):
        return CatalogueState.WAITING
    return CatalogueState.MISSING


def _nodes(reader: Reader, path: str) -> tuple[int | None, int | None]:
    try:
        return reader.nodes(path)
    except ValueError as error:
        raise InvalidRequest("This is no path inside a snapshot.", field="path") from error


def _after(after: str) -> tuple[int, bytes] | None:
    if not after:
        return None
    try:
        return {"0": 0, "1": 1}[after[0]], entry_bytes(after[1:])
    except (KeyError, ValueError) as error:
        raise InvalidRequest("This is not where a page ended.", field="after") from error


def _compared(reader: Reader, row: object, path: str, k: int, other: int) -> Entry:
    """Return an entry with what became of it since the other moment: a row that is not of k is gone."""
    found: dict[str, object] = dict(row)  # type: ignore[call-overload]
    first, last = int(str(found["first"])), int(str(found["last"]))
    if not first <= k <= last:
        return reader.entry(found, path, other, Change.GONE)
    node = int(str(found["id"]))
    if first <= other <= last:
        older, newer = sorted((k, other))
        is_touched = not found["is_leaf"] and table.is_touched(reader.connection, node, older, newer)
        return reader.entry(found, path, k, Change.CHANGED if is_touched else Change.NONE)
    was_there = table.version_at(reader.connection, node, other) is not None
    return reader.entry(found, path, k, Change.CHANGED if was_there else Change.NEW)
