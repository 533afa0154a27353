"""/monitoring: how storage, backups and the appliance have been doing, over a range of time, up to this moment."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos import clock
from saveos.measurements import outlook, reading
from saveos.measurements.model import GRAINS, OPEN, SAMPLE_SECONDS, Bar, HostStorage, Name, Range, Series
from saveos.measurements.outlook import Outlook
from saveos.repositories import quotas
from saveos.repositories.quota_model import TenantUse
from saveos.ui import components, frame
from saveos.ui.charts import Plot
from saveos.ui.pages import monitoring_parts as parts
from saveos.ui.quota import UseBar
from saveos.ui.storage_chart import StorageChart, disk_words, forecast_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.figures import Chart
    from saveos.ui.frame import Board, Visit

RANGES = {
    Range.HOUR: "monitoring.range_hour",
    Range.DAY: "monitoring.range_day",
    Range.WEEK: "monitoring.range_week",
    Range.MONTH: "monitoring.range_month",
    Range.YEAR: "monitoring.range_year",
}
LIVE = frozenset({Range.HOUR, Range.DAY})  # where a new sample is a new point
NEWS_SECONDS = 2.0
STALE_SECONDS = 60.0
RECENT = timedelta(seconds=3 * SAMPLE_SECONDS)
FRESH_SECONDS = 30.0


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What is summed up from jobs and snapshots; pages of one tenant share it for a while."""

    bars: list[Bar]
    hosts: list[HostStorage]
    outlook: Outlook
    tenant: TenantUse


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment."""

    sums: Sums
    series: dict[Name, Series]
    newest: dict[Name, Series]  # the last samples: how things stand, where the series may be means of hours


class Shared:
    """The sums that pages asked for lately."""

    def __init__(self) -> None:
        """Nothing has been read yet."""
        self._known: dict[tuple[str, Range, str], tuple[float, Sums]] = {}

    def sums(self, database: Database, principal: Principal, visit: Visit, span: Range) -> Sums:
        """Return the tenant's sums over a range as of a moment ago."""
        key = (principal.tenant_id, span, visit.words.zone_name)
        now = time.monotonic()
        self._known = {known: entry for known, entry in self._known.items() if now - entry[0] < FRESH_SECONDS}
        if key not in self._known:
            sums = Sums(
                bars=reading.bars(database, principal, span, visit.words.zone),
                hosts=reading.hosts(database, principal, span),
                outlook=outlook.storage_outlook(database, principal, visit.parts.settings, span),
                tenant=quotas.of_tenant(database, principal).tenant,
            )
            self._known[key] = (now, sums)
        return self._known[key][1]


def register(board: Board) -> None:
    """Make the page known."""
    shared = Shared()

    @ui.page("/monitoring")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, lambda visit: MonitoringPage(visit, shared))


class MonitoringPage(frame.Page):
    """The page of one reader. The range stands in the address."""

    title, section = "monitoring.title", "monitoring"

    def __init__(self, visit: Visit, shared: Shared) -> None:
        """Look at what the address says, else at the last day."""
        super().__init__(visit)
        self._shared = shared
        asked = visit.client.request.query_params.get("range", "")
        self._span = Range(asked) if asked in list(Range) else Range.DAY
        self._allowed: frozenset[Name] = OPEN
        self._zone = visit.words.zone_name  # the first visit learns the browser's a moment later

    async def prepare(self) -> None:
        """Learn what may be shown."""
        self._allowed = await self.visit.ask(reading.may_see)

    def draw(self) -> None:
        """Draw every chart without its data."""
        say = self.visit.say
        self._stale_at = self._news_at = 0.0
        with components.element("div", "lead"):
            components.text("h1", say("monitoring.title"))
            with components.element("fieldset", "switch ranges"):
                components.text("legend", say("monitoring.range"), "hidden-label")
                with components.element("div", "switch-row"):
                    labels = {span.value: say(key) for span, key in RANGES.items()}
                    components.radios("range", labels, self._span.value, self.visit.doing(self._choose))
        with components.element("section", "part first"):
            components.text("h2", say("monitoring.storage"))
            self._disk = components.text("p", "", "strong num")
            self._forecast = components.text("p", "", "muted", aria_live="polite")
            self._storage = StorageChart(self.visit)
            components.text("h3", say("quota.all"))
            self._use = UseBar(self.visit, say("quota.all"))
        self._backups = parts.Backups(self.visit)
        self._charts: dict[Chart, tuple[Name, ...]] = {}
        with components.element("section", "part"):
            components.text("h2", say("monitoring.appliance"))
            if self._allowed >= frozenset(Name):
                with components.element("div", "charts"):
                    self._charts = parts.appliance(self.visit)
            else:
                components.text("p", say("monitoring.only_own"), "muted")
        self._hosts = parts.Hosts(self.visit)

    async def refresh(self) -> None:
        """Add what was measured since; look at everything anew once in a while.

        It asks every other second even where there can be no news: that is how a page hears that its reader has left.
        """
        now, zone = time.monotonic(), self.visit.words.zone_name
        if now >= self._stale_at or zone != self._zone:
            self._stale_at, self._zone = now + STALE_SECONDS, zone
            self._show(await self.visit.ask(self._look))
        elif now >= self._news_at:
            self._news_at = now + NEWS_SECONDS
            news = await self.visit.ask(reading.news, self._names, self._seen + timedelta(seconds=SAMPLE_SECONDS))
            if any(series.last is not None for series in news.values()):
                self._push(news)

    @property
    def _names(self) -> list[Name]:
        return [name for names in self._charts.values() for name in names]

    def _look(self, database: Database, principal: Principal) -> Look:
        return Look(
            sums=self._shared.sums(database, principal, self.visit, self._span),
            series=reading.series(database, principal, self._names, self._span),
            newest=reading.news(database, principal, self._names, clock.now() - RECENT),
        )

    def _show(self, look: Look) -> None:
        words, sums = self.visit.words, look.sums
        grain, now = GRAINS[self._span], clock.now()
        held = sum(host.quarantine_bytes for host in sums.hosts)
        held_words = words.say("protection.of_it", size=words.size(held)) if held else ""
        self._disk.show(words.listing([disk_words(words, sums.outlook), held_words]))
        self._forecast.show(forecast_words(words, sums.outlook))
        self._storage.show(sums.outlook)
        self._use.show(sums.tenant)
        self._backups.show(sums.bars, grain.bar.total_seconds())
        self._hosts.show(sums.hosts)
        for chart, names in self._charts.items():
            plots = {name.value: Plot.of(look.series[name]) for name in names}
            chart.show_lines(plots, now, grain.span.total_seconds())
            chart.tell({name.value: chart.figure(look.newest[name].last) for name in names})
        self._seen = now - RECENT
        self._note(look.newest)

    def _push(self, news: Mapping[Name, Series]) -> None:
        for chart, names in self._charts.items():
            if self._span in LIVE:
                chart.push({name.value: Plot.of(news[name]) for name in names}, clock.now())
            chart.tell({name.value: chart.figure(news[name].last) for name in names})
        self._note(news)

    def _note(self, news: Mapping[Name, Series]) -> None:
        """Remember which sample is the last one shown."""
        self._seen = max([self._seen, *(series.last_at for series in news.values() if series.last_at is not None)])

    async def _choose(self, chosen: str) -> None:
        if chosen in list(Range):
            self._span = Range(chosen)
            self._stale_at = 0.0
            self.visit.stand_at("/monitoring", range=chosen)
            await self.refresh()
