"""Ask a host to restore a whole snapshot or some of its paths, to the original place or another."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import Agent, AgentState
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import lifecycle, table_listing
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn
from saveos.protocol import JobId, Kind, OnConflict, RestoreFacts, RestoreOrder, entry_bytes
from saveos.snapshots import lending, table, table_restores
from saveos.snapshots.backup import require_clean
from saveos.snapshots.lost import require_present

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from saveos.database.connection import Database
    from saveos.jobs.model import State
    from saveos.protocol import Difference, JobReport, Lender
    from saveos.repositories.unlocks import Unlocks
    from saveos.snapshots.model import Snapshot

RESTORE_PRIORITY = 20  # somebody waits for their files
SELECTED_LENGTH = 1024**2
REPORT_BYTES = 320 * 1024
ENTRY_BYTES = 64  # of an entry besides its words


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What of a snapshot is restored where, and how. See `protocol.RestoreOrder`. `asked_at`: at first; None: now."""

    paths: tuple[str, ...] = ()
    target: str | None = None
    selected: tuple[str, ...] = ()
    conflict: OnConflict = OnConflict.OVERWRITE
    dry_run: bool = False
    onto_agent_id: str = ""  # empty: the snapshot's own host
    expected_files_count: int = 0
    expected_bytes: int = 0
    asked_at: datetime | None = None


def get(database: Database, principal: Principal, snapshot_id: str) -> Snapshot:
    """Return a snapshot of the tenant. Raises NotFound."""
    principal.require(Permission.READ)
    return _known(table.get(database.read, snapshot_id, principal.tenant_id))


def request(  # noqa: PLR0913 - what a person chooses
    database: Database,
    principal: Principal,
    snapshot_id: str,
    paths: Sequence[str] = (),
    target: str | None = None,
    *,
    selected: Sequence[str] = (),
    conflict: OnConflict = OnConflict.OVERWRITE,
    dry_run: bool = False,
    onto_agent_id: str = "",
    expected_files_count: int = 0,
    expected_bytes: int = 0,
    unlocks: Unlocks | None = None,
) -> Job:
    """Ask the snapshot's host to restore it, or with `dry_run` to say what that would change.

    `selected`: entries as `protocol.entry_path` writes them, each with all below; `expected_*`: how much they are, if
    that is known. `onto_agent_id`: another host of the tenant; the snapshot's own host lends it the key, and has to be
    online unless `unlocks` has it. Raises NotFound, Conflict (revoked host), OfflineAndSealed, InvalidRequest.
    """
    principal.require(Permission.RESTORE)
    terms = Terms(
        paths=tuple(paths),
        target=target,
        selected=tuple(selected),
        conflict=conflict,
        dry_run=dry_run,
        onto_agent_id=onto_agent_id,
        expected_files_count=expected_files_count,
        expected_bytes=expected_bytes,
    )

    def write(connection: sqlite3.Connection) -> Job:
        snapshot = _known(table.get(connection, snapshot_id, principal.tenant_id))
        return queue(connection, snapshot, principal.label, terms, is_open=is_open)

    owner = _known(table.get(database.read, snapshot_id, principal.tenant_id)).agent_id
    is_open = unlocks is not None and unlocks.is_open(principal, owner)
    return database.write(write)


def report(database: Database, principal: Principal, job_id: str) -> RestoreFacts:
    """Return what a restore of the tenant found and made, or would make. Raises NotFound while there is none."""
    principal.require(Permission.READ)
    found = table_restores.get(database.read, job_id, principal.tenant_id)
    if found is None:
        message = "There is no report of such a restore: it has not ended, or never began."
        raise NotFound(message)
    return found


def find_report(database: Database, principal: Principal, job: Job) -> RestoreFacts | None:
    """Return what a job found and made, if it is a restore that ended."""
    principal.require(Permission.READ)
    if job.kind is not Kind.RESTORE or job.ended_at is None:
        return None
    return table_restores.get(database.read, job.id, principal.tenant_id)


def record_end(connection: sqlite3.Connection, job: Job, _state: State, said: JobReport) -> None:
    """Keep what a restore found and made. Called in the transaction that ends the job."""
    if said.restore is not None:
        table_restores.keep(connection, job.id, bounded(said.restore))


def bounded(facts: RestoreFacts) -> RestoreFacts:
    """Return facts whose list takes no more room than one restore is given, whatever its host says."""
    kept: list[Difference] = []
    size = 0
    for entry in facts.differences:
        size += len(entry.path.encode()) + len(entry.detail.encode()) + ENTRY_BYTES
        if size > REPORT_BYTES:
            return msgspec.structs.replace(facts, differences=tuple(kept), is_cut=True)
        kept.append(entry)
    return facts


def last_proven_at(database: Database, principal: Principal) -> datetime | None:
    """Return when files last came back whole, with nothing left out: the newest proof that restoring works."""
    principal.require(Permission.READ)
    return table_listing.last_restore_at(database.read, principal.tenant_id)


def queue(
    connection: sqlite3.Connection, snapshot: Snapshot, requested_by: str, terms: Terms, *, is_open: bool = False
) -> Job:
    """Queue a restore inside the caller's transaction. `is_open`: the key of the snapshot's host is.

    The very same one that waits or runs is returned instead: it was asked for again, and again. An interrupted
    restore is done again from its beginning.
    """
    _require_sound(terms)
    require_present(snapshot)
    agent, lender = _host(connection, snapshot, terms.onto_agent_id, is_open=is_open)
    is_whole = not terms.paths and not terms.selected
    order = RestoreOrder(
        archive=snapshot.archive,
        paths=terms.paths,
        target=terms.target,
        selected=terms.selected,
        conflict=terms.conflict,
        dry_run=terms.dry_run,
        asked_at=terms.asked_at or clock.now(),
        lender=lender,
        expected_files_count=snapshot.files_count if is_whole else terms.expected_files_count,
        expected_bytes=snapshot.original_bytes if is_whole else terms.expected_bytes,
    )
    if (waiting := _waiting(connection, agent, order)) is not None:
        return waiting
    job = _queue_order(connection, agent, order, requested_by)
    record(
        connection,
        tenant_id=snapshot.tenant_id,
        actor=requested_by,
        action="restore-tried" if terms.dry_run else "restore-requested",
        target=snapshot.id,
        paths=[*terms.paths, *terms.selected][:100],
        to=terms.target or "original place",
        onto=agent.id,
        conflict=terms.conflict.value,
    )
    return job


def _waiting(connection: sqlite3.Connection, agent: Agent, order: RestoreOrder) -> Job | None:
    waiting = jobs.waiting_of(connection, agent.id, Kind.RESTORE)
    return next((job for job in waiting if msgspec.convert(job.order["restore"], RestoreOrder) == order), None)


def _queue_order(connection: sqlite3.Connection, agent: Agent, order: RestoreOrder, requested_by: str) -> Job:
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=agent.tenant_id,
            agent_id=agent.id,
            kind=Kind.RESTORE,
            runs_on=RunsOn.HOST,
            order={"restore": msgspec.to_builtins(order)},
            requested_by=requested_by,
            priority=RESTORE_PRIORITY,
        ),
    )


def _host(
    connection: sqlite3.Connection, snapshot: Snapshot, onto_agent_id: str, *, is_open: bool
) -> tuple[Agent, Lender | None]:
    """Return the host that restores, and the one that lends its key if that is another."""
    if onto_agent_id and onto_agent_id != snapshot.agent_id:
        return lending.lend(connection, snapshot, onto_agent_id, is_open=is_open)
    agent = agents.get(connection, snapshot.agent_id)
    if agent is None or agent.state is AgentState.REVOKED:
        message = "The snapshot's host has been revoked: choose another host to restore onto."
        raise Conflict(message)
    return agent, None


def _require_sound(terms: Terms) -> None:
    """Raise InvalidRequest for what no host should be told."""
    require_clean(terms.paths)
    if sum(map(len, terms.selected)) > SELECTED_LENGTH:
        message = "So many entries are too much for one request: choose the folder that holds them."
        raise InvalidRequest(message, field="selected")
    for entry in terms.selected:
        try:
            raw = entry_bytes(entry)
        except ValueError:
            raw = b".."
        if raw.startswith(b"/") or b"\0" in raw or b".." in raw.split(b"/"):
            message = "An entry is named as in the snapshot: without a leading slash, a NUL byte or a '..' part."
            raise InvalidRequest(message, field="selected")
    if terms.target is not None:
        require_clean([terms.target], field="target")
        if not (terms.target.startswith("/") or terms.target[1:3] in (":\\", ":/")):
            message = "The target is an absolute path on the host."
            raise InvalidRequest(message, field="target")


def _known(snapshot: Snapshot | None) -> Snapshot:
    if snapshot is None:
        message = "There is no such snapshot."
        raise NotFound(message)
    return snapshot
