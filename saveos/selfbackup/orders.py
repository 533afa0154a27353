"""Ask for self-backups, and tell how they stand: for whoever runs the appliance, which is its first tenant.

They are sealed to that tenant's kit alone, as there is everything of all tenants in each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.alerts import raising
from saveos.alerts.model import AlertKind
from saveos.audit.record import record
from saveos.database.identifiers import new_id
from saveos.errors import Conflict, NotAllowed
from saveos.identity.principals import Permission
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import GOOD, Job, NewJob, RunsOn, State
from saveos.offsite import table as table_offsite
from saveos.protocol import JobId, Kind, TenantId
from saveos.repositories import table as repositories
from saveos.selfbackup import table
from saveos.selfbackup.model import State as SelfState
from saveos.selfbackup.model import is_due
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.offsite.model import Store
    from saveos.protocol import JobReport

SCHEDULE = "system:schedule"
PRIORITY, PERSON_PRIORITY = 0, 5


class Standing(SelfState, frozen=True, kw_only=True):
    """How self-backups stand, for people. `store`: endpoint and bucket of the store they go to, empty: to none.

    `away_count`: repositories that are only in the offsite copy, and come back when they are asked for.
    """

    folder: str
    store: str = ""
    has_kit: bool
    is_changed: bool  # since the newest one
    is_late: bool
    job_id: str = ""  # that makes one now
    away_count: int = 0


def standing(database: Database, settings: Settings, principal: Principal) -> Standing:
    """Return how self-backups stand. Raises NotAllowed: for another tenant than the first."""
    principal.require(Permission.SETTINGS)
    connection = database.read
    _require_home(connection, principal)
    state, store = table.state(connection), store_of(connection, principal.tenant_id)
    job = jobs.waiting_on_appliance(connection, Kind.SELF_BACKUP)
    return Standing(
        **msgspec.structs.asdict(state),
        folder=str(settings.self_backups),
        store=f"{store.place.endpoint}/{store.place.bucket}" if store else "",
        has_kit=home(connection) is not None,
        is_changed=state.changes > state.covered_changes,
        is_late=state.is_old(clock.now()),
        job_id=job.id if job else "",
        away_count=repositories.away_count(connection),
    )


def request(database: Database, principal: Principal) -> Job:
    """Make one now; one that waits already is returned. Raises NotAllowed, Conflict (there is no recovery kit)."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> Job:
        _require_home(connection, principal)
        if home(connection) is None:
            raise Conflict("There is no recovery kit to seal a self-backup to: make one first.")
        waiting = jobs.waiting_on_appliance(connection, Kind.SELF_BACKUP)
        if waiting is not None and waiting.state is State.QUEUED:
            return waiting
        record(connection, tenant_id=principal.tenant_id, actor=principal.label, action="self-backup-requested")
        return _queue(connection, principal.tenant_id, principal.label, PERSON_PRIORITY)

    return database.write(write)


def is_wanted(database: Database) -> bool:
    """Return whether one is to be queued: asked without keeping writers waiting."""
    connection = database.read
    if not is_due(table.state(connection), clock.now()) or home(connection) is None:
        return False
    return jobs.waiting_on_appliance(connection, Kind.SELF_BACKUP) is None


def queue_due(connection: sqlite3.Connection) -> bool:
    """Queue one if it is due and none is under way; return whether it did. An old one becomes an alert."""
    found = home(connection)
    if found is None:
        return False
    state = table.state(connection)
    if state.is_old(clock.now()):
        _alarm(connection, found[0], state)
    if not is_due(state, clock.now()) or jobs.waiting_on_appliance(connection, Kind.SELF_BACKUP) is not None:
        return False
    _queue(connection, found[0], SCHEDULE, PRIORITY)
    return True


def record_end(connection: sqlite3.Connection, job: Job, state: State, report: JobReport) -> None:
    """Keep how one ended, and tell people when it failed. Called in the transaction that ends the job."""
    if state is State.CANCELLED:
        return
    is_good = state in GOOD
    table.set_state(
        connection,
        tried_at=clock.to_text(clock.now()),
        error_code="" if is_good else report.error_code or "error",
        error_message="" if is_good else report.message,
    )
    if is_good:
        raising.clear(connection, job.tenant_id, None, AlertKind.SELF_BACKUP)
    else:
        _alarm(connection, job.tenant_id, table.state(connection))


def home(connection: sqlite3.Connection) -> tuple[TenantId, bytes] | None:
    """Return the first tenant and its recovery key; None: there is none to seal to."""
    row = tenants.first_tenant(connection)
    if row is None or row["recovery_public_key"] is None:
        return None
    return TenantId(row["id"]), bytes(row["recovery_public_key"])


def store_of(connection: sqlite3.Connection, tenant_id: TenantId) -> Store | None:
    """Return the store that self-backups go to: the appliance's own, else that of whoever runs it."""
    store = table_offsite.own_store(connection, None) or table_offsite.own_store(connection, tenant_id)
    return store if store and store.place.is_enabled else None


def _alarm(connection: sqlite3.Connection, tenant_id: TenantId, state: SelfState) -> None:
    evidence = {
        "made_at": clock.to_text(state.made_at) if state.made_at else "",
        "reason": state.error_message,
        "code": state.error_code,
    }
    raising.raise_alert(connection, tenant_id, None, AlertKind.SELF_BACKUP, **evidence)


def _require_home(connection: sqlite3.Connection, principal: Principal) -> None:
    row = tenants.first_tenant(connection)
    if row is None or row["id"] != principal.tenant_id:
        raise NotAllowed("The backups of the appliance itself are seen to by whoever runs it.")


def _queue(connection: sqlite3.Connection, tenant_id: TenantId, requested_by: str, priority: int) -> Job:
    return lifecycle.request(
        connection,
        NewJob(
            id=JobId(new_id("job")),
            tenant_id=tenant_id,
            kind=Kind.SELF_BACKUP,
            runs_on=RunsOn.APPLIANCE,
            order={},
            requested_by=requested_by,
            priority=priority,
        ),
    )
