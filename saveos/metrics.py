"""Prometheus: numbers read from the tables at scrape time; nothing is counted twice, nothing is lost at a restart."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily

from saveos import __version__
from saveos.agents import table as agents
from saveos.jobs import table as jobs
from saveos.repositories import table as repositories

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agents.waiting import Waiting
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import TenantId

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FLEET = {
    "saveos_agents": ("agents_count", "Agents that are not revoked."),
    "saveos_agents_online": ("online_count", "Agents heard of lately."),
    "saveos_agents_protected": ("protected_count", "Agents with at least one snapshot."),
    "saveos_snapshots": ("snapshots_count", "Snapshots kept."),
    "saveos_snapshots_original_bytes": ("original_bytes", "Size of the newest snapshot of each agent."),
    "saveos_snapshots_added_bytes": ("added_bytes", "What all snapshots added to the repositories."),
    "saveos_jobs_failed_day": ("jobs_failed_day_count", "Jobs that failed in the last 24 hours."),
}


class Collector:
    """What a tenant may see, and the state of the process."""

    def __init__(
        self, settings: Settings, database: Database, waiting: Waiting, sessions_count: int, tenant_id: TenantId
    ) -> None:
        """Keep where to read."""
        self._settings, self._database, self._waiting = settings, database, waiting
        self._sessions_count, self._tenant_id = sessions_count, tenant_id

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield each family; called once a scrape."""
        connection = self._database.read
        statistics = agents.statistics(connection, self._tenant_id)
        for name, (field, text) in _FLEET.items():
            yield GaugeMetricFamily(name, text, value=getattr(statistics, field))
        by_state = GaugeMetricFamily("saveos_jobs", "Jobs by kind and state.", labels=["kind", "state"])
        for row in jobs.counts(connection):
            if row["tenant_id"] == self._tenant_id:
                by_state.add_metric([row["kind"], row["state"]], row["count"])
        yield by_state
        stored = GaugeMetricFamily("saveos_repository_stored_bytes", "Size on disk by agent.", labels=["agent"])
        for repository in repositories.everything(connection):
            if repository.tenant_id == self._tenant_id:
                path = repositories.repository_path(self._settings, repository.tenant_id, repository.agent_id)
                stored.add_metric([repository.agent_id], repositories.stored_bytes(path))
        yield stored
        disk = shutil.disk_usage(self._settings.folder)
        yield GaugeMetricFamily("saveos_disk_free_bytes", "Free space where the data is.", value=disk.free)
        yield GaugeMetricFamily("saveos_disk_total_bytes", "Size of the disk where the data is.", value=disk.total)
        yield GaugeMetricFamily("saveos_agents_waiting", "Agents that wait for work.", value=self._waiting.count)
        yield GaugeMetricFamily("saveos_tunnel_sessions", "Open sessions of Borg.", value=self._sessions_count)
        build = GaugeMetricFamily("saveos_build_info", "The running version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


def render(settings: Settings, database: Database, waiting: Waiting, sessions_count: int, tenant_id: TenantId) -> bytes:
    """Return the page that Prometheus reads."""
    registry = CollectorRegistry()
    collector: Any = Collector(settings, database, waiting, sessions_count, tenant_id)
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)
