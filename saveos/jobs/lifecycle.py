"""request → queued → running → done | warned | failed | cancelled.

Jobs are low in the house and know no kind's meaning: `app.py` registers per kind what else happens, in the same
transaction, when one ends.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.audit.record import record
from saveos.errors import IllegalTransition, NotFound
from saveos.identity.principals import Permission, Principal
from saveos.jobs import table, table_listing
from saveos.jobs.model import (
    ENDED,
    OWNER_COMMAND,
    Job,
    JobChoice,
    JobLogLine,
    JobPage,
    JobProgress,
    NewJob,
    State,
)
from saveos.jobs.progress import advance
from saveos.protocol import JobId, JobReport, Kind, LogLine, Outcome, Progress

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from saveos.database.connection import Database
    from saveos.protocol import AgentId

    OnEnd = Callable[[sqlite3.Connection, Job, State, JobReport], None]

BACK_OFF = (timedelta(seconds=5), timedelta(seconds=30))  # of three attempts
WAIT = timedelta(seconds=30)  # at least, for room on the disk
PERMANENT = frozenset(
    {
        *("no-sources", "path-not-found", "passphrase-wrong", "key-not-lent", "snapshot-missing", "build-failed"),
        *("update-damaged", "update-downgrade", "update-impossible", "update-rolled-back", "update-superseded"),
        *("update-refused", "update-trial-failed", "upkeep-failed", "target-refused", "quota-exceeded"),
        *("storage-key-refused", "storage-denied", "storage-bucket-missing", "storage-untrusted", "offsite-taken"),
        *("storage-object-missing", "storage-object-altered", "drill-failed"),
    }
)


def request(connection: sqlite3.Connection, job: NewJob) -> Job:
    """Queue a job. Raises IllegalTransition when one with the same `due_key` was queued before."""
    table.insert(connection, job)
    made = table.get(connection, job.id)
    if made is None:
        message = "This job was asked for already."
        raise IllegalTransition(message, due_key=job.due_key)
    return made


def get(database: Database, principal: Principal, job_id: str) -> Job:
    """Return a job of the principal's tenant. Raises NotFound."""
    principal.require(Permission.READ)
    return _known(table.get(database.read, job_id, principal.tenant_id))


def find(
    database: Database, principal: Principal, filters: dict[str, Any] | None = None, limit: int = 100
) -> list[Job]:
    """Return the tenant's jobs, newest first. Filters: agent_id, state, kind, before (a job id)."""
    principal.require(Permission.READ)
    return table.find(database.read, principal.tenant_id, filters or {}, limit)


def look(database: Database, principal: Principal, choice: JobChoice, offset: int = 0, limit: int = 50) -> JobPage:
    """Return a part of the tenant's jobs, newest first, with how far those are that run."""
    principal.require(Permission.READ)
    connection = database.read
    jobs = table_listing.page(connection, principal.tenant_id, choice, offset, limit)
    running = [job.id for job in jobs if job.state is State.RUNNING]
    said = {job_id: table.progress(connection, job_id) for job_id in running}
    return JobPage(
        jobs=jobs,
        progress={job_id: last for job_id, last in said.items() if last is not None},
        total=table_listing.count(connection, principal.tenant_id, choice),
    )


def newest_of_appliance(database: Database, principal: Principal, kind: Kind) -> Job | None:
    """Return the newest of the appliance's own jobs of a kind, if there ever was one."""
    principal.require(Permission.READ)
    return table_listing.newest_of_appliance(database.read, principal.tenant_id, kind.value)


def progress(database: Database, principal: Principal, job_id: str) -> JobProgress | None:
    """Return the last word of a job of the tenant."""
    get(database, principal, job_id)
    return table.progress(database.read, job_id)


def log(database: Database, principal: Principal, job_id: str, after: int = 0, limit: int = 500) -> list[JobLogLine]:
    """Return a job's kept lines newer than `after`, oldest first."""
    get(database, principal, job_id)
    return table.log(database.read, job_id, after, limit)


def cancel(database: Database, principal: Principal, job_id: str, on_end: Mapping[Kind, OnEnd]) -> Job:
    """Stop a job: at once if it waits, else as soon as its hands hear of it. Raises IllegalTransition, NotAllowed."""
    principal.require(Permission.BACK_UP)

    def write(connection: sqlite3.Connection) -> Job:
        job = _known(table.get(connection, job_id, principal.tenant_id))
        if job.kind is Kind.ROLL_BACK:
            principal.require(Permission.ROLL_BACK)
        if job.state in ENDED:
            message = f"The job is {job.state.value} already."
            raise IllegalTransition(message)
        if not job.is_stoppable and job.cancel_requested_at is None:
            raise IllegalTransition("A roll-back that has begun is finished; it can be undone by another one.")
        table.request_cancel(connection, job.id)
        if job.state is State.QUEUED:
            _end(connection, job, State.CANCELLED, _said(Outcome.CANCELLED, "Cancelled before it began."), on_end)
        record(connection, tenant_id=job.tenant_id, actor=principal.label, action="job-cancelled", target=job.id)
        return _known(table.get(connection, job_id))

    return database.write(write)


def note_progress(
    connection: sqlite3.Connection, job_id: JobId, agent_id: AgentId | None, said: Progress, lease_seconds: float
) -> bool:
    """Keep how far a running job is and renew its lease; return whether it is to stop.

    A host that was cut off for longer than its lease, and worked on, keeps the job. One that has ended is to stop too.
    Raises NotFound for another agent's job.
    """
    job = _known(_of_agent(table.get(connection, job_id), agent_id))
    if job.state is State.QUEUED and job.attempts and agent_id is not None:
        job = _known(table.take_up(connection, job.id))
    table.add_log(connection, job.id, said.log)
    if job.state is not State.RUNNING:
        return True
    table.set_progress(connection, advance(table.progress(connection, job.id), job.id, said))
    table.renew_lease(connection, job.id, clock.now() + timedelta(seconds=lease_seconds))
    return job.cancel_requested_at is not None


def finish(
    connection: sqlite3.Connection,
    job_id: JobId,
    agent_id: AgentId | None,
    report: JobReport,
    on_end: Mapping[Kind, OnEnd],
) -> None:
    """End a job as reported, or queue it again when another attempt may help.

    Idempotent: a report of a job that has ended, or was taken back from its hands, changes nothing, except that a
    success which arrives late (the lease ran out while the line was cut) is still taken. Raises NotFound for another
    agent's job.
    """
    job = _known(_of_agent(table.get(connection, job_id), agent_id))
    is_success = report.outcome in (Outcome.DONE, Outcome.WARNED)
    if job.state in ENDED and not (is_success and job.error_code == "lost"):
        return
    if job.state is State.QUEUED and not is_success:
        return
    table.add_log(connection, job.id, report.log)
    state = State(report.outcome.value)
    if job.cancel_requested_at is not None and state is State.FAILED:
        state = State.CANCELLED
    if state is State.FAILED and _may_wait(connection, job, report.error_code):
        table.put_back(connection, job.id, clock.now() + WAIT, report.message)
        return
    if state is State.FAILED and _may_try_again(job, report.error_code):
        _queue_again(connection, job, report.message)
        return
    _end(connection, job, state, report, on_end)


def lost(connection: sqlite3.Connection, job: Job, why: str, on_end: Mapping[Kind, OnEnd]) -> None:
    """Nobody works on a running job any more: queue it again, or give it up."""
    table.add_log(connection, job.id, [LogLine(level="warning", line=why)])
    if job.cancel_requested_at is not None:
        _end(connection, job, State.CANCELLED, _said(Outcome.CANCELLED, "Cancelled."), on_end)
    elif job.owner == OWNER_COMMAND or job.attempts >= job.attempts_limit:
        _end(connection, job, State.FAILED, _said(Outcome.FAILED, why, "lost"), on_end)
    else:
        _queue_again(connection, job, why)


def reap(database: Database, on_end: Mapping[Kind, OnEnd]) -> int:
    """Take back the jobs whose lease ran out; return how many."""
    if not table.expired(database.read):
        return 0

    def write(connection: sqlite3.Connection) -> int:
        jobs = table.expired(connection)
        for job in jobs:
            lost(connection, job, "Nothing was heard of this job in time.", on_end)
        return len(jobs)

    return database.write(write)


def resume(database: Database, lease_seconds: float, on_end: Mapping[Kind, OnEnd]) -> None:
    """Take up what a former process left: its own jobs are queued again, hosts get time to speak up for theirs."""

    def write(connection: sqlite3.Connection) -> None:
        for job in table.running_on_appliance(connection):
            lost(connection, job, "The appliance was restarted.", on_end)
        table.renew_leases_of_hosts(connection, clock.now() + timedelta(seconds=lease_seconds))

    database.write(write)


def _end(
    connection: sqlite3.Connection, job: Job, state: State, report: JobReport, on_end: Mapping[Kind, OnEnd]
) -> None:
    """Write how a job ended, and do what else its end means, whoever ended it."""
    table.end(connection, job.id, state, report.error_code, report.message, report.warnings_count)
    if handler := on_end.get(job.kind):
        handler(connection, job, state, report)


def _said(outcome: Outcome, message: str, code: str = "cancelled") -> JobReport:
    """Return the report of a job whose hands say nothing themselves."""
    return JobReport(outcome=outcome, error_code=code, message=message)


def _may_wait(connection: sqlite3.Connection, job: Job, error_code: str) -> bool:
    """Return whether it is the appliance's disk that is in the way: by its own account, whatever a host says."""
    return error_code == "disk-full" and job.owner != OWNER_COMMAND and table.is_disk_full(connection)


def _may_try_again(job: Job, error_code: str) -> bool:
    return job.attempts < job.attempts_limit and error_code not in PERMANENT and job.owner != OWNER_COMMAND


def _queue_again(connection: sqlite3.Connection, job: Job, why: str) -> None:
    wait = BACK_OFF[min(job.attempts, len(BACK_OFF)) - 1] if job.attempts else timedelta()
    table.requeue(connection, job.id, clock.now() + wait, why)


def _of_agent(job: Job | None, agent_id: AgentId | None) -> Job | None:
    return job if job and (agent_id is None or job.agent_id == agent_id) else None


def _known(job: Job | None) -> Job:
    if job is None:
        message = "There is no such job."
        raise NotFound(message)
    return job
