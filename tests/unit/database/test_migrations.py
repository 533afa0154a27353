"""What an older appliance left is still there, in today's shape."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

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
