"""All SQL on measurements, and on what the truth of other tables sums up to over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.connection import many, one
from saveos.measurements.model import SAMPLE_SECONDS, HostStorage, Name, floor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saveos.database.connection import Values
    from saveos.measurements.model import Sample, Thinning
    from saveos.protocol import TenantId

_NAMES = tuple(name.value for name in Name)
_OWN = "tenant_id = :tenant_id AND "
_ALL = "tenant_id IN (SELECT id FROM tenants) AND "  # said so, the indexes by tenant are of use


def insert(connection: sqlite3.Connection, sample: Sample) -> None:
    """Keep a sample; another of the same half minute gives way."""
    values = {name: getattr(sample, name) for name in _NAMES}
    connection.execute(
        f"INSERT OR REPLACE INTO measurements (step, at, {', '.join(_NAMES)})"
        f" VALUES (:step, :at, {', '.join(':' + name for name in _NAMES)})",
        {**values, "step": SAMPLE_SECONDS, "at": floor(sample.at, SAMPLE_SECONDS)},
    )


def thin(connection: sqlite3.Connection, thinning: Thinning) -> int:
    """Replace fine rows by their means, or forget them; return how many went."""
    values = msgspec.structs.asdict(thinning)
    if thinning.coarse is not None:
        means = ", ".join(f"avg({name})" for name in _NAMES)
        connection.execute(
            f"INSERT OR REPLACE INTO measurements (step, at, {', '.join(_NAMES)})"
            f" SELECT :coarse, at / :coarse * :coarse, {means} FROM measurements"
            " WHERE step = :fine AND at < :before GROUP BY 2",
            values,
        )
    return connection.execute("DELETE FROM measurements WHERE step = :fine AND at < :before", values).rowcount


def means(
    connection: sqlite3.Connection, names: Sequence[Name], since: int, until: int, step_seconds: int
) -> list[dict[str, Any]]:
    """Return (slot, one column per name) for each step that anything was measured in, oldest first.

    A row counts for as long as it stands for, as rows of different lengths meet where they were thinned out.
    """
    columns = ", ".join(
        f"total({name} * step) / nullif(total(CASE WHEN {name} IS NULL THEN 0 ELSE step END), 0) AS {name}"
        for name in names
    )
    return _rows(
        connection,
        f"SELECT at / :size * :size AS slot, {columns} FROM measurements"
        " WHERE step IN (SELECT DISTINCT step FROM measurements) AND at >= :since AND at < :until"
        " GROUP BY 1 ORDER BY 1",
        {"size": step_seconds, "since": since, "until": until},
    )


def job_counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many jobs are queued and running on the whole appliance."""
    rows = many(
        connection, "SELECT state, count(*) AS count FROM jobs WHERE state IN ('queued', 'running') GROUP BY state"
    )
    return {row["state"]: row["count"] for row in rows}


def progress_of(connection: sqlite3.Connection, job_ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return (job_id, is_running, updated_at, added_bytes, bytes_per_second) of running jobs and of those named."""
    return _rows(
        connection,
        "SELECT p.job_id, j.state = 'running' AS is_running, p.updated_at, p.added_bytes, p.bytes_per_second"
        " FROM job_progress p JOIN jobs j ON j.id = p.job_id WHERE p.job_id IN"
        " (SELECT id FROM jobs WHERE state = 'running' UNION SELECT value FROM json_each(?))",
        (msgspec.json.encode(list(job_ids)).decode(),),
    )


def ended_backups(
    connection: sqlite3.Connection, tenant_id: TenantId, since: datetime, width: int
) -> list[dict[str, Any]]:
    """Return (slot, state, count) of a tenant's backups; the slot is the first `width` letters of the moment."""
    return _rows(
        connection,
        f"SELECT substr(ended_at, 1, :width) AS slot, state, count(*) AS count FROM jobs WHERE {_OWN}"
        " ended_at >= :since AND kind = 'backup' AND state IN ('done', 'warned', 'failed') GROUP BY 1, 2",
        {"tenant_id": tenant_id, "since": clock.to_text(since), "width": width},
    )


def added(
    connection: sqlite3.Connection, tenant_id: TenantId | None, since: datetime, width: int
) -> list[dict[str, Any]]:
    """Return (slot, original_bytes, added_bytes) of snapshots, of one tenant or of all; slots as above, in order."""
    return _rows(
        connection,
        "SELECT substr(started_at, 1, :width) AS slot, sum(original_bytes) AS original_bytes,"
        f" sum(added_bytes) AS added_bytes FROM snapshots WHERE {_OWN if tenant_id else _ALL}"
        " started_at >= :since GROUP BY 1 ORDER BY 1",
        {"tenant_id": tenant_id, "since": clock.to_text(since), "width": width},
    )


def added_before(connection: sqlite3.Connection, tenant_id: TenantId, moment: datetime) -> int:
    """Return what a tenant's snapshots before a moment added."""
    row = one(
        connection,
        f"SELECT coalesce(sum(added_bytes), 0) AS added FROM snapshots WHERE {_OWN} started_at < :moment",
        {"tenant_id": tenant_id, "moment": clock.to_text(moment)},
    )
    return int(row["added"]) if row else 0


def hosts(connection: sqlite3.Connection, tenant_id: TenantId, since: datetime) -> list[HostStorage]:
    """Return what each of a tenant's hosts keeps here."""
    rows = many(
        connection,
        "SELECT a.id AS agent_id, a.hostname,"
        " CASE WHEN r.measured_at IS NULL THEN NULL ELSE r.stored_bytes END AS stored_bytes,"
        " coalesce(r.quarantine_bytes, 0) AS quarantine_bytes,"
        " coalesce(s.original, 0) AS original_bytes, coalesce(s.added, 0) AS added_bytes,"
        " coalesce(s.recent, 0) AS added_in_range_bytes, coalesce(j.good, 0) AS good_in_range,"
        " coalesce(j.ended, 0) AS ended_in_range,"
        " CASE a.quota_hard_bytes WHEN 0 THEN a.quota_soft_bytes ELSE a.quota_hard_bytes END AS quota_bytes"
        " FROM agents a LEFT JOIN repositories r ON r.agent_id = a.id"
        " LEFT JOIN (SELECT agent_id, sum(original_bytes) AS original, sum(added_bytes) AS added,"
        " sum(CASE WHEN started_at >= :since THEN added_bytes ELSE 0 END) AS recent"
        f" FROM snapshots WHERE {_OWN} true GROUP BY agent_id) s ON s.agent_id = a.id"
        " LEFT JOIN (SELECT agent_id, sum(state IN ('done', 'warned')) AS good, count(*) AS ended FROM jobs"
        f" WHERE {_OWN} ended_at >= :since AND kind = 'backup' AND state IN ('done', 'warned', 'failed')"
        " GROUP BY agent_id) j ON j.agent_id = a.id WHERE a.tenant_id = :tenant_id",
        {"tenant_id": tenant_id, "since": clock.to_text(since)},
    )
    return [msgspec.convert(dict(row), HostStorage) for row in rows]


def _rows(connection: sqlite3.Connection, statement: str, values: Values) -> list[dict[str, Any]]:
    return [dict(row) for row in many(connection, statement, values)]


def tenants_count(connection: sqlite3.Connection) -> int:
    """Return how many tenants there are."""
    return int(connection.execute("SELECT count(*) FROM tenants").fetchone()[0])
