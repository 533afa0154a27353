"""Restore drills: ask a host for one, believe only what its key signed, and say when a restore last proved itself.

Only a drill counts as proof: it compares what came back with hashes that were taken at backups. A restore that a person
asked for brings back what the repository authenticates, but compares it with nothing.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives import hashes

from saveos import clock
from saveos.agents import table as agents
from saveos.agents.model import AgentState
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.alerts.table import open_of_kind
from saveos.audit.record import record
from saveos.certificates import table as certificates
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotFound
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, NewJob, RunsOn, State
from saveos.offsite import orders as offsite_orders
from saveos.offsite import table_states
from saveos.proofs import table, table_drills
from saveos.proofs.model import Drill
from saveos.proofs.signatures import NotGenuine, verify_drill
from saveos.proofs.verifications import TOO_OLD
from saveos.protocol import DrillOrder, DrillStatement, JobId, Kind, LogLine
from saveos.snapshots.names import Names
from saveos.snapshots.table_listings import names_of_tenant

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.offsite.model import OffsiteState
    from saveos.protocol import AgentId, JobReport, SignedDrill, TenantId

    OnEnd = Callable[[sqlite3.Connection, Job, State, JobReport], None]

ARCHIVES = 60  # the newest, of which a sample is taken
PRIORITY, PERSON_PRIORITY = -5, 6
NAMED = 20


def request(database: Database, principal: Principal, agent_id: str, *, is_of_copy: bool = False) -> Job:
    """Ask a host for a drill now; one that waits already is returned. `is_of_copy`: out of its newest offsite copy.

    Raises NotFound, Conflict (also: there is no copy yet).
    """
    principal.require(Permission.BACK_UP)
    kind = Kind.OFFSITE_DRILL if is_of_copy else Kind.DRILL

    def write(connection: sqlite3.Connection) -> Job:
        agent = agents.get(connection, agent_id, principal.tenant_id)
        if agent is None:
            raise NotFound("There is no such agent.")
        if agent.state is not AgentState.READY or not agent.snapshots_count:
            raise Conflict(f"{agent.hostname} has no snapshot to restore from, or takes no jobs any more.")
        if not agent.knows(kind):
            raise Conflict(TOO_OLD)
        copy = table_states.state_of(connection, agent.id) if is_of_copy else None
        if copy is not None and (not copy.generation or copy.snapshot_at is None):
            raise Conflict(f"There is no offsite copy of {agent.hostname} with a snapshot in it yet.")
        waiting = jobs.waiting_of(connection, agent.id, kind)
        if waiting:
            return waiting[0]
        tenant_id, actor = agent.tenant_id, principal.label
        facts = {"copy": copy.generation} if copy else {}
        record(connection, tenant_id=tenant_id, actor=actor, action="drill-requested", target=agent.id, **facts)
        return queue(connection, agent.id, tenant_id, actor, PERSON_PRIORITY, copy)

    return database.write(write)


def queue(
    connection: sqlite3.Connection,
    agent_id: AgentId,
    tenant_id: TenantId,
    requested_by: str,
    priority: int = PRIORITY,
    copy: OffsiteState | None = None,
) -> Job:
    """Queue a drill inside the caller's transaction. `copy`: out of this offsite copy."""
    order = DrillOrder(
        nonce=secrets.token_hex(32),
        archives=table_drills.good_archives(connection, agent_id, ARCHIVES, copy.snapshot_at if copy else None),
        is_sealed=names_of_tenant(connection, tenant_id) == Names.SEALED,
        copy_generation=copy.generation if copy else 0,
    )
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            agent_id=agent_id,
            kind=Kind.OFFSITE_DRILL if copy else Kind.DRILL,
            runs_on=RunsOn.HOST,
            order={"drill": msgspec.to_builtins(order)},
            requested_by=requested_by,
            priority=priority,
        ),
    )


def find(
    database: Database, principal: Principal, *, agent_id: str = "", before: str = "", limit: int = 100
) -> list[Drill]:
    """Return the tenant's drills, newest first."""
    principal.require(Permission.READ)
    limit = min(max(limit, 1), 1000)
    return table_drills.find(database.read, principal.tenant_id, agent_id=agent_id, before=before, limit=limit)


def of_job(database: Database, principal: Principal, job_id: str) -> Drill:
    """Return what came of a drill that ended. Raises NotFound."""
    principal.require(Permission.READ)
    found = table_drills.of_job(database.read, job_id, principal.tenant_id)
    if found is None:
        raise NotFound("There is no such drill, or it has not ended.")
    return found


def last_proven_at(database: Database, principal: Principal) -> datetime | None:
    """Return when a drill of any host last gave back what was backed up."""
    principal.require(Permission.READ)
    return table_drills.last_proven_at(database.read, principal.tenant_id)


def ending(root_pem: str) -> OnEnd:
    """Return what is called in the transaction that ends a drill: keep what the host signed, and judge it."""

    def record_end(connection: sqlite3.Connection, job: Job, _state: State, report: JobReport) -> None:
        if report.drill is None or job.agent_id is None:
            return
        try:
            drill = believed(connection, job, report.drill, root_pem)
        except NotGenuine as error:
            line = f"What the host says of this drill is not believed: {error.message}"
            jobs.add_log(connection, job.id, [LogLine(level="error", line=line[:2000])])
            jobs.end(connection, job.id, State.FAILED, "drill-not-genuine", line, 0)
            evidence = {"reason": "not-genuine", "message": error.message, "job": job.id}
            raising.raise_alert(connection, job.tenant_id, job.agent_id, AlertKind.UNPROVEN, **evidence)
            return
        if table_drills.insert(connection, drill):
            _judge(connection, job.agent_id, drill)

    return record_end


def believed(connection: sqlite3.Connection, job: Job, signed: SignedDrill, root_pem: str) -> Drill:
    """Return what a host signed for exactly this job, with a certificate of its own. Raises NotGenuine."""
    now = clock.now()
    statement, leaf = verify_drill(signed, root_pem, now)
    nonce, generation = job.order["drill"]["nonce"], int(job.order["drill"].get("copy_generation", 0))
    told = statement.agent_id, statement.job_id, statement.nonce, statement.copy_generation
    if told != (job.agent_id, job.id, nonce, generation):
        raise NotGenuine("The statement answers another order.")
    thumbprint = leaf.fingerprint(hashes.SHA256()).hex()
    known = certificates.by_thumbprint(connection, thumbprint)
    if known is None or known["agent_id"] != job.agent_id or known["revoked_at"] is not None:
        raise NotGenuine("The certificate is not one of this host's, or was revoked.")
    if statement.hostname != known["hostname"]:
        raise NotGenuine("The statement names another host.")
    return Drill(
        id=new_id("drl"),
        tenant_id=job.tenant_id,
        agent_id=statement.agent_id,
        job_id=job.id,
        received_at=now,
        nonce=nonce,
        statement_text=signed.statement,
        signature=signed.signature,
        thumbprint=thumbprint,
        files_count=statement.files_count,
        original_bytes=statement.original_bytes,
        mismatches_count=max(statement.mismatches_count, len(statement.mismatches)),
        restore_seconds=statement.restore_seconds,
        chain_pem=signed.certificate,
    )


def _judge(connection: sqlite3.Connection, agent_id: AgentId, drill: Drill) -> None:
    """Draw the consequences. A drill out of the copy says nothing of the repository itself, nor the other way round."""
    statement, tenant_id = drill.statement, drill.tenant_id
    alert = open_of_kind(connection, tenant_id, agent_id, AlertKind.UNPROVEN)
    is_of_same = alert is None or bool(alert.evidence.get("copy")) == bool(statement.copy_generation)
    if drill.is_good:
        if not statement.copy_generation:
            table_drills.set_proven(connection, agent_id, drill.received_at)
        if is_of_same:
            raising.clear(connection, tenant_id, agent_id, AlertKind.UNPROVEN)
    elif drill.mismatches_count:
        if not is_of_same and not statement.copy_generation:  # one alert of a kind: the repository's is the worse
            raising.clear(connection, tenant_id, agent_id, AlertKind.UNPROVEN)
        evidence = _evidence(connection, drill, statement)
        raising.raise_alert(connection, tenant_id, agent_id, AlertKind.UNPROVEN, **evidence)
        if statement.copy_generation:
            offsite_orders.ask_verification(connection, tenant_id, agent_id)
        else:
            table.ask_for_check(connection, agent_id, tenant_id)  # the disk is the first that is suspected


def _evidence(connection: sqlite3.Connection, drill: Drill, statement: DrillStatement) -> dict[str, Any]:
    """Return what an alert says: host, archives and files, and how much did come back."""
    bad = statement.mismatches[:NAMED]
    names = {entry.archive for entry in bad}
    ids = [archive.archive_id for archive in statement.archives if archive.name in names]
    return {
        "reason": "mismatch",
        "host": statement.hostname,
        "job": drill.job_id,
        "compared": drill.files_count,
        "mismatches": drill.mismatches_count,
        "archives": list(dict.fromkeys(entry.archive for entry in bad)),
        "snapshots_at": table.began_at(connection, drill.agent_id, ids),
        "files": list(dict.fromkeys(entry.path for entry in bad if entry.path)),  # one may be bad in two archives
        "what": list(dict.fromkeys(entry.what for entry in bad)),
        **({"copy": statement.copy_generation} if statement.copy_generation else {}),
    }
