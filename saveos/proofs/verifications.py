"""Parts of a repository decrypted by its host, so that each of its objects is proven within some months."""

from __future__ import annotations

from datetime import UTC, datetime
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
from saveos.jobs.model import GOOD, Job, NewJob, RunsOn
from saveos.proofs import damages, table
from saveos.proofs.model import FoundBy, Pass
from saveos.protocol import JobId, Kind, VerifyOrder
from saveos.repositories import table as repositories
from saveos.snapshots.names import Names
from saveos.snapshots.table_listings import names_of_tenant

if TYPE_CHECKING:
    import sqlite3

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.jobs.model import State
    from saveos.protocol import AgentId, JobReport, TenantId, VerifyFacts

PARTS = 90  # of a repository: one a day
LEAST_BYTES = 1024**3
SECONDS_LIMIT = 1800
LOCATE_LIMIT = 500  # half of what an answer names: the part that is decrypted may find others
PRIORITY, LOCATE_PRIORITY = -10, 8
NEVER = datetime.min.replace(tzinfo=UTC)
TOO_OLD = "This host's agent is too old for that: update it first."


def request(database: Database, principal: Principal, agent_id: str) -> Job:
    """Ask a host to decrypt the next part of its repository. Raises NotFound, Conflict (revoked, or too old)."""
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> Job:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            raise NotFound("There is no such agent.")
        if agent.state != "ready" or not agent.knows(Kind.VERIFY):
            raise Conflict(TOO_OLD if agent.state == "ready" else f"{agent.hostname} takes no such job now.")
        waiting = jobs.waiting_of(connection, agent.id, Kind.VERIFY)
        if waiting:
            return waiting[0]
        record(connection, tenant_id=agent.tenant_id, actor=principal.label, action="verify-requested", target=agent.id)
        repository = repositories.of_agent(connection, agent.id)
        stored_bytes = repository.stored_bytes if repository else 0
        return queue(connection, agent.id, agent.tenant_id, stored_bytes, principal.label)

    return database.write(write)


def queue(
    connection: sqlite3.Connection,
    agent_id: AgentId,
    tenant_id: TenantId,
    stored_bytes: int,
    requested_by: str = "system:schedule",
) -> Job:
    """Queue the next part inside the caller's transaction, and with it what is still to be located."""
    check = table.check_of(connection, agent_id, tenant_id)
    found = [damage for damage in table.open_damages(connection, agent_id) if damages.is_object(damage)]
    found.sort(key=lambda damage: damage.located_at or NEVER)
    order = VerifyOrder(
        marker=check.marker,
        bytes_limit=max(LEAST_BYTES, stored_bytes // PARTS),
        seconds_limit=SECONDS_LIMIT,
        locate=tuple(damage.place for damage in found[:LOCATE_LIMIT]),
        is_sealed=names_of_tenant(connection, tenant_id) == Names.SEALED,
    )
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            agent_id=agent_id,
            kind=Kind.VERIFY,
            runs_on=RunsOn.HOST,
            order={"verify": msgspec.to_builtins(order)},
            requested_by=requested_by,
            priority=LOCATE_PRIORITY if found else PRIORITY,
        ),
    )


def record_end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
    """Keep what a host found. Called in the transaction that ends the job."""
    facts = report.verified
    if facts is None or job.agent_id is None or state not in GOOD:
        return
    asked = msgspec.convert(job.order["verify"], VerifyOrder)
    damages.keep(
        connection, job.tenant_id, job.agent_id, ((id_, "decryption", -1) for id_ in facts.damaged), FoundBy.VERIFY
    )
    # Only what was asked for is cleared: a hostile host says nothing about what the appliance finds by itself.
    mine = [damage for damage in table.open_damages(connection, job.agent_id) if damage.found_by is not FoundBy.CHECK]
    sound = {*facts.sound, *facts.gone} & set(asked.locate) & {damage.place for damage in mine}
    damages.clear(connection, job.tenant_id, job.agent_id, sound, "sound again")
    damages.locate(connection, job.tenant_id, job.agent_id, facts, job.started_at or job.requested_at)
    _advance(connection, job, asked, facts)


def _advance(connection: sqlite3.Connection, job: Job, asked: VerifyOrder, facts: VerifyFacts) -> None:
    assert job.agent_id is not None  # noqa: S101 - seen by the caller
    check = table.check_of(connection, job.agent_id, job.tenant_id)
    if check.marker != asked.marker:
        return  # said late, of a part that another job went on from
    is_first = not asked.marker or check.verify_began_at is None
    began_at = (job.started_at or clock.now()) if is_first else check.verify_began_at
    check = msgspec.structs.replace(
        check,
        marker=facts.marker,
        verify_began_at=began_at,
        verify_read_bytes=facts.read_bytes + (0 if is_first else check.verify_read_bytes),
        verify_objects_count=facts.objects_count + (0 if is_first else check.verify_objects_count),
    )
    if not facts.marker:
        done = Pass(
            agent_id=job.agent_id,
            kind=Kind.VERIFY.value,
            began_at=began_at or clock.now(),
            ended_at=clock.now(),
            read_bytes=check.verify_read_bytes,
            objects_count=check.verify_objects_count,
            damages_count=len(table.open_damages(connection, job.agent_id)),
        )
        table.add_pass(connection, job.tenant_id, done)
        check = msgspec.structs.replace(check, verified_at=clock.now(), verify_began_at=None)
    table.keep_check(connection, check)
