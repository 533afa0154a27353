"""What became of each path between two snapshots of a host."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING

from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission, Principal
from saveos.protocol import entry_bytes
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import table_catalogue_reading as table
from saveos.snapshots.catalogue import known_snapshot, why_not
from saveos.snapshots.catalogue_files import to_read as path_of_catalogue
from saveos.snapshots.catalogue_model import CatalogueState, Change, Changed, ChangesPage, kind_of, moment_of
from saveos.snapshots.catalogue_reader import Paths
from saveos.snapshots.table_catalogue import OPEN

if TYPE_CHECKING:
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.catalogue_reader import Reader

CHANGES_LIMIT = 2000
SECONDS = 3.0  # then the page ends, however much is on it


def changes(  # noqa: PLR0913 - what a page of changes is
    database: Database,
    settings: Settings,
    principal: Principal,
    older_id: str,
    newer_id: str,
    *,
    path: str = "",
    after: str = "",
    limit: int = 500,
) -> ChangesPage:
    """Return part of what changed between two snapshots of one host, at `path` and below it.

    The pages follow the order in which the catalogue came to know the paths; each one is sorted by path. Raises
    NotFound, InvalidRequest (snapshots of two hosts, a path that cannot be, an `after` of somebody's making).
    """
    principal.require(Permission.READ)
    older, newer = (known_snapshot(database, principal, snapshot_id) for snapshot_id in (older_id, newer_id))
    if older.agent_id != newer.agent_id:
        raise InvalidRequest("These are snapshots of two hosts.", field="since")
    _require_path(path)
    if after and not (after.isascii() and after.isdigit() and int(after) <= OPEN):
        raise InvalidRequest("This is not where a page ended.", field="after")
    with pool.reading(path_of_catalogue(settings, newer.tenant_id, newer.agent_id)) as reader:
        ks = [reader.k_of(snapshot.id) if reader else None for snapshot in (older, newer)]
        if reader is None or ks[0] is None or ks[1] is None:
            lacking = newer if ks[1] is None else older
            return ChangesPage(changes=(), next_after=None, state=why_not(database, settings, lacking))
        found, last = _collect(reader, (ks[0], ks[1]), path, int(after or 0), min(max(limit, 1), CHANGES_LIMIT))
    return ChangesPage(
        changes=tuple(sorted(found, key=lambda changed: changed.path.split("/"))),
        next_after=str(last) if last is not None else None,
        state=CatalogueState.INDEXED,
    )


def _collect(
    reader: Reader, ks: tuple[int, int], path: str, after: int, limit: int
) -> tuple[list[Changed], int | None]:
    """Return the changes after a node, and the node to go on after when they are enough or the time is over."""
    deadline = time.monotonic() + SECONDS
    found: list[Changed] = []
    known = Paths()
    table.stop_at(reader.connection, lambda: time.monotonic() >= deadline)
    try:
        with contextlib.closing(table.changed_nodes(reader.connection, min(ks), max(ks), after)) as nodes:
            for node in nodes:
                changed = _changed(reader, node, ks, known)
                after = node
                if changed is not None and _is_at(changed.path, path):
                    found.append(changed)
                if len(found) >= limit or time.monotonic() >= deadline:
                    return found, after
    except sqlite3.OperationalError:
        if time.monotonic() < deadline:
            raise
        return found, after
    finally:
        table.stop_at(reader.connection, None)
    return found, None


def _changed(reader: Reader, node: int, ks: tuple[int, int], known: Paths) -> Changed | None:
    before, now = (table.version_at(reader.connection, node, k) for k in ks)
    if before is not None and now is not None and before["first"] == now["first"]:
        return None
    shown = now or before
    if shown is None:
        return None  # came and went in between
    return Changed(
        path=reader.path(node, known),
        kind=kind_of(shown["kind"]),
        change=Change.GONE if now is None else Change.NEW if before is None else Change.CHANGED,
        older_bytes=before["size"] if before else None,
        newer_bytes=now["size"] if now else None,
        modified_at=moment_of(shown["modified"]),
    )


def _is_at(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(f"{folder}/")


def _require_path(path: str) -> None:
    try:
        entry_bytes(path)
    except ValueError as error:
        raise InvalidRequest("This is no path inside a snapshot.", field="path") from error
