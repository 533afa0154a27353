"""A large fleet written straight into an appliance's database: agents, their jobs and their snapshots."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.database.identifiers import new_id
from saveos.measurements.model import floor

if TYPE_CHECKING:
    from pathlib import Path

FAILING = 7  # of every forty agents, the one whose last backup failed
SYSTEMS = ("Debian GNU/Linux 12 (bookworm)", "Debian GNU/Linux 13 (trixie)", "Ubuntu 24.04.3 LTS")


def plant(path: Path, agents: int, snapshots: int, *, seed: int = 7) -> None:
    """Add so many agents with so many daily snapshots to the first tenant; one in forty failed, a few are silent."""
    rng = random.Random(seed)  # noqa: S311 - the same fleet each time
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    tenant, policy = connection.execute("SELECT tenant_id, id FROM policies WHERE is_default LIMIT 1").fetchone()
    now = datetime.now(UTC)
    for number in range(agents):
        agent_id, size = new_id("agt"), rng.randrange(10**9, 4 * 10**11)
        seen = now - timedelta(seconds=rng.randrange(60)) if rng.random() > 0.03 else now - timedelta(hours=5)
        connection.execute(
            "INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, agent_version, system, time_zone,"
            " address, enrolled_at, seen_at, next_backup_at)"
            " VALUES (?, ?, ?, 'linux', 'ready', ?, '0.1.0', ?, 'Europe/Paris', ?, ?, ?, ?)",
            (
                agent_id,
                tenant,
                f"{rng.choice(('web', 'db', 'mail', 'app', 'ws'))}-{number:04d}",
                policy,
                rng.choice(SYSTEMS),
                f"10.0.{number // 256}.{number % 256}",
                clock.to_text(now - timedelta(days=snapshots)),
                clock.to_text(seen),
                clock.to_text(now + timedelta(hours=rng.randrange(1, 20))),
            ),
        )
        _history(connection, (tenant, agent_id, policy), snapshots, size, rng, now, is_failing=number % 40 == FAILING)
    connection.execute("COMMIT")
    connection.close()


def _history(
    connection: sqlite3.Connection,
    owner: tuple[str, str, str],
    snapshots: int,
    size: int,
    rng: random.Random,
    now: datetime,
    *,
    is_failing: bool,
) -> None:
    tenant, agent_id, policy = owner
    jobs: list[tuple[Any, ...]] = []
    kept: list[tuple[Any, ...]] = []
    for day in range(snapshots, 0, -1):
        begun = now - timedelta(days=day - 1, hours=rng.random() * 3 + 1)
        ended = begun + timedelta(seconds=rng.randrange(30, 1800))
        job_id, is_last = new_id("job"), day == 1
        state = "failed" if is_failing and is_last else "warned" if rng.random() < 0.02 else "done"
        jobs.append(
            (job_id, tenant, agent_id, policy, state, *map(clock.to_text, (begun, begun, begun, ended)))
            + (("host-error", "/srv cannot be read: Input/output error") if state == "failed" else ("", ""))
        )
        if state == "failed":
            continue
        added = size // 2 if day == snapshots else int(size * rng.uniform(0.0005, 0.01))
        kept.append(
            (
                *(
                    new_id("snp"),
                    tenant,
                    agent_id,
                    job_id,
                    f"a-{job_id}",
                    hashlib.sha256(job_id.encode()).hexdigest(),
                    day,
                ),
                "full" if day == snapshots else "incremental",
                *(clock.to_text(begun), clock.to_text(ended), (ended - begun).total_seconds()),
                *(size // 50_000, size, size // 2, added, int(state == "warned")),
                *(size // 50_000 if day == snapshots else rng.randrange(200), rng.randrange(4000)),
            )
        )
    connection.executemany(
        "INSERT INTO jobs (id, tenant_id, agent_id, policy_id, kind, runs_on, state, order_json, attempts, not_before,"
        " requested_by, requested_at, started_at, ended_at, error_code, message)"
        " VALUES (?1, ?2, ?3, ?4, 'backup', 'host', ?5, '{\"backup\": {\"archive\": \"a\"}}', 1, ?6, 'system:schedule',"
        " ?7, ?8, ?9, ?10, ?11)",
        jobs,
    )
    connection.executemany(
        "INSERT INTO snapshots (id, tenant_id, agent_id, job_id, archive, archive_id, kind, started_at, ended_at,"
        " duration_seconds, files_count, original_bytes, compressed_bytes, added_bytes, sources_json, warnings_count,"
        " new_files_count, changed_files_count)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, '[]', ?16, ?17, ?18)",
        kept,
    )


def plant_measurements(path: Path, days: int, *, seed: int = 7) -> None:
    """Add samples of so many days, kept as finely as they would be by now; the disk has come to where it is."""
    rng = random.Random(seed)  # noqa: S311 - the same curve each time
    now = datetime.now(UTC)
    disk = shutil.disk_usage(path.parent)
    rows = []
    for step, since, until in ((30, 0, 24), (300, 24, 14 * 24), (3600, 14 * 24, days * 24)):
        for seconds in range(since * 3600 + step, min(until, days * 24) * 3600, step):
            moment = now - timedelta(seconds=seconds)
            is_night = moment.hour in (1, 2, 3)
            running = rng.randrange(3, 9) if is_night else rng.randrange(2)
            read = running * rng.uniform(2e7, 6e7)
            used = disk.used * (1 - 0.4 * seconds / (days * 86400)) + rng.uniform(0, 2e8)
            rows.append(
                (
                    *(step, floor(moment, step), 0.06 + 0.07 * running + rng.random() * 0.04),
                    *(1.3e8 + 2e7 * running, used, disk.total - used, disk.total),
                    *(rng.randrange(12) if is_night else 0, running, rng.uniform(90, 98)),
                    *(read, read * rng.uniform(0.02, 0.2), running),
                )
            )
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        connection.executemany(f"INSERT OR REPLACE INTO measurements VALUES (?, ?{', ?' * 11})", rows)
