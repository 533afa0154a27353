"""What is damaged in a repository: kept when it is found, located by its host, cleared when it is sound again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos.agents import table as agents
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.proofs import table
from saveos.protocol import LocatedArchive

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from saveos.proofs.model import Damage, FoundBy
    from saveos.protocol import AgentId, TenantId

OBJECT_LENGTH = 64  # of a place that is an object
MANIFEST = "0" * OBJECT_LENGTH  # what names the archives
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
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId, located: Sequence[LocatedArchive]
) -> None:
    """Keep which archives need the objects that are damaged, as their host says; their snapshots stand as damaged."""
    objects = [damage.id for damage in table.open_damages(connection, agent_id) if is_object(damage)]
    table.set_located(connection, objects, bounded(located))
    tell(connection, tenant_id, agent_id)


def clear(
    connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId, places: Iterable[str], why: str
) -> int:
    """Keep that these places are sound again; return how many were damaged until now."""
    wanted = set(places)
    gone = [damage.id for damage in table.open_damages(connection, agent_id) if damage.place in wanted]
    if gone:
        table.clear_damages(connection, gone, why)
        tell(connection, tenant_id, agent_id)
    return len(gone)


def tell(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: AgentId) -> None:
    """Bring snapshots and the alert in line with what is damaged now."""
    found = table.open_damages(connection, agent_id)
    table.set_standings(connection, agent_id, {archive.archive_id for archive in located_of(found)})
    if not found:
        raising.clear(connection, tenant_id, agent_id, AlertKind.DAMAGE)
        return
    evidence = _evidence(connection, agent_id, found)
    if not raising.raise_alert(connection, tenant_id, agent_id, AlertKind.DAMAGE, **evidence):
        known = alerts.open_of_kind(connection, tenant_id, agent_id, AlertKind.DAMAGE)
        if known is not None:
            alerts.set_evidence(connection, known.id, evidence)


def located_of(found: Iterable[Damage]) -> list[LocatedArchive]:
    """Return the archives that need something damaged, each once."""
    archives: dict[str, LocatedArchive] = {}
    for damage in found:
        for archive in damage.located or ():
            archives.setdefault(archive.archive_id, archive)
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
        kept.append(
            archive
            if size <= LOCATED_BYTES
            else LocatedArchive(
                name=archive.name,
                archive_id=archive.archive_id,
                is_listing_damaged=archive.is_listing_damaged,
                files_count=archive.files_count,
            )
        )
    return kept


def _evidence(connection: sqlite3.Connection, agent_id: AgentId, found: Sequence[Damage]) -> dict[str, Any]:
    """Return what an alert says: host, archives, files, and what is still good."""
    agent = agents.get(connection, agent_id)
    archives = located_of(found)
    good, every, newest = table.sound_counts(connection, agent_id)
    objects = [damage for damage in found if is_object(damage)]
    return {
        "host": agent.hostname if agent else agent_id,
        "objects": len(objects),
        "loose_bytes": len(found) - len(objects),  # places that no snapshot needs
        "is_manifest": any(damage.place == MANIFEST for damage in objects),  # then no archive can be opened at all
        "is_located": all(damage.located is not None for damage in objects),
        "archives": [archive.name for archive in archives[:NAMED]],
        "archives_count": len(archives),
        "files": list(dict.fromkeys(path for archive in archives for path in archive.files))[:NAMED],
        "good_snapshots": good,
        "snapshots": every,
        "newest_good": newest or "",
    }
