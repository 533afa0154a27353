"""Read repositories on the disk, one after the other and each within a week; keep what is found, and how far it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotFound
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.proofs import damages, table
from saveos.proofs.model import Check, FoundBy, Pass
from saveos.protocol import AgentId, JobId, Kind, TenantId

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.protocol import JobReport
    from saveos.repositories.checking_words import Said

PERIOD = timedelta(days=7)
FIRST_AFTER = timedelta(days=1)
PRIORITY = -10
SOUND_AGAIN = "sound again"
AGAIN_AFTER = timedelta(hours=6)  # a check that could not be done: others have their turn meanwhile


def request(database: Database, principal: Principal, agent_id: str) -> Job | None:
    """Let a host's repository be checked next; return the job if it begins now, None when another one is checked.

    Raises NotFound.
    """
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> Job | None:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            raise NotFound("There is no such agent.")
        record(connection, tenant_id=agent.tenant_id, actor=principal.label, action="check-requested", target=agent.id)
        table.ask_for_check(connection, agent.id, agent.tenant_id)
        running = jobs.waiting_on_appliance(connection, Kind.CHECK)
        if running is not None:
            return running if running.agent_id == agent.id else None
        return _queue(connection, agent.id, agent.tenant_id, principal.label)

    return database.write(write)


def is_due(database: Database) -> bool:
    """Return whether a check is to be queued: asked without keeping writers waiting."""
    return _due(database.read) is not None


def queue_due(connection: sqlite3.Connection) -> bool:
    """Queue the check of the repository whose turn it is, unless one is under way; return whether it did."""
    found = _due(connection)
    if found is None:
        return False
    _queue(connection, AgentId(found[0]), TenantId(found[1]), "system:schedule")
    return True


def _due(connection: sqlite3.Connection) -> tuple[str, str] | None:
    if jobs.waiting_on_appliance(connection, Kind.CHECK) is not None:
        return None
    now = clock.now()
    return table.next_to_check(connection, now, now - PERIOD, now - FIRST_AFTER)


def begin(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId) -> tuple[int, tuple[str, ...]]:
    """Begin a pass, or go on with one; return the last segment that is done, and the objects known to be damaged."""
    check = table.check_of(connection, agent_id, tenant_id)
    generation = table.generation_of(connection, agent_id)
    if check.began_at is None or check.generation != generation:
        anew = {"began_at": clock.now(), "segment": -1, "read_bytes": 0, "objects_count": 0, "is_asked": False}
        check = msgspec.structs.replace(check, generation=generation, **anew)
        table.keep_check(connection, check)
    found = table.open_damages(connection, agent_id)
    known = (damage.place for damage in found if damage.found_by is FoundBy.CHECK)  # what decrypts is for its host
    return check.segment, tuple(known)


def advance(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId, said: Said) -> Check:
    """Keep what a part of a pass found; at its end what was not found any more is cleared.

    Raises Conflict when the repository has been rolled back since the pass began: it is another one.
    """
    check = table.check_of(connection, agent_id, tenant_id)
    if check.generation != table.generation_of(connection, agent_id):
        raise Conflict("The repository was rolled back meanwhile: its check begins anew.")
    found = [(entry.place, entry.what, entry.segment) for entry in said.damages]
    damages.keep(connection, tenant_id, agent_id, found, FoundBy.CHECK)
    damages.clear(connection, tenant_id, agent_id, (*said.sound, damages.REPOSITORY), SOUND_AGAIN)
    check = msgspec.structs.replace(
        check,
        segment=max(check.segment, said.segment),
        read_bytes=check.read_bytes + said.read_bytes,
        objects_count=check.objects_count + said.objects_count,
    )
    if said.is_end and check.began_at is not None:
        check = _ended(connection, check)
    table.keep_check(connection, check)
    return check


def note_missing(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId) -> None:
    """Keep that there is no repository where one was."""
    damages.keep(connection, tenant_id, agent_id, [(damages.REPOSITORY, "missing", -1)], FoundBy.CHECK)


def record_end(connection: sqlite3.Connection, job: Job, state: State, _report: JobReport) -> None:
    """Let others have their turn when a check failed. Called in the transaction that ends the job."""
    if job.agent_id is not None and state is State.FAILED:
        check = table.check_of(connection, job.agent_id, job.tenant_id)
        later = clock.now() + AGAIN_AFTER
        table.keep_check(connection, msgspec.structs.replace(check, not_before=later))


def _ended(connection: sqlite3.Connection, check: Check) -> Check:
    began_at, now = check.began_at or clock.now(), clock.now()
    present = table.open_damages(connection, check.agent_id)
    # Bytes that nothing needs are looked for in every pass: what was found before this one is there no more.
    loose = [entry.place for entry in present if not damages.is_object(entry) and entry.seen_at < began_at]
    damages.clear(connection, check.tenant_id, check.agent_id, loose, SOUND_AGAIN)
    done = Pass(
        agent_id=check.agent_id,
        kind=Kind.CHECK.value,
        began_at=began_at,
        ended_at=now,
        read_bytes=check.read_bytes,
        objects_count=check.objects_count,
        damages_count=len(table.open_damages(connection, check.agent_id)),
    )
    table.add_pass(connection, check.tenant_id, done)
    return msgspec.structs.replace(check, began_at=None, segment=-1, checked_at=now, not_before=None)


def _queue(connection: sqlite3.Connection, agent_id: AgentId, tenant_id: TenantId, requested_by: str) -> Job:
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            agent_id=agent_id,
            kind=Kind.CHECK,
            runs_on=RunsOn.APPLIANCE,
            order={},
            requested_by=requested_by,
            priority=PRIORITY,
        ),
    )
