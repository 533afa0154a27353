"""Prometheus: numbers read from the tables at scrape time; nothing is counted twice, nothing is lost at a restart."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from saveos import __version__, clock
from saveos.agents import table as agents
from saveos.agents.model import AgentState
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.jobs import table as jobs
from saveos.measurements import outlook, reading
from saveos.measurements.model import Name
from saveos.offsite import orders as offsite_orders
from saveos.proofs import looking
from saveos.repositories import table as repositories
from saveos.tenants import facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.repositories.model import Repository

AGENTS_LIMIT = 100_000
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


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What only the process knows: long polls and tunnel sessions that are open, heartbeats since it began."""

    waiting: int
    sessions: int
    heartbeats: int


class Collector:
    """What somebody may see, and the state of the process."""

    def __init__(self, settings: Settings, database: Database, principal: Principal, counts: Counts) -> None:
        """Keep where to read."""
        self._settings, self._database = settings, database
        self._principal, self._tenant_id, self._counts = principal, principal.tenant_id, counts

    def collect(self) -> Iterator[Metric]:
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
        going = GaugeMetricFamily("saveos_alerts_open", "Alerts that go on, by kind.", labels=["kind"])
        kinds = list(alerts.open_kinds(connection, self._tenant_id).values())
        for kind in AlertKind:
            going.add_metric([kind.value], sum(kind in found for found in kinds))
        yield going
        yield from self._repositories()
        yield from self._proven()
        yield from self._copied()
        yield from self._foreseen()
        disk = shutil.disk_usage(self._settings.folder)
        yield GaugeMetricFamily("saveos_disk_free_bytes", "Free space where the data is.", value=disk.free)
        yield GaugeMetricFamily("saveos_disk_total_bytes", "Size of the disk where the data is.", value=disk.total)
        text = "1 while backups wait for room on the disk."
        is_full = facts.disk_full_at(self._database) is not None
        yield GaugeMetricFamily("saveos_disk_full", text, value=int(is_full))
        yield GaugeMetricFamily("saveos_agents_waiting", "Agents that wait for work.", value=self._counts.waiting)
        yield GaugeMetricFamily("saveos_tunnel_sessions", "Open sessions of Borg.", value=self._counts.sessions)
        build = GaugeMetricFamily("saveos_build_info", "The running version.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

    def _repositories(self) -> Iterator[Metric]:
        """Yield what each repository takes on disk, what its checkpoints hold beside that, and whether it is frozen."""
        stored = GaugeMetricFamily("saveos_repository_stored_bytes", "Size on disk by agent.", labels=["agent"])
        text = "What checkpoints hold on disk beside the repository, by agent."
        held = GaugeMetricFamily("saveos_repository_quarantine_bytes", text, labels=["agent"])
        text = "Whether the host changed its repository as no order told it to, by agent."
        frozen = GaugeMetricFamily("saveos_repository_frozen", text, labels=["agent"])
        for repository in repositories.everything(self._database.read):
            if repository.tenant_id == self._tenant_id:
                stored.add_metric([repository.agent_id], self._stored_bytes(repository))
                held.add_metric([repository.agent_id], repository.quarantine_bytes)
                frozen.add_metric([repository.agent_id], int(repository.frozen_at is not None))
        yield from (stored, held, frozen)

    def _proven(self) -> Iterator[Metric]:
        """Yield what shows of each agent that it can restore; moments in seconds since 1970."""
        backed_up = GaugeMetricFamily("saveos_backup_timestamp_seconds", "Last backup by agent.", labels=["agent"])
        proven = GaugeMetricFamily("saveos_proven_timestamp_seconds", "Last proven restore by agent.", labels=["agent"])
        for agent in agents.find(self._database.read, self._tenant_id, limit=AGENTS_LIMIT):
            if agent.state is AgentState.REVOKED:
                continue
            if agent.last_backup_at is not None:
                backed_up.add_metric([agent.id], agent.last_backup_at.timestamp())
            if agent.proven_at is not None:
                proven.add_metric([agent.id], agent.proven_at.timestamp())
        text = "When each repository was last read in full on the disk, by agent."
        checked = GaugeMetricFamily("saveos_checked_timestamp_seconds", text, labels=["agent"])
        for agent_id, check in looking.checks(self._database, self._principal).items():
            if check.checked_at is not None:
                checked.add_metric([agent_id], check.checked_at.timestamp())
        damaged = GaugeMetricFamily("saveos_damages", "Places of a repository that are damaged.", labels=["agent"])
        for agent_id, count in looking.damages(self._database, self._principal).items():
            damaged.add_metric([agent_id], count)
        yield from (backed_up, proven, checked, damaged)

    def _copied(self) -> Iterator[Metric]:
        """Yield how the offsite copies stand of the agents that have or should have one."""
        text = "For how long the oldest snapshot has been waiting to be copied, by agent; 0 when none does."
        lag = GaugeMetricFamily("saveos_offsite_lag_seconds", text, labels=["agent"])
        stored = GaugeMetricFamily("saveos_offsite_bytes", "Size of the offsite copy by agent.", labels=["agent"])
        text = "Objects of the offsite copy that are missing or altered, by agent."
        damaged = GaugeMetricFamily("saveos_offsite_damages", text, labels=["agent"])
        for agent_id, state in offsite_orders.of_tenant(self._database, self._principal).items():
            if state.is_asked or state.generation:
                lag.add_metric([agent_id], state.lag_seconds(clock.now()))
                stored.add_metric([agent_id], state.bytes)
                damaged.add_metric([agent_id], len(state.damages))
        yield from (lag, stored, damaged)

    def _foreseen(self) -> Iterator[Metric]:
        """Yield what is known of the future, and heartbeats, which tell of all tenants together."""
        full_at = outlook.storage_outlook(self._database, self._principal, self._settings).full_at
        if full_at is not None:
            text = "When the disk is full if it goes on growing as it did, in seconds since 1970."
            yield GaugeMetricFamily("saveos_disk_full_timestamp_seconds", text, value=full_at.timestamp())
        if Name.HEARTBEATS_PER_MINUTE in reading.may_see(self._database, self._principal):
            text = "Heartbeats since the process began."
            yield CounterMetricFamily("saveos_heartbeats", text, value=self._counts.heartbeats)

    def _stored_bytes(self, repository: Repository) -> int:
        """Return the kept size, an hour old at most; of a repository that nobody measured yet, the size now."""
        if repository.measured_at is not None:
            return repository.stored_bytes
        path = repositories.repository_path(self._settings, repository.tenant_id, repository.agent_id)
        return repositories.stored_bytes(path)


def render(settings: Settings, database: Database, principal: Principal, counts: Counts) -> bytes:
    """Return the page that Prometheus reads."""
    registry = CollectorRegistry()
    collector: Any = Collector(settings, database, principal, counts)
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return generate_latest(registry)
