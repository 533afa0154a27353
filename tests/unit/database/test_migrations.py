"""What an older appliance left is still there, in today's shape."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlite_utils import Database as UtilsDatabase

from saveos.database.migrations import migrate, migrations

if TYPE_CHECKING:
    from pathlib import Path

BEFORE_SEALS = """
INSERT INTO tenants (id, name, recovery_public_key, created_at) VALUES ('t', 'T', x'abcd', '2026');
INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json, compression,
    created_at) VALUES ('p', 't', 'P', '[]', '[]', '', '{}', 'lz4', '2026');
INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, enrolled_at)
    VALUES ('a', 't', 'old', 'linux', 'ready', 'p', '2026'), ('b', 't', 'new', 'linux', 'enrolled', 'p', '2026');
INSERT INTO repositories (id, tenant_id, agent_id, state, sealed_key, sealed_at, created_at)
    VALUES ('r', 't', 'a', 'ready', 'c2VhbGVk', '2027', '2026'), ('s', 't', 'b', 'new', '', NULL, '2026');
"""


def test_sealed_key_of_before_is_sealed_to_the_recovery_key_of_its_tenant(tmp_path: Path) -> None:
    path = tmp_path / "saveos.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        migrations.apply(UtilsDatabase(connection), stop_before="m007_keys")
        connection.executescript(BEFORE_SEALS)

    migrate(path)

    with contextlib.closing(sqlite3.connect(path)) as connection:
        seals = connection.execute("SELECT agent_id, hex(public_key), purpose, sealed, sealed_at FROM seals").fetchall()
        modes = connection.execute("SELECT agent_id, key_mode FROM repositories ORDER BY 1").fetchall()
    assert [("a", "ABCD", "recovery", "c2VhbGVk", "2027")] == seals
    assert [("a", "sealed"), ("b", "sealed")] == modes


BEFORE_RELEASES = """
INSERT INTO jobs (id, tenant_id, agent_id, kind, runs_on, state, order_json, not_before, requested_by, requested_at)
    VALUES ('j', 't', 'a', 'backup', 'host', 'done', '{}', '2026', 'system:schedule', '2026');
INSERT INTO snapshots (id, tenant_id, agent_id, job_id, archive, archive_id, kind, started_at, ended_at,
    duration_seconds, files_count, original_bytes, compressed_bytes, added_bytes, sources_json, warnings_count)
    VALUES ('s', 't', 'a', 'j', 'x', 'x', 'full', '2026', '2026', 0, 0, 0, 0, 0, '[]', 0);
INSERT INTO holds (id, tenant_id, agent_id, snapshot_id, kind, reason, placed_at, placed_by)
    VALUES ('h', 't', 'a', 's', 'pin', 'why', '2026', 'user:anna');
"""


def test_hold_of_before_still_keeps_its_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "saveos.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        migrations.apply(UtilsDatabase(connection), stop_before="m007_keys")
        connection.executescript(BEFORE_SEALS)
        migrations.apply(UtilsDatabase(connection), stop_before="m012_holds")
        connection.executescript(BEFORE_RELEASES)

    migrate(path)

    with contextlib.closing(sqlite3.connect(path)) as connection:
        holds = connection.execute("SELECT id, snapshot_id, kind, reason, placed_by, release_asked_id FROM holds")
        assert [("h", "s", "pin", "why", "user:anna", "")] == holds.fetchall()
        with pytest.raises(sqlite3.IntegrityError, match="a hold is in force"):
            connection.execute("DELETE FROM snapshots")
