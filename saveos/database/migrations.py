"""The schema: the sum of these functions, applied in order by sqlite-utils, each in one transaction.

Text times are `clock.to_text`, JSON columns end in `_json`, every row that belongs to a tenant says so.
"""

from __future__ import annotations

import fcntl
import shutil
from typing import TYPE_CHECKING

from sqlite_utils import Database as UtilsDatabase
from sqlite_utils import Migrations

from saveos.database.connection import connect
from saveos.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

migrations = Migrations("saveos")

FIRST = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE tenants (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, recovery_public_key BLOB, created_at TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    email TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT NOT NULL, role TEXT NOT NULL, language TEXT NOT NULL DEFAULT '',
    theme TEXT NOT NULL DEFAULT 'system', is_disabled INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL, signed_in_at TEXT
) STRICT;

CREATE TABLE sessions (
    secret_hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    created_at TEXT NOT NULL, expires_at TEXT NOT NULL, address TEXT NOT NULL DEFAULT '',
    browser TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sessions_by_user ON sessions(user_id);

CREATE TABLE api_tokens (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, name TEXT NOT NULL, prefix TEXT NOT NULL UNIQUE,
    secret_hash TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT, used_at TEXT, revoked_at TEXT
) STRICT;

CREATE TABLE throttles (name TEXT PRIMARY KEY, failures INTEGER NOT NULL, blocked_until TEXT NOT NULL) STRICT;

CREATE TABLE policies (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), name TEXT NOT NULL,
    sources_json TEXT NOT NULL, excludes_json TEXT NOT NULL, schedule TEXT NOT NULL, time_zone TEXT NOT NULL DEFAULT '',
    retention_json TEXT NOT NULL, compression TEXT NOT NULL, is_default INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL, UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE agents (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), hostname TEXT NOT NULL, platform TEXT NOT NULL,
    state TEXT NOT NULL, policy_id TEXT NOT NULL REFERENCES policies(id), agent_version TEXT NOT NULL DEFAULT '',
    system TEXT NOT NULL DEFAULT '', time_zone TEXT NOT NULL DEFAULT '', address TEXT NOT NULL DEFAULT '',
    clock_skew_seconds REAL NOT NULL DEFAULT 0, enrolled_at TEXT NOT NULL, seen_at TEXT, revoked_at TEXT,
    next_backup_at TEXT
) STRICT;
CREATE INDEX agents_by_tenant ON agents(tenant_id, hostname);
CREATE INDEX agents_by_next_backup ON agents(next_backup_at);

CREATE TABLE provisionings (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), hostname TEXT NOT NULL, platform TEXT NOT NULL,
    policy_id TEXT NOT NULL REFERENCES policies(id), prefix TEXT NOT NULL UNIQUE, secret_hash TEXT NOT NULL,
    created_by TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT NOT NULL, downloaded_at TEXT, spent_at TEXT,
    agent_id TEXT REFERENCES agents(id)
) STRICT;
CREATE INDEX provisionings_by_tenant ON provisionings(tenant_id, created_at);

CREATE TABLE certificates (
    serial TEXT PRIMARY KEY, tenant_id TEXT REFERENCES tenants(id), agent_id TEXT REFERENCES agents(id),
    kind TEXT NOT NULL, subject TEXT NOT NULL, thumbprint TEXT NOT NULL UNIQUE, token_hash TEXT,
    issued_at TEXT NOT NULL, expires_at TEXT NOT NULL, revoked_at TEXT
) STRICT;
CREATE INDEX certificates_by_agent ON certificates(agent_id);

CREATE TABLE repositories (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL UNIQUE REFERENCES agents(id),
    state TEXT NOT NULL, engine_id TEXT NOT NULL DEFAULT '', sealed_key TEXT NOT NULL DEFAULT '', sealed_at TEXT,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE jobs (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT REFERENCES agents(id),
    policy_id TEXT REFERENCES policies(id), kind TEXT NOT NULL, runs_on TEXT NOT NULL, state TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, order_json TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    attempts_limit INTEGER NOT NULL DEFAULT 3, not_before TEXT NOT NULL, lease_until TEXT,
    owner TEXT NOT NULL DEFAULT '', due_key TEXT UNIQUE,
    requested_by TEXT NOT NULL, requested_at TEXT NOT NULL, started_at TEXT, ended_at TEXT,
    cancel_requested_at TEXT, error_code TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
    warnings_count INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_waiting ON jobs(state, runs_on, priority, not_before);
CREATE INDEX jobs_by_agent ON jobs(agent_id, requested_at);
CREATE INDEX jobs_by_tenant ON jobs(tenant_id, requested_at);

CREATE TABLE job_progress (
    job_id TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, updated_at TEXT NOT NULL, phase TEXT NOT NULL,
    files_count INTEGER NOT NULL, original_bytes INTEGER NOT NULL, compressed_bytes INTEGER NOT NULL,
    added_bytes INTEGER NOT NULL, total_files_count INTEGER NOT NULL, total_bytes INTEGER NOT NULL,
    current_path TEXT NOT NULL, bytes_per_second REAL NOT NULL, files_per_second REAL NOT NULL, eta_seconds REAL
) STRICT;

CREATE TABLE job_log (
    id INTEGER PRIMARY KEY, job_id TEXT NOT NULL REFERENCES jobs(id) ON DELETE CASCADE, at TEXT NOT NULL,
    level TEXT NOT NULL, line TEXT NOT NULL
) STRICT;
CREATE INDEX job_log_by_job ON job_log(job_id, id);

CREATE TABLE snapshots (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id),
    job_id TEXT NOT NULL UNIQUE REFERENCES jobs(id),
    archive TEXT NOT NULL, archive_id TEXT NOT NULL, kind TEXT NOT NULL,
    started_at TEXT NOT NULL, ended_at TEXT NOT NULL, duration_seconds REAL NOT NULL, files_count INTEGER NOT NULL,
    original_bytes INTEGER NOT NULL, compressed_bytes INTEGER NOT NULL, added_bytes INTEGER NOT NULL,
    sources_json TEXT NOT NULL, warnings_count INTEGER NOT NULL DEFAULT 0, UNIQUE (agent_id, archive_id)
) STRICT;
CREATE INDEX snapshots_by_agent ON snapshots(agent_id, started_at);
CREATE INDEX snapshots_by_tenant ON snapshots(tenant_id, started_at);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY, tenant_id TEXT, at TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    target TEXT NOT NULL, detail_json TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_tenant ON audit(tenant_id, id);
CREATE INDEX audit_by_action ON audit(action, id);
"""


DASHBOARD = """
ALTER TABLE users ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
ALTER TABLE snapshots ADD COLUMN new_files_count INTEGER;
ALTER TABLE snapshots ADD COLUMN changed_files_count INTEGER;
CREATE INDEX jobs_by_state ON jobs(tenant_id, state, id);
CREATE INDEX jobs_by_end ON jobs(tenant_id, ended_at);
CREATE INDEX restores_by_end ON jobs(tenant_id, ended_at) WHERE kind = 'restore';
"""


QUESTIONS = """
CREATE TABLE questions (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id),
    question_json TEXT NOT NULL, asked_by TEXT NOT NULL, asked_at TEXT NOT NULL, taken_at TEXT, heard_at TEXT,
    answered_at TEXT, withdrawn_at TEXT, answer_json TEXT
) STRICT;
CREATE INDEX questions_by_agent ON questions(agent_id, id);
CREATE INDEX questions_by_moment ON questions(asked_at);
"""


MEASUREMENTS = """
CREATE TABLE measurements (
    step INTEGER NOT NULL, at INTEGER NOT NULL,
    cpu_share REAL, memory_bytes REAL, disk_used_bytes REAL, disk_free_bytes REAL, disk_total_bytes REAL,
    jobs_queued REAL, jobs_running REAL, heartbeats_per_minute REAL, read_bytes_per_second REAL,
    stored_bytes_per_second REAL, tunnel_sessions REAL, PRIMARY KEY (step, at)
) STRICT, WITHOUT ROWID;
ALTER TABLE repositories ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN measured_at TEXT;
CREATE INDEX snapshots_sizes ON snapshots(tenant_id, started_at, agent_id, original_bytes, added_bytes);
DROP INDEX snapshots_by_tenant;
CREATE INDEX jobs_outcomes ON jobs(tenant_id, ended_at, kind, state, agent_id);
DROP INDEX jobs_by_end;
"""


DOWNLOADS = """
ALTER TABLE provisionings ADD COLUMN batch_id TEXT NOT NULL DEFAULT '';
ALTER TABLE provisionings ADD COLUMN withdrawn_at TEXT;
CREATE INDEX provisionings_by_batch ON provisionings(batch_id) WHERE batch_id <> '';
CREATE INDEX provisionings_open ON provisionings(tenant_id, expires_at) WHERE spent_at IS NULL AND withdrawn_at IS NULL;
"""

RESTORES = """
CREATE TABLE restore_reports (
    job_id TEXT PRIMARY KEY REFERENCES jobs(id) ON DELETE CASCADE, facts_json TEXT NOT NULL
) STRICT;
CREATE TABLE recovery_challenges (
    id TEXT PRIMARY KEY, public_key BLOB NOT NULL, secret_hash TEXT NOT NULL, address TEXT NOT NULL,
    expires_at TEXT NOT NULL
) STRICT;
"""


CATALOGUES = """
ALTER TABLE tenants ADD COLUMN names TEXT NOT NULL DEFAULT 'readable';
ALTER TABLE agents ADD COLUMN listings_wanted INTEGER NOT NULL DEFAULT 0;
CREATE TABLE listings (
    snapshot_id TEXT PRIMARY KEY REFERENCES snapshots(id) ON DELETE CASCADE,
    tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id), state TEXT NOT NULL,
    base TEXT NOT NULL, received_at TEXT NOT NULL, indexed_at TEXT, entries_count INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX agents_wanted ON agents(id) WHERE listings_wanted > 0;
CREATE INDEX listings_by_agent ON listings(agent_id, snapshot_id);
CREATE INDEX listings_waiting ON listings(snapshot_id) WHERE state = 'waiting';
"""


KEYS = """
CREATE TABLE seals (
    agent_id TEXT NOT NULL REFERENCES agents(id), public_key BLOB NOT NULL, purpose TEXT NOT NULL,
    sealed TEXT NOT NULL, sealed_at TEXT NOT NULL, PRIMARY KEY (agent_id, public_key)
) STRICT, WITHOUT ROWID;
INSERT INTO seals (agent_id, public_key, purpose, sealed, sealed_at)
    SELECT r.agent_id, t.recovery_public_key, 'recovery', r.sealed_key, r.sealed_at
    FROM repositories r JOIN tenants t ON t.id = r.tenant_id
    WHERE r.sealed_key <> '' AND r.sealed_at IS NOT NULL AND t.recovery_public_key IS NOT NULL;
ALTER TABLE repositories DROP COLUMN sealed_key;
ALTER TABLE repositories ADD COLUMN key_mode TEXT NOT NULL DEFAULT 'sealed';
ALTER TABLE repositories ADD COLUMN managed_since TEXT;
ALTER TABLE tenants ADD COLUMN recovery_made_at TEXT;
ALTER TABLE tenants ADD COLUMN recovery_made_by TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN recovery_check_json TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN recovery_confirmed_at TEXT;
"""


PROTECTION = """
CREATE TABLE alerts (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT REFERENCES agents(id),
    kind TEXT NOT NULL, opened_at TEXT NOT NULL, cleared_at TEXT, cleared_by TEXT NOT NULL DEFAULT '',
    evidence_json TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE UNIQUE INDEX alerts_open ON alerts(tenant_id, kind, coalesce(agent_id, '')) WHERE cleared_at IS NULL;
CREATE INDEX alerts_by_tenant ON alerts(tenant_id, id);
CREATE TABLE holds (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id),
    snapshot_id TEXT NOT NULL REFERENCES snapshots(id), kind TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    until TEXT, placed_at TEXT NOT NULL, placed_by TEXT NOT NULL, release_asked_at TEXT,
    release_asked_by TEXT NOT NULL DEFAULT '', released_at TEXT, released_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX holds_of_snapshot ON holds(snapshot_id) WHERE released_at IS NULL;
CREATE INDEX holds_of_agent ON holds(agent_id) WHERE released_at IS NULL;
CREATE TABLE removed_snapshots (
    snapshot_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL REFERENCES agents(id), removed_at TEXT NOT NULL, why TEXT NOT NULL,
    job_id TEXT NOT NULL, row_json TEXT NOT NULL
) STRICT;
CREATE INDEX removed_snapshots_of_agent ON removed_snapshots(agent_id, removed_at);
CREATE TABLE checkpoints (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id),
    moment INTEGER NOT NULL, made_at TEXT NOT NULL, why TEXT NOT NULL, job_id TEXT NOT NULL DEFAULT '',
    expires_at TEXT NOT NULL, state TEXT NOT NULL, own_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX checkpoints_of_agent ON checkpoints(agent_id, id);
CREATE TABLE writes (
    id INTEGER PRIMARY KEY, agent_id TEXT NOT NULL REFERENCES agents(id), name TEXT NOT NULL,
    job_id TEXT NOT NULL DEFAULT '', at TEXT NOT NULL, put_bytes INTEGER NOT NULL, facts_json TEXT NOT NULL,
    UNIQUE (agent_id, name)
) STRICT;
CREATE INDEX writes_of_agent ON writes(agent_id, id);
ALTER TABLE snapshots ADD COLUMN standing TEXT NOT NULL DEFAULT 'good';
ALTER TABLE repositories ADD COLUMN upkeep_job TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN frozen_at TEXT;
ALTER TABLE repositories ADD COLUMN frozen_why TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN settled_segment INTEGER NOT NULL DEFAULT -1;
ALTER TABLE repositories ADD COLUMN manifest_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN manifest_compression TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN retained_at TEXT;
ALTER TABLE repositories ADD COLUMN compacted_at TEXT;
ALTER TABLE repositories ADD COLUMN quarantine_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN quarantine_days INTEGER NOT NULL DEFAULT 14;
ALTER TABLE policies ADD COLUMN maintenance TEXT NOT NULL DEFAULT '03:00-07:00';
"""

UNUSUAL = """
CREATE TABLE guard_runs (
    snapshot_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL REFERENCES agents(id), at TEXT NOT NULL, state TEXT NOT NULL, run_json TEXT NOT NULL,
    findings_json TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE INDEX guard_runs_of_agent ON guard_runs(agent_id, at);
ALTER TABLE policies ADD COLUMN guard_canaries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN machine TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN machine_class TEXT NOT NULL DEFAULT '';
ALTER TABLE agents ADD COLUMN due_at TEXT;
ALTER TABLE tenants ADD COLUMN overdue_json TEXT NOT NULL DEFAULT '{}';
"""


HOLDS = """
CREATE TABLE holds_anew (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id), agent_id TEXT NOT NULL REFERENCES agents(id),
    snapshot_id TEXT NOT NULL REFERENCES snapshots(id) ON DELETE CASCADE, kind TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', until TEXT, placed_at TEXT NOT NULL, placed_by TEXT NOT NULL,
    release_asked_at TEXT, release_asked_by TEXT NOT NULL DEFAULT '', release_asked_id TEXT NOT NULL DEFAULT '',
    released_at TEXT, released_by TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO holds_anew (id, tenant_id, agent_id, snapshot_id, kind, reason, until, placed_at, placed_by, released_at,
    released_by)
    SELECT id, tenant_id, agent_id, snapshot_id, kind, reason, until, placed_at, placed_by, released_at, released_by
    FROM holds;
DROP TABLE holds;
ALTER TABLE holds_anew RENAME TO holds;
CREATE INDEX holds_of_snapshot ON holds(snapshot_id);
CREATE INDEX holds_of_agent ON holds(agent_id) WHERE released_at IS NULL;
CREATE INDEX holds_of_tenant ON holds(tenant_id, id) WHERE released_at IS NULL;
CREATE INDEX holds_asked ON holds(tenant_id) WHERE released_at IS NULL AND release_asked_at IS NOT NULL;
"""
# The last guard, whatever the code above it believes.
HELD = """
CREATE TRIGGER snapshots_held BEFORE DELETE ON snapshots WHEN EXISTS (
    SELECT 1 FROM holds WHERE snapshot_id = OLD.id AND released_at IS NULL
    AND (until IS NULL OR until > strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) BEGIN SELECT RAISE(ABORT, 'a hold is in force on this snapshot'); END
"""


PROOFS = """
ALTER TABLE agents ADD COLUMN proven_at TEXT;
ALTER TABLE agents ADD COLUMN kinds TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_by_kind ON jobs(agent_id, kind, requested_at);
CREATE TABLE checks (
    agent_id TEXT PRIMARY KEY REFERENCES agents(id), tenant_id TEXT NOT NULL REFERENCES tenants(id),
    generation INTEGER NOT NULL DEFAULT 0, segment INTEGER NOT NULL DEFAULT -1, began_at TEXT,
    read_bytes INTEGER NOT NULL DEFAULT 0,
    objects_count INTEGER NOT NULL DEFAULT 0, checked_at TEXT, is_asked INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    marker TEXT NOT NULL DEFAULT '', verify_began_at TEXT, verify_read_bytes INTEGER NOT NULL DEFAULT 0,
    verify_objects_count INTEGER NOT NULL DEFAULT 0, verified_at TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE passes (
    id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL REFERENCES agents(id), kind TEXT NOT NULL, began_at TEXT NOT NULL, ended_at TEXT NOT NULL,
    read_bytes INTEGER NOT NULL, objects_count INTEGER NOT NULL, damages_count INTEGER NOT NULL
) STRICT;
CREATE INDEX passes_by_tenant ON passes(tenant_id, ended_at);
CREATE TABLE damages (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL REFERENCES agents(id), place TEXT NOT NULL, what TEXT NOT NULL,
    segment INTEGER NOT NULL, found_at TEXT NOT NULL, seen_at TEXT NOT NULL, found_by TEXT NOT NULL,
    located_at TEXT, located_json TEXT,
    cleared_at TEXT, cleared_why TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX damages_open ON damages(agent_id, place) WHERE cleared_at IS NULL;
CREATE INDEX damages_by_tenant ON damages(tenant_id, found_at);
CREATE TABLE drills (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL REFERENCES tenants(id),
    agent_id TEXT NOT NULL REFERENCES agents(id), job_id TEXT NOT NULL UNIQUE REFERENCES jobs(id),
    received_at TEXT NOT NULL, nonce TEXT NOT NULL, statement TEXT NOT NULL, signature TEXT NOT NULL,
    thumbprint TEXT NOT NULL, files_count INTEGER NOT NULL, original_bytes INTEGER NOT NULL,
    mismatches_count INTEGER NOT NULL, restore_seconds REAL NOT NULL
) STRICT;
CREATE INDEX drills_by_agent ON drills(agent_id, received_at);
CREATE INDEX drills_by_tenant ON drills(tenant_id, received_at);
CREATE TABLE drill_certificates (thumbprint TEXT PRIMARY KEY, chain_pem TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""


OFFSITE = """
CREATE TABLE offsite_stores (
    id TEXT PRIMARY KEY, tenant_id TEXT REFERENCES tenants(id), place_json TEXT NOT NULL,
    secret_sealed BLOB NOT NULL, made_at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX offsite_stores_of_tenant ON offsite_stores(coalesce(tenant_id, ''));
CREATE TABLE offsite_segments (
    store_id TEXT NOT NULL REFERENCES offsite_stores(id) ON DELETE CASCADE,
    agent_id TEXT NOT NULL REFERENCES agents(id), number INTEGER NOT NULL, bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, key TEXT NOT NULL, version_id TEXT NOT NULL DEFAULT '',
    locked_until TEXT, first_generation INTEGER NOT NULL DEFAULT 0, last_generation INTEGER NOT NULL DEFAULT 0,
    verified_at TEXT, is_broken INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (store_id, agent_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE offsite_generations (
    store_id TEXT NOT NULL REFERENCES offsite_stores(id) ON DELETE CASCADE,
    agent_id TEXT NOT NULL REFERENCES agents(id), number INTEGER NOT NULL, made_at TEXT NOT NULL,
    moment INTEGER NOT NULL, life INTEGER NOT NULL, bytes INTEGER NOT NULL, segments_count INTEGER NOT NULL,
    key TEXT NOT NULL, sha256 TEXT NOT NULL, version_id TEXT NOT NULL DEFAULT '', locked_until TEXT,
    snapshots_count INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (store_id, agent_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE offsite_states (
    agent_id TEXT PRIMARY KEY REFERENCES agents(id), tenant_id TEXT NOT NULL REFERENCES tenants(id),
    store_id TEXT NOT NULL DEFAULT '', generation INTEGER NOT NULL DEFAULT 0, made_at TEXT, snapshot_at TEXT,
    bytes INTEGER NOT NULL DEFAULT 0, segments_count INTEGER NOT NULL DEFAULT 0, tried_at TEXT,
    error_code TEXT NOT NULL DEFAULT '', error_message TEXT NOT NULL DEFAULT '', verified_at TEXT,
    verified_share REAL NOT NULL DEFAULT 0, findings_json TEXT NOT NULL DEFAULT '[]'
) STRICT, WITHOUT ROWID;
"""


# What a self-backup is made anew for, within a minute: the columns, all if none are named. What changes with each
# heartbeat or each job is none of them.
WATCHED = {
    "tenants": (),
    "users": ("tenant_id", "email", "password_hash", "role", "is_disabled"),
    "api_tokens": ("revoked_at",),
    "policies": (),
    "agents": ("state", "hostname", "policy_id"),
    "certificates": ("revoked_at",),
    "repositories": ("state", "engine_id", "key_mode", "away_at"),
    "seals": (),
    "holds": ("released_at",),
    "offsite_stores": (),
}
SELF_BACKUP = """
CREATE TABLE self_backup (
    id INTEGER PRIMARY KEY CHECK (id = 1), changes INTEGER NOT NULL DEFAULT 1, records INTEGER NOT NULL DEFAULT 0,
    covered_changes INTEGER NOT NULL DEFAULT 0, covered_records INTEGER NOT NULL DEFAULT 0,
    name TEXT NOT NULL DEFAULT '', bytes INTEGER NOT NULL DEFAULT 0, seconds REAL NOT NULL DEFAULT 0,
    made_at TEXT, store_made_at TEXT, tried_at TEXT,
    error_code TEXT NOT NULL DEFAULT '', error_message TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO self_backup (id) VALUES (1);
ALTER TABLE repositories ADD COLUMN away_at TEXT;
"""


@migrations()
def m001_the_spine(db: UtilsDatabase) -> None:
    """Tenants, people, hosts, jobs, snapshots, certificates, the audit log."""
    _execute(db, FIRST)


@migrations()
def m002_the_dashboard(db: UtilsDatabase) -> None:
    """Keep a person's time zone and what each backup found changed; find jobs by state and by end."""
    _execute(db, DASHBOARD)


@migrations()
def m003_questions(db: UtilsDatabase) -> None:
    """Keep what people ask of hosts while they wait, and the answers."""
    _execute(db, QUESTIONS)


@migrations()
def m004_measurements(db: UtilsDatabase) -> None:
    """Measure over time: `step` is how many seconds a row stands for, `at` their start in seconds since 1970.

    The two indexes on snapshots and jobs hold what their sums over time need, in the place of narrower ones.
    """
    _execute(db, MEASUREMENTS)


@migrations()
def m005_the_downloads(db: UtilsDatabase) -> None:
    """Rights to enrol that were made together; a right can be withdrawn."""
    _execute(db, DOWNLOADS)


@migrations()
def m006_the_catalogue(db: UtilsDatabase) -> None:
    """Which snapshots the catalogues hold, which hosts are to send listings, and whether names may be read here."""
    _execute(db, CATALOGUES)


@migrations()
def m007_keys(db: UtilsDatabase) -> None:
    """Seal a host's key to more than one public key; tell who made the recovery key, and whether it is at hand."""
    _execute(db, KEYS)


@migrations()
def m008_the_builds(db: UtilsDatabase) -> None:
    """Keep which executable each host runs."""
    _execute(db, "ALTER TABLE agents ADD COLUMN build TEXT NOT NULL DEFAULT ''")


@migrations()
def m010_restores(db: UtilsDatabase) -> None:
    """Keep what each restore found and made, and for minutes what proves that somebody holds a recovery code."""
    _execute(db, RESTORES)


@migrations()
def m011_protection(db: UtilsDatabase) -> None:
    """Alerts, holds, snapshots that were removed, checkpoints of repositories, and what was written to them."""
    _execute(db, PROTECTION)


@migrations()
def m012_holds(db: UtilsDatabase) -> None:
    """Know the person who asked for a release; let nothing remove a snapshot under hold, and holds go with theirs."""
    _execute(db, HOLDS)
    db.execute(HELD)


@migrations()
def m013_proofs(db: UtilsDatabase) -> None:
    """How far repositories are checked, what is damaged in them, and restore drills as their hosts signed them."""
    _execute(db, PROOFS)


@migrations()
def m014_unusual_and_overdue(db: UtilsDatabase) -> None:
    """Keep how files changed from backup to backup; what kind of machine a host is, and how long each may be away."""
    _execute(db, UNUSUAL)


@migrations()
def m015_quotas(db: UtilsDatabase) -> None:
    """Limits of what hosts and tenants may store, in bytes, 0 for none; and what stopped a job, in numbers."""
    for table in ("agents", "tenants"):
        for name in ("quota_soft_bytes", "quota_hard_bytes"):
            _execute(db, f"ALTER TABLE {table} ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
    _execute(db, "ALTER TABLE jobs ADD COLUMN error_facts_json TEXT NOT NULL DEFAULT ''")


@migrations()
def m016_lost_at(db: UtilsDatabase) -> None:
    """Since when a snapshot is lost, and how it stood before: a roll-back brings back what was there then."""
    _execute(db, "ALTER TABLE snapshots ADD COLUMN lost_at TEXT")
    _execute(db, "ALTER TABLE snapshots ADD COLUMN lost_from TEXT NOT NULL DEFAULT 'good'")
    _execute(db, "UPDATE snapshots SET lost_at = strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') WHERE standing = 'lost'")


@migrations()
def m017_offsite_copies(db: UtilsDatabase) -> None:
    """Keep stores for offsite copies, what is in them of each host, and how each host's copy stands."""
    _execute(db, OFFSITE)


@migrations()
def m018_snapshots_by_end(db: UtilsDatabase) -> None:
    """Find what an offsite copy lacks without reading all snapshots of its host."""
    _execute(db, "CREATE INDEX snapshots_by_end ON snapshots(agent_id, ended_at)")


@migrations()
def m019_self_backup(db: UtilsDatabase) -> None:
    """Keep how self-backups stand, count what changes, and know repositories that are only in the offsite copy."""
    _execute(db, SELF_BACKUP)
    counting = "BEGIN UPDATE self_backup SET {count} = {count} + 1; END"
    for table, columns in WATCHED.items():
        of = f" OF {', '.join(columns)}" if columns else ""
        when = f" WHEN {' OR '.join(f'OLD.{name} IS NOT NEW.{name}' for name in columns)}" if columns else ""
        for event in ("INSERT", "DELETE", f"UPDATE{of}"):
            name, which = f"self_backup_{table}_{event.split()[0].lower()}", when if event.startswith("UPDATE") else ""
            db.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table}{which} {counting.format(count='changes')}")
    db.execute(f"CREATE TRIGGER self_backup_snapshots AFTER INSERT ON snapshots {counting.format(count='records')}")
    db.execute(
        "CREATE TRIGGER self_backup_addresses AFTER UPDATE OF value ON facts"
        " WHEN NEW.name IN ('addresses', 'addresses-told')"
        f" AND OLD.value <> NEW.value {counting.format(count='changes')}"
    )


@migrations()
def m020_addresses(db: UtilsDatabase) -> None:
    """Keep which list of the appliance's addresses each host holds."""
    _execute(db, "ALTER TABLE agents ADD COLUMN addresses_serial INTEGER NOT NULL DEFAULT 0")


def _execute(db: UtilsDatabase, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            db.execute(statement)


def migrate(path: Path) -> None:
    """Bring the file at `path` to today's schema; copy it first when something will change.

    One process at a time (a lock file beside it). Raises Unavailable when the file was written by a newer SaveOS.
    """
    with path.with_suffix(".migrating").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = connect(path)
        path.chmod(0o600)
        try:
            database = UtilsDatabase(connection)
            known = {migration.name for migration in migrations._migrations}  # noqa: SLF001 - no public listing
            applied = {migration.name for migration in migrations.applied(database)}
            if applied - known:
                message = "The database was written by a newer SaveOS: start that version, or restore the older file."
                raise Unavailable(message, unknown=sorted(applied - known))
            if applied and known - applied:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shutil.copy2(path, path.with_suffix(f".before-{min(known - applied)}"))
            migrations.apply(database)
        finally:
            connection.close()
