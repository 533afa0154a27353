"""The parts of /monitoring: backups as bars, the appliance as lines, the hosts as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos.identity.principals import Permission
from saveos.measurements.model import Bar, HostStorage, Name
from saveos.ui import components
from saveos.ui.charts import Line
from saveos.ui.figures import Chart
from saveos.ui.grid import Cell, Column, Grid, Row
from saveos.ui.pager import Pager

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

NOTHING = "\N{EN DASH}"
PAGE_SIZE = 25
TEN = 10
_SORTS: dict[str, Callable[[HostStorage], Any]] = {
    "host": lambda host: host.hostname.casefold(),
    "stored": lambda host: host.stored_bytes if host.stored_bytes is not None else -1,
    "ratio": lambda host: host.ratio or 0.0,
    "success": lambda host: host.success_share if host.success_share is not None else 2.0,
    "added": lambda host: host.added_in_range_bytes,
}


def appliance(visit: Visit) -> dict[Chart, tuple[Name, ...]]:
    """Draw the charts of the appliance; return which series each of them shows."""
    say = visit.say
    plans: list[tuple[str, str, tuple[Line, ...], float | None]] = [
        (
            say("monitoring.throughput"),
            "rate",
            (
                Line(id=Name.READ_BYTES_PER_SECOND, label=say("monitoring.read"), style="area"),
                Line(id=Name.STORED_BYTES_PER_SECOND, label=say("monitoring.stored"), colour="--warn"),
            ),
            None,
        ),
        (
            say("monitoring.queue"),
            "count",
            (
                Line(id=Name.JOBS_RUNNING, label=say("monitoring.running"), style="area"),
                Line(id=Name.JOBS_QUEUED, label=say("monitoring.queued"), colour="--warn"),
            ),
            None,
        ),
        (say("monitoring.heartbeats"), "count", (_only(Name.HEARTBEATS_PER_MINUTE),), None),
        (say("monitoring.connections"), "count", (_only(Name.TUNNEL_SESSIONS),), None),
        (say("monitoring.cpu"), "share", (_only(Name.CPU_SHARE),), 1.0),
        (say("monitoring.memory"), "size", (_only(Name.MEMORY_BYTES),), None),
    ]
    return {
        Chart(visit, title, lines, unit, most=most): tuple(Name(line.id) for line in lines)
        for title, unit, lines, most in plans
    }


def _only(name: Name) -> Line:
    return Line(id=name, label="", style="area")


class Backups:
    """How many ended and how, and what they added."""

    def __init__(self, visit: Visit) -> None:
        """Draw both charts empty."""
        say = visit.say
        self._visit = visit
        with components.element("section", "part"):
            components.text("h2", say("monitoring.backups"))
            self._text = components.text("p", "", "muted num")
            with components.element("div", "charts"):
                self._ended = Chart(
                    visit,
                    say("monitoring.outcomes"),
                    [
                        Line(id="done", label=say("monitoring.good")),
                        Line(id="warned", label=say("monitoring.warned"), colour="--warn", style="hatched"),
                        Line(id="failed", label=say("monitoring.failed"), colour="--bad", style="crossed"),
                    ],
                    "count",
                    is_bars=True,
                )
                self._added = Chart(visit, say("monitoring.added"), [Line(id="added", label="")], "size", is_bars=True)

    def show(self, bars: Sequence[Bar], bar_seconds: float) -> None:
        """Show these."""
        words = self._visit.words
        starts = [bar.start for bar in bars]
        ended = {name: [getattr(bar, name) for bar in bars] for name in ("done", "warned", "failed")}
        self._ended.show_bars(starts, ended, bar_seconds, [_success(words, [bar]) for bar in bars])
        self._ended.tell({name: words.number(sum(counts)) for name, counts in ended.items()})
        added = sum(bar.added_bytes for bar in bars)
        original = sum(bar.original_bytes for bar in bars)
        self._added.show_bars(starts, {"added": [bar.added_bytes for bar in bars]}, bar_seconds, [])
        self._added.tell({"added": words.size(added)})
        total = sum(map(sum, ended.values()))
        ratio = _number(words, original / added) if added else ""
        self._text.show(
            words.listing(
                [
                    words.count("monitoring.ended", total),
                    _success(words, bars),
                    words.say("monitoring.total_added", size=words.size(added), ratio=ratio) if added else "",
                ]
            )
        )


class Hosts:
    """What each host keeps here, page by page."""

    def __init__(self, visit: Visit) -> None:
        """Draw the empty table."""
        say = visit.say
        self._visit = visit
        self._hosts: Sequence[HostStorage] = ()
        self._sort, self._is_descending = "added", True
        columns = [
            Column("host", say("overview.host"), "", "host"),
            Column("stored", say("monitoring.stored_column"), "num", "stored"),
            Column("ratio", say("monitoring.ratio_column"), "num", "ratio"),
            Column("success", say("monitoring.success_column"), "num", "success"),
            Column("added", say("monitoring.added_column"), "num", "added"),
        ]
        with components.element("section", "part"):
            components.text("h2", say("monitoring.hosts"))
            self._none = components.element("div", "hidden")
            with self._none:
                components.text("p", say("monitoring.no_hosts"), "muted")
                if visit.principal.may(Permission.PROVISION):
                    components.link(say("overview.add_first"), "/downloads", "button primary")
            self._grid = Grid(say("monitoring.hosts"), columns, kind="storage", on_sort=self._sort_by)
            self._pager = Pager(visit, self._show_again, size=PAGE_SIZE)

    def show(self, hosts: Sequence[HostStorage]) -> None:
        """Show these, the part of them that the pager stands at."""
        self._hosts = hosts
        components.dress(self._none, "hidden" if hosts else "storage-none")
        self._pager.show(len(hosts))
        ordered = sorted(hosts, key=lambda host: host.hostname.casefold())
        ordered.sort(key=_SORTS[self._sort], reverse=self._is_descending)
        start = self._pager.offset
        rows = [_row(self._visit.words, host) for host in ordered[start : start + PAGE_SIZE]]
        self._grid.show(rows, sort=self._sort, is_descending=self._is_descending)

    async def _show_again(self) -> None:
        self.show(self._hosts)

    async def _sort_by(self, key: str) -> None:
        self._is_descending = not self._is_descending if key == self._sort else key not in ("host", "success")
        self._sort, self._pager.offset = key, 0
        self.show(self._hosts)


def _sub(words: Words, host: HostStorage) -> str:
    """Say how much may be stored, and what checkpoints hold beside it."""
    limit = words.say("quota.of", limit=words.size(host.quota_bytes)) if host.quota_bytes else ""
    held = words.say("protection.beside", size=words.size(host.quarantine_bytes)) if host.quarantine_bytes else ""
    return words.listing([limit, held])


def _row(words: Words, host: HostStorage) -> Row:
    share, ended = host.success_share, host.ended_in_range
    is_bad = share is not None and host.good_in_range < ended
    good_of = words.say("monitoring.good_of", good=words.number(host.good_in_range), all=words.number(ended))
    return Row(
        id=host.agent_id,
        cells={
            "host": Cell(text=host.hostname, href=f"/agents/{host.agent_id}"),
            "stored": Cell(
                text=words.size(host.stored_bytes) if host.stored_bytes is not None else NOTHING,
                sub=_sub(words, host),
                sub_mood="bad" if host.quota_bytes and (host.stored_bytes or 0) >= host.quota_bytes else "",
            ),
            "ratio": Cell(
                text=words.say("monitoring.ratio", ratio=_number(words, host.ratio)) if host.ratio else NOTHING
            ),
            "success": Cell(
                text=words.percent(share) if share is not None else NOTHING,
                mood="warn" if is_bad else "",
                title=good_of if ended else "",
                sub=good_of if is_bad else "",
            ),
            "added": Cell(text=words.size(host.added_in_range_bytes) if host.added_in_range_bytes else NOTHING),
        },
    )


def _success(words: Words, bars: Sequence[Bar]) -> str:
    good = sum(bar.done + bar.warned for bar in bars)
    ended = good + sum(bar.failed for bar in bars)
    return words.say("monitoring.success", share=words.percent(good / ended)) if ended else ""


def _number(words: Words, ratio: float) -> str:
    return words.number(ratio, 1 if ratio < TEN else 0)
