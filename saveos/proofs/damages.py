"""What is damaged in a repository: kept when it is found, located by its host, cleared when it is sound again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import table as agents
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.proofs import table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saveos.proofs.model import Damage, FoundBy
    from saveos.protocol import AgentId, LocatedArchive, TenantId, VerifyFacts

OBJECT_LENGTH = 64  # of a place that is an object
MANIFEST = "0" * OBJECT_LENGTH  # what names the archives
REPOSITORY = "repository"  # in the place of a place: all of it
NAMED = 20  # archives and files that an alert names
LOCATED_BYTES = 512 * 1024  # of names that are kept for one finding, whatever its host says


def keep(
    connection: sqlite3.Connection,
    tenant_id: TenantId,
    agent_id: AgentId,
    found: Iterable[tuple[str, str, int]],
    found_by: FoundBy,
) -> int:
    """Keep (place, what, segment) of each damage, and tell; return how many are new."""
    count = sum(
        table.add_damage(connection, tenant_id, agent_id, place=place, what=what, segment=segment, found_by=found_by)
        for place, what, segment in found
    )
    if count:
        tell(connection, tenant_id, agent_id)
    return count


def locate(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId, facts: VerifyFacts, looked_at: datetime
) -> None:
    """Keep with each object that a host looked for which archives need it; their snapshots stand as damaged.

    What it did not look for is still to be located, and so is what came after `looked_at`. Of an object that it finds
    sound or gone it names nothing more; what is known stays until the damage is cleared.
    """
    archives, is_whole = bounded(facts.located), not facts.unseen_archives_count
    damaged, fine = set(facts.damaged) if facts.is_located else set(), {*facts.sound, *facts.gone}
    for damage in table.open_damages(connection, agent_id):
        if damage.place in damaged:
            told = [archive for archive in archives if not archive.objects or damage.place in archive.objects]
            kept = told if is_whole else _joined(told, damage.located or ())
        elif damage.place in fine:
            kept = list(damage.located or ())
        else:
            continue
        apart = [msgspec.structs.replace(archive, objects=()) for archive in kept]
        table.set_located(connection, damage.id, apart, looked_at)
    tell(connection, tenant_id, agent_id)


def clear(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId, places: Iterable[str], why: str
) -> int:
    """Keep that these places are sound again; return how many were damaged until now."""
    wanted = set(places)
    gone: list[Damage] = []
    left: list[Damage] = []
    for damage in table.open_damages(connection, agent_id):
        (gone if damage.place in wanted else left).append(damage)
    if gone:
        table.clear_damages(connection, [damage.id for damage in gone], why)
        # Files were named of an archive, not of an object: some may have needed only what is sound again.
        ids = {archive.archive_id for archive in located_of(gone)}
        shared = (damage.id for damage in left if any(one.archive_id in ids for one in damage.located or ()))
        table.locate_again(connection, shared)
        tell(connection, tenant_id, agent_id)
    return len(gone)


def rolled_back(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Let what came back stand as far as is known; no host has been asked about it yet."""
    found = (damage.id for damage in table.open_damages(connection, agent_id) if is_object(damage))
    table.locate_again(connection, found)
    tell(connection, tenant_id, agent_id)


def tell(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Bring snapshots and the alert in line with what is damaged now."""
    found = table.open_damages(connection, agent_id)
    table.set_standings(connection, agent_id, {archive.archive_id for archive in located_of(found)})
    if not found:
        raising.clear(connection, tenant_id, agent_id, AlertKind.DAMAGE)
        return
    told = evidence(connection, agent_id, found)
    if not raising.raise_alert(connection, tenant_id, agent_id, AlertKind.DAMAGE, **told):
        known = alerts.open_of_kind(connection, tenant_id, agent_id, AlertKind.DAMAGE)
        if known is not None:
            alerts.set_evidence(connection, known.id, told)


def evidence(connection: sqlite3.Connection, agent_id: AgentId, found: Sequence[Damage]) -> dict[str, Any]:
    """Return what an alert says: host, archives, files, and what is still good."""
    agent = agents.get(connection, agent_id)
    archives = located_of(found)
    files = list(dict.fromkeys(path for archive in archives for path in archive.files))
    good, every, newest = table.sound_counts(connection, agent_id)
    objects = [damage for damage in found if is_object(damage)]
    return {
        "host": agent.hostname if agent else agent_id,
        "objects": len(objects),
        "loose_bytes": len(found) - len(objects),  # places that no snapshot needs
        "is_manifest": any(damage.place == MANIFEST for damage in objects),  # then no archive can be opened at all
        "is_missing": any(damage.place == REPOSITORY for damage in found),
        "is_located": all(damage.located is not None for damage in objects),
        "archives": [archive.name for archive in archives[:NAMED]],
        "archives_count": len(archives),
        "snapshots_at": table.began_at(connection, agent_id, [archive.archive_id for archive in archives])[:NAMED],
        "unlisted": sum(archive.is_listing_damaged for archive in archives),  # those that cannot say what they hold
        "files": files[:NAMED],
        "files_count": max([len(files), *(archive.files_count for archive in archives)]),  # at least
        "good_snapshots": good,
        "snapshots": every,
        "newest_good": newest or "",
    }


def located_of(found: Iterable[Damage]) -> list[LocatedArchive]:
    """Return the archives that need something damaged, each once, with the files that any of it takes."""
    archives: dict[str, LocatedArchive] = {}
    for damage in found:
        for archive in damage.located or ():
            known = archives.setdefault(archive.archive_id, archive)
            if known is not archive and known != archive:
                archives[archive.archive_id] = msgspec.structs.replace(
                    known,
                    is_listing_damaged=known.is_listing_damaged or archive.is_listing_damaged,
                    files_count=max(known.files_count, archive.files_count),
                    files=tuple(dict.fromkeys(known.files + archive.files)),
                )
    return list(archives.values())


def is_object(damage: Damage) -> bool:
    """Return whether an object is damaged, rather than bytes that nothing needs."""
    return len(damage.place) == OBJECT_LENGTH


def bounded(located: Sequence[LocatedArchive]) -> list[LocatedArchive]:
    """Return archives whose names take no more room than one finding is given; those that do not fit lose theirs."""
    kept: list[LocatedArchive] = []
    size = 0
    for archive in located:
        size += sum(len(path.encode()) for path in archive.files)
        kept.append(archive if size <= LOCATED_BYTES else msgspec.structs.replace(archive, files=()))
    return kept


def _joined(told: Sequence[LocatedArchive], known: Iterable[LocatedArchive]) -> list[LocatedArchive]:
    """Return what is told, and what was known of archives that it does not name."""
    ids = {archive.archive_id for archive in told}
    return [*told, *(archive for archive in known if archive.archive_id not in ids)]
