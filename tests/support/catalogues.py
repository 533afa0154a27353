"""Hosts with snapshots of trees that exist nowhere, brought into real catalogues by the code of host and appliance."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from saveos import config
from saveos.agent import listings
from saveos.clock import to_text
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.identity.principals import Principal, system
from saveos.protocol import TenantId
from saveos.protocol_listing import key_of
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import indexing, rebuilding, table_listings
from saveos.snapshots.table_listings import ListingState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from saveos.config import Settings

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """One tenant's hosts."""

    settings: Settings
    database: Database
    tenant: str = "ten_1"
    heads: dict[str, tuple[str, list[bytes]]] = field(default_factory=dict)  # by agent: archive and lines
    count: int = 0

    @classmethod
    def made(cls, folder: Path) -> World:
        """Make an empty one."""
        settings = config.load({"data": str(folder)}, {})
        folder.mkdir(parents=True, exist_ok=True)
        migrate(settings.database)
        world = cls(settings, Database(settings.database))
        world.add_tenant(world.tenant)
        return world

    @property
    def principal(self) -> Principal:
        """Who may see it all."""
        return system(TenantId(self.tenant))

    def add_tenant(self, tenant: str) -> None:
        """Add a tenant with a policy."""
        now = to_text(BEGIN)
        self._write("INSERT INTO tenants (id, name, created_at) VALUES (?, ?, ?)", tenant, tenant, now)
        self._write(
            "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
            " compression, created_at) VALUES (?, ?, 'p', '[]', '[]', '', '{}', 'lz4', ?)",
            f"pol_{tenant}",
            tenant,
            now,
        )

    def add_host(self, name: str, tenant: str = "") -> str:
        """Add a host and return its id."""
        tenant = tenant or self.tenant
        self._write(
            "INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, enrolled_at)"
            " VALUES (?, ?, ?, 'linux', 'ready', ?, ?)",
            f"agt_{name}",
            tenant,
            name,
            f"pol_{tenant}",
            to_text(BEGIN),
        )
        return f"agt_{name}"

    def add_snapshot(self, agent: str) -> tuple[str, str]:
        """Add a snapshot that is not indexed; return its id and its archive."""
        self.count += 1
        at = to_text(BEGIN + timedelta(hours=self.count))
        job, snapshot, archive = (f"{kind}_{self.count:06d}" for kind in ("job", "snp", "archive"))
        tenant = self.database.read.execute("SELECT tenant_id FROM agents WHERE id = ?", (agent,)).fetchone()[0]
        self._write(
            "INSERT INTO jobs (id, tenant_id, agent_id, kind, runs_on, state, order_json, not_before, requested_by,"
            " requested_at) VALUES (?, ?, ?, 'backup', 'host', 'done', '{}', ?, 'test', ?)",
            job,
            tenant,
            agent,
            at,
            at,
        )
        self._write(
            "INSERT INTO snapshots (id, tenant_id, agent_id, job_id, archive, archive_id, kind, started_at, ended_at,"
            " duration_seconds, files_count, original_bytes, compressed_bytes, added_bytes, sources_json)"
            " VALUES (?, ?, ?, ?, ?, ?, 'full', ?, ?, 1, 1, 1, 1, 1, '[]')",
            snapshot,
            tenant,
            agent,
            job,
            archive,
            archive,
            at,
            at,
        )
        return snapshot, archive

    def back_up(self, agent: str, tree: Mapping[bytes, bytes], *, is_whole: bool = False) -> str:
        """Make a snapshot of a tree (path to facts), bring its listing in as a host's difference, return its id."""
        entries = listings.hung_together(sorted((key_of(path), facts) for path, facts in tree.items()))
        return self.back_up_lines(agent, [b"%b\0%b\n" % entry for entry in entries], is_whole=is_whole)

    def back_up_lines(self, agent: str, lines: list[bytes], *, is_whole: bool = False) -> str:
        """As `back_up`, from the lines of a listing."""
        snapshot, archive = self.add_snapshot(agent)
        base, before = self.heads.get(agent, ("", []))
        if is_whole:
            base = ""
        ending = self.index(agent, snapshot, archive, listings.difference(before, lines) if base else lines, base)
        assert ending.code == "", ending
        self.heads[agent] = (archive, lines)
        return snapshot

    def remove(self, agent: str, snapshots: Iterable[str]) -> None:
        """Remove snapshots as the appliance does: first their rows, then what the catalogue knows of them."""
        gone = sorted(snapshots)
        for snapshot in gone:
            self._write("DELETE FROM snapshots WHERE id = ?", snapshot)
        rebuilding.forget(self.database, self.settings, self.tenant, agent, gone)

    def copy_host(self, agent: str, name: str) -> str:
        """Add a host with a copy of another one's catalogue, for searches, and return its id."""
        copy = self.add_host(name)
        snapshot, archive = self.add_snapshot(copy)
        paths = [files.catalogue(self.settings, self.tenant, one) for one in (agent, copy)]
        shutil.copyfile(*paths)
        self._keep(copy, snapshot, "", indexing.Ending(entries_count=1))
        self.heads[copy] = (archive, [])
        return copy

    def index(self, agent: str, snapshot: str, archive: str, lines: Iterable[bytes], base: str = "") -> indexing.Ending:
        """Bring lines in as they are."""
        order = self.order(agent, snapshot, archive, zlib.compress(b"".join(lines), 1), base)
        ending = indexing.perform(order)
        self._keep(agent, snapshot, base, ending)
        return ending

    def _keep(self, agent: str, snapshot: str, base: str, ending: indexing.Ending) -> None:
        state = ListingState.FAILED if ending.code else ListingState.INDEXED
        tenant = self.database.read.execute("SELECT tenant_id FROM agents WHERE id = ?", (agent,)).fetchone()[0]
        values = {"snapshot_id": snapshot, "tenant_id": tenant, "agent_id": agent, "state": "waiting", "base": base}
        self.database.write(lambda connection: table_listings.insert(connection, {**values, "message": ""}))
        self.database.write(
            lambda connection: table_listings.set_ended(
                connection, snapshot, state, entries_count=ending.entries_count, message=ending.message
            )
        )

    def order(self, agent: str, snapshot: str, archive: str, stream: bytes, base: str = "") -> indexing.Order:
        """Lay a stream where the appliance keeps what came in, in parts, and return the order to bring it in."""
        tenant = self.database.read.execute("SELECT tenant_id FROM agents WHERE id = ?", (agent,)).fetchone()[0]
        folder = files.incoming(self.settings, tenant, agent) / snapshot
        folder.mkdir(parents=True, exist_ok=True)
        size = max(1, len(stream) // 3)
        for number, begin in enumerate(range(0, len(stream), size)):
            (folder / files.part_name(number)).write_bytes(stream[begin : begin + size])
        return indexing.Order(
            catalogue=str(files.catalogue(self.settings, tenant, agent)),
            parts=str(folder),
            snapshot_id=snapshot,
            archive=archive,
            at=(BEGIN + timedelta(hours=self.count)).isoformat(),
            base=base,
        )

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def _write(self, statement: str, *values: object) -> None:
        self.database.write(lambda connection: connection.execute(statement, values))
