"""A small fleet that speaks the protocol by hand: hosts in every state that the dashboard tells apart."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from saveos.clock import to_text
from tests.support.host import WireHost

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.appliance import Appliance

DEBIAN = "Debian GNU/Linux 12 (bookworm)"


class Fleet:
    """Hosts by name."""

    def __init__(self, appliance: Appliance, folder: Path) -> None:
        self.appliance = appliance
        self.folder = folder
        self.hosts: dict[str, WireHost] = {}
        self.systems: dict[str, str] = {}

    def add(self, name: str, system: str = DEBIAN) -> WireHost:
        """Enrol a host and let it be heard once."""
        host = WireHost.enrolled(self.appliance, self.folder / name, name)
        host.make_ready()
        self.hosts[name], self.systems[name] = host, system
        self.beat(name)
        return host

    def beat(self, name: str, **said: Any) -> dict[str, Any]:
        """Send a heartbeat; the answer may hold the next job, which is then this host's."""
        system = self.systems.get(name, DEBIAN)
        return self.hosts[name].heartbeat(system=system, agent_version="0.1.0", time_zone="Europe/Paris", **said)

    def claim(self, name: str) -> str:
        """Ask for a backup unless one waits, take it, and return the job's id."""
        host = self.hosts[name]
        job_id = self.appliance.call("POST", "/api/v1/backup", {"agent_id": host.id}).expect(202)["id"]
        if self.appliance.job(job_id)["state"] == "queued":
            assert job_id == self.beat(name)["assignment"]["job_id"]
        return str(job_id)

    def progress(self, name: str, job_id: str, files: int, size: int, total: tuple[int, int] = (0, 0)) -> bool:
        """Say how far a job is; return whether it is to stop."""
        body = {
            "files_count": files,
            "original_bytes": size,
            "total_files_count": total[0],
            "total_bytes": total[1],
            "log": [{"line": f"{files} files read"}],
        }
        answer = self.hosts[name].call("POST", f"/api/v1/jobs/{job_id}/progress", body).expect(200)
        return bool(answer["cancel"])

    def done(self, name: str, job_id: str, files: int, size: int, added: int, **more: Any) -> None:
        """End a backup well. `more`: of its archive."""
        archive = {
            "files_count": files,
            "original_bytes": size,
            "compressed_bytes": size // 2,
            "added_bytes": added,
            "duration_seconds": 20 + size / 4e8,
            "sources": ["/etc", "/home", "/root", "/srv", "/var"],
            **more,
        }
        assignment = {"job_id": job_id, "backup": self.appliance.job(job_id)["order"]["backup"]}
        self.hosts[name].report_made(assignment, **archive).expect(204)

    def report(self, name: str, job_id: str, **said: Any) -> None:
        """End a job."""
        self.hosts[name].call("POST", f"/api/v1/jobs/{job_id}/report", said).expect(204)

    def fail(self, name: str, message: str) -> None:
        """Let a backup fail for good."""
        said = {"outcome": "failed", "error_code": "no-sources", "message": message}
        self.report(name, self.claim(name), **said)

    def protect(self, name: str, files: int, size: int, *, snapshots: int = 1, system: str = DEBIAN) -> None:
        """Enrol a host and give it snapshots: the first brought everything, the others little."""
        if name not in self.hosts:
            self.add(name, system)
        for number in range(snapshots):
            added = size // 2 if number == 0 else size // 180 + number * 1_300_000
            self.done(name, self.claim(name), files + 31 * number, size + number * 7_000_000, added)

    def age(self, name: str, *, hours: float, seen_hours: float = 0) -> None:
        """Move a host's past back in time: snapshots a day apart, the newest `hours` old."""
        agent_id, now = self.hosts[name].id, datetime.now(UTC)
        with sqlite3.connect(self.appliance.data / "saveos.db", timeout=10) as connection:
            rows = connection.execute(
                "SELECT id, job_id, duration_seconds FROM snapshots WHERE agent_id = ? ORDER BY id DESC", (agent_id,)
            ).fetchall()
            for number, (snapshot_id, job_id, duration) in enumerate(rows):
                start = now - timedelta(hours=hours + 24 * number)
                ended = start + timedelta(seconds=duration)
                connection.execute(
                    "UPDATE snapshots SET started_at = ?, ended_at = ? WHERE id = ?",
                    (to_text(start), to_text(ended), snapshot_id),
                )
                connection.execute(
                    "UPDATE jobs SET requested_at = ?, started_at = ?, ended_at = ? WHERE id = ?",
                    (to_text(start - timedelta(seconds=1)), to_text(start), to_text(ended), job_id),
                )
            connection.execute(
                "UPDATE agents SET seen_at = ?, enrolled_at = ?, due_at = ? WHERE id = ?",
                (
                    to_text(now - timedelta(hours=seen_hours)),
                    to_text(now - timedelta(days=30)),
                    to_text(now - timedelta(hours=hours - 24)) if hours > 24 else None,
                    agent_id,
                ),
            )
        connection.close()
