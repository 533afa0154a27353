"""A catalogue is a cache: what is lost, broken or to be kept another way is asked of the host anew."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.errors import NotFound
from saveos.identity.principals import Permission, Principal
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import indexing, table_catalogue, table_listings
from saveos.snapshots.table_listings import ListingState, Want

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.indexing import Ending
    from saveos.snapshots.table_listings import Listing


def rebuild(database: Database, settings: Settings, principal: Principal, agent_id: str) -> int:
    """Delete a host's catalogue and ask the host for every listing; return how many. Raises NotFound.

    The host reads them from its repository, which takes it about half a minute for a million files.
    """
    principal.require(Permission.BACK_UP)
    agent = agents.get(database.read, agent_id, principal.tenant_id)
    if agent is None:
        raise NotFound("There is no such agent.")

    def write(connection: sqlite3.Connection) -> int:
        ask_for_all(connection, agent.id)
        record(
            connection,
            tenant_id=agent.tenant_id,
            actor=principal.label,
            action="catalogue-rebuild-requested",
            target=agent.id,
        )
        return len(table_listings.lacking(connection, agent.id, Want.ALL))

    count = database.write(write)
    files.remove(settings, agent.tenant_id, agent.id)
    return count


def record_end(database: Database, settings: Settings, listing: Listing, ending: Ending | None) -> bool:
    """Keep how the indexing of a listing ended; what had the wrong base, and all after it, is asked for anew.

    `ending` is None when its process was killed. Returns False when nobody wants the listing any more, as the names
    were sealed or a rebuild was asked for meanwhile: what was made of it is taken back.
    """

    def write(connection: sqlite3.Connection) -> tuple[bool, bool]:
        known = table_listings.get(connection, listing.snapshot_id)
        if known is None or known.received_at != listing.received_at:
            return False, False
        return True, ending is not None and _keep_ending(connection, listing, ending)

    is_wanted, is_broken = database.write(write)
    if not is_wanted:
        _take_back(database, settings, listing)
    elif is_broken:
        files.remove(settings, listing.tenant_id, listing.agent_id)
    return is_wanted


def _keep_ending(connection: sqlite3.Connection, listing: Listing, ending: Ending) -> bool:
    """Return whether the catalogue is of no use: damaged, or it should hold the listing's base and does not."""
    if not ending.code:
        table_listings.set_ended(
            connection, listing.snapshot_id, ListingState.INDEXED, entries_count=ending.entries_count
        )
    elif ending.code not in ("wrong-base", "broken-catalogue", "parts-missing"):
        table_listings.set_ended(connection, listing.snapshot_id, ListingState.FAILED, message=ending.message)
    elif _is_catalogue_broken(connection, listing, ending):
        ask_for_all(connection, listing.agent_id, but_failed=True)
        return True
    else:
        count = table_listings.forget_waiting(connection, listing.agent_id)
        is_first = count == 1 and not table_listings.has_indexed(connection, listing.agent_id)
        table_listings.want(connection, listing.agent_id, Want.NEWEST if is_first else Want.ALL)
    return False


def _is_catalogue_broken(connection: sqlite3.Connection, listing: Listing, ending: Ending) -> bool:
    if ending.code != "wrong-base":
        return ending.code == "broken-catalogue"
    return not listing.base or table_listings.is_indexed(connection, listing.agent_id, listing.base)


def forget(database: Database, settings: Settings, tenant_id: str, agent_id: str, snapshot_ids: Iterable[str]) -> None:
    """Take snapshots of a host out of all that is kept of its listings: call it once their rows are gone.

    It waits until the indexing of a listing of this host is done. Sealed listings build on one another, and nobody here
    can join two: when one that others build on is gone, all are asked for anew. Raises OSError, sqlite3.Error.
    """
    gone = list(snapshot_ids)
    path = files.catalogue(settings, tenant_id, agent_id)
    indexing.forget(path, gone)
    pool.drop(path)
    for where in (files.incoming, files.sealed):
        for snapshot_id in gone:
            shutil.rmtree(where(settings, tenant_id, agent_id) / snapshot_id, ignore_errors=True)
    files.close(settings, tenant_id, agent_id)  # it is opened anew at the next look
    if not _are_whole(settings, table_listings.sealed(database.read, agent_id)):
        database.write(lambda connection: ask_for_all(connection, agent_id, but_failed=True))
        files.remove(settings, tenant_id, agent_id)


def ask_for_lost(database: Database, settings: Settings) -> int:
    """Ask each host anew whose catalogue or sealed listings should be here and are not; return how many.

    A catalogue of a form that is too old or too new counts for none. Of listings that wait to be indexed, the indexing
    finds what is lost. What should not be here, as an appliance was killed when it was to delete it, is deleted.
    """
    _remove_unwanted(database, settings)
    count = sum(ask_if_lost(database, settings, *found) for found in table_listings.agents_with_any(database.read))
    _forget_gone(database, settings)
    return count


def ask_if_lost(database: Database, settings: Settings, tenant_id: str, agent_id: str) -> bool:
    """Ask a host for all of its listings if one is lost; return whether it is."""
    is_lost = _is_lost(database, settings, tenant_id, agent_id)
    if is_lost:
        database.write(lambda connection: ask_for_all(connection, agent_id))
        files.remove(settings, tenant_id, agent_id)
    return is_lost


def _is_lost(database: Database, settings: Settings, tenant_id: str, agent_id: str) -> bool:
    """Return whether something of a host's listings is not here, or is kept as its tenant does not want it."""
    is_sealed = table_listings.names_of_tenant(database.read, tenant_id) == "sealed"
    sealed = table_listings.sealed(database.read, agent_id)
    if is_sealed:
        return len(sealed) < table_listings.count_useful(database.read, agent_id) or not _are_whole(settings, sealed)
    if not table_listings.has_indexed(database.read, agent_id):
        return bool(sealed)
    path = files.catalogue(settings, tenant_id, agent_id)
    return bool(sealed) or not table_catalogue.is_of_use(path)


def _are_whole(settings: Settings, listings: Sequence[Listing]) -> bool:
    """Return whether all sealed listings are here, and each one's base too."""
    base = ""
    for listing in listings:
        folder = files.sealed(settings, listing.tenant_id, listing.agent_id) / listing.snapshot_id
        if listing.base not in ("", base) or not (folder / files.part_name(0)).exists():
            return False
        base = listing.archive
    return True


def _take_back(database: Database, settings: Settings, listing: Listing) -> None:
    """Delete what was made of a listing. Only its snapshot is gone if others are in the catalogue."""
    if table_listings.has_indexed(database.read, listing.agent_id):
        indexing.forget(files.catalogue(settings, listing.tenant_id, listing.agent_id), [listing.snapshot_id])
    else:  # not one of them is wanted any more
        files.remove_catalogue(settings, listing.tenant_id, listing.agent_id)


def _remove_unwanted(database: Database, settings: Settings) -> None:
    """Delete what is readable of sealed names, and catalogues of which no listing is known."""
    for tenant_id in table_listings.tenants_with_sealed_names(database.read):
        files.remove_readable(settings, tenant_id)
    for path in settings.catalogues.glob("*/*.db"):
        if not table_listings.has_indexed(database.read, path.stem):
            files.remove_catalogue(settings, path.parent.name, path.stem)


def _forget_gone(database: Database, settings: Settings) -> None:
    """Forget snapshots that were removed by an appliance that was killed before it did so."""
    for path in settings.catalogues.glob("*/*.db"):
        with pool.reading(path) as reader:
            held = set(reader.snapshot_ids) if reader else set()
        if gone := held - table_listings.known(database.read, path.stem):
            forget(database, settings, path.parent.name, path.stem, gone)


def ask_for_all(connection: sqlite3.Connection, agent_id: str, *, but_failed: bool = False) -> None:
    """Forget what is here of a host's listings, and want all of them, or all but those that were of no use."""
    table_listings.forget_all(connection, agent_id, but_failed=but_failed)
    table_listings.want(connection, agent_id, Want.ALL)
