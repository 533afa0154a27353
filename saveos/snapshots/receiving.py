"""Listings come in: a host hears which ones are wanted, sends them in parts, and nothing of them is believed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from saveos.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, Unavailable
from saveos.protocol import ListingsWanted
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import table, table_listings
from saveos.snapshots.table_listings import ListingState, Want

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from saveos.agents.model import AgentIdentity
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import ListingPart
    from saveos.snapshots.model import Snapshot

INCOMING_LIMIT_BYTES = 1024**3  # compressed, of one host
SEALED_LIMIT_BYTES = 8 * 1024**3


def wanted(database: Database, agent: AgentIdentity) -> ListingsWanted:
    """Return which listings a host is to send; when there is none, it is not told to ask again."""
    connection = database.read
    archives = _lacking(connection, agent)
    if not archives and agent.is_listing_wanted:
        database.write(lambda writing: _want_no_more(writing, agent))
    head = table_listings.head(connection, agent.agent_id)
    return ListingsWanted(
        head=head.archive if head else "",
        archives=tuple(archives),
        is_sealed=_is_sealed(connection, agent),
    )


def take(database: Database, settings: Settings, agent: AgentIdentity, part: ListingPart) -> None:
    """Keep a part of a listing; with the last one it is ready to be indexed. Once more changes nothing.

    Raises NotFound (no such archive of this host), Conflict (another base or number than is due, or not sealed as the
    tenant wants it), QuotaExceeded, Unavailable (the disk is nearly full).
    """
    snapshot = table.by_archive(database.read, agent.agent_id, part.archive)
    if snapshot is None:
        raise NotFound("This host has no such archive.")
    if table_listings.get(database.read, snapshot.id) is not None:
        return
    if part.error:
        database.write(lambda connection: _end(connection, agent, snapshot, ListingState.FAILED, "", part.error))
        return
    _require_due(database.read, agent, snapshot, part)
    if shutil.disk_usage(settings.folder).free < settings.reserve_bytes:
        raise Unavailable("The appliance's disk is nearly full: no listings are taken.")
    if part.number == 0:
        _drop_unfinished(database.read, settings, agent)
    folder = _folder(settings, agent, snapshot, part)
    _keep(folder, part)
    try:
        _require_way(database.read, agent, part)
        if part.is_last:
            database.write(lambda connection: _end_well(connection, agent, snapshot, part))
    except Conflict:  # the names were sealed, or all was to come anew, while this part was written
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _drop_unfinished(connection: sqlite3.Connection, settings: Settings, agent: AgentIdentity) -> None:
    """Delete the parts of listings that were never sent to their end: a host sends one at a time."""
    for where in (files.incoming, files.sealed):
        for folder in where(settings, agent.tenant_id, agent.agent_id).glob("*"):
            if table_listings.get(connection, folder.name) is None:
                shutil.rmtree(folder, ignore_errors=True)


def _folder(settings: Settings, agent: AgentIdentity, snapshot: Snapshot, part: ListingPart) -> Path:
    where = files.sealed if part.is_sealed else files.incoming
    return where(settings, agent.tenant_id, agent.agent_id) / snapshot.id


def _keep(folder: Path, part: ListingPart) -> None:
    """Write the part as a file; the first one drops what an attempt before it left."""
    limit = SEALED_LIMIT_BYTES if part.is_sealed else INCOMING_LIMIT_BYTES
    if files.size_of(folder.parent) + len(part.data) > limit:
        raise QuotaExceeded("The listings of this host take too much room.")
    try:
        if part.number == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            for above in folder.parents[:2]:
                files.sync(above)
        elif not (folder / files.part_name(part.number - 1)).exists():
            raise Conflict("A part of the listing before this one is missing: begin anew.")
        path = folder / files.part_name(part.number)
        with path.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
        files.sync(folder)
    except OSError as error:
        raise Unavailable(f"The listing cannot be kept: {error}.") from error


def _require_due(connection: sqlite3.Connection, agent: AgentIdentity, snapshot: Snapshot, part: ListingPart) -> None:
    _require_way(connection, agent, part)
    head = table_listings.head(connection, agent.agent_id)
    if part.base and (head is None or head.archive != part.base):
        raise Conflict("The appliance has another listing than this is a difference to: ask again.")
    if head is not None and head.snapshot_id > snapshot.id:
        raise Conflict("The listing of a newer snapshot is here already.")
    if not part.data and not part.is_last:
        raise InvalidRequest("A part of a listing is empty.", field="data")


def _require_way(connection: sqlite3.Connection, agent: AgentIdentity, part: ListingPart) -> None:
    if part.is_sealed != _is_sealed(connection, agent):
        raise Conflict("Listings of this host are to be sent the other way: ask again which ones are wanted.")


def _end_well(connection: sqlite3.Connection, agent: AgentIdentity, snapshot: Snapshot, part: ListingPart) -> None:
    """Keep that a listing is here, if it still is the one that is due."""
    if table_listings.get(connection, snapshot.id) is None:
        _require_due(connection, agent, snapshot, part)
    _end(connection, agent, snapshot, ListingState.SEALED if part.is_sealed else ListingState.WAITING, part.base)


def _end(
    connection: sqlite3.Connection,
    agent: AgentIdentity,
    snapshot: Snapshot,
    state: ListingState,
    base: str,
    message: str = "",
) -> None:
    if table_listings.get(connection, snapshot.id) is not None:
        return
    values = {
        "snapshot_id": snapshot.id,
        "tenant_id": agent.tenant_id,
        "agent_id": agent.agent_id,
        "state": state.value,
        "base": base,
        "message": message,
    }
    table_listings.insert(connection, values)
    _want_no_more(connection, agent)


def _want_no_more(connection: sqlite3.Connection, agent: AgentIdentity) -> None:
    """Let the host rest if it has sent all."""
    if not _lacking(connection, agent):
        table_listings.want(connection, agent.agent_id, Want.NOTHING)


def _lacking(connection: sqlite3.Connection, agent: AgentIdentity) -> list[str]:
    want = table_listings.wanted(connection, agent.agent_id)
    return table_listings.lacking(connection, agent.agent_id, max(want, Want.NEWEST))


def _is_sealed(connection: sqlite3.Connection, agent: AgentIdentity) -> bool:
    return table_listings.names_of_tenant(connection, agent.tenant_id) == "sealed"
