"""Find paths by part of their name, on one host or on all that a person may see, within a time."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission, Principal
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import catalogue_pool as pool
from saveos.snapshots import table_listings
from saveos.snapshots.catalogue import known_snapshot
from saveos.snapshots.catalogue_look import Host, Look
from saveos.snapshots.catalogue_model import (
    Hit,
    SearchPage,
    SearchQuery,
)
from saveos.snapshots.catalogue_pattern import Pattern
from saveos.snapshots.table_catalogue import OPEN

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import AgentId

HITS_LIMIT = 1000
WIDTH = 4  # hosts looked into at once
WINDOW = 16  # hosts that wait for that; those behind a page's end are given up
SECONDS = 5.0  # then what was found is shown


def search(
    database: Database,
    settings: Settings,
    principal: Principal,
    query: SearchQuery,
    *,
    limit: int = 100,
    after: str = "",
    seconds: float = SECONDS,
) -> SearchPage:
    """Return part of what a query finds, host by host; ends after so many seconds with what it has.

    Raises InvalidRequest (a text that no name holds, an `after` of somebody's making), NotFound (no such snapshot).
    """
    principal.require(Permission.READ)
    began, limit = time.monotonic(), min(max(limit, 1), HITS_LIMIT)
    deadline = began + seconds
    pattern = Pattern(query.text)
    hosts, skipped = _hosts(database, settings, principal, query)
    page = _Page(hosts, limit, *_after(after, hosts))
    # Threads of its own, made as they are needed: nobody's search waits behind another one, of another tenant perhaps.
    with ThreadPoolExecutor(WIDTH, thread_name_prefix="search") as threads:
        while page.is_going_on(deadline):
            looks = [Look(query, pattern, host, deadline) for host in page.next_hosts()]
            paths = [files.to_read(settings, principal.tenant_id, look.host.id) for look in looks]
            with contextlib.closing(_side_by_side(threads, looks, paths, page.room, page.begin_node)) as found:
                page.take(found)
    is_out_of_time = page.next_after is not None and page.room > 0
    return SearchPage(
        hits=tuple(page.hits),
        next_after=page.next_after,
        searched_hosts=page.searched,
        waiting_hosts=sum(files.is_being_opened(settings, principal.tenant_id, agent_id) for agent_id in skipped),
        skipped_hosts=len(skipped) + page.unreadable + (len(hosts) - page.at if is_out_of_time else 0),
        is_cut=page.next_after is not None,
        took_seconds=round(time.monotonic() - began, 4),
    )


class _Page:
    """Hits, gathered host by host in their order."""

    def __init__(self, hosts: list[Host], limit: int, at: int, begin_node: int) -> None:
        self._hosts, self._limit, self.at, self.begin_node = hosts, limit, at, begin_node
        self._width = 1  # the first host may have all that is asked for
        self.hits: list[Hit] = []
        self.next_after: str | None = None
        self.searched = self.unreadable = 0

    @property
    def room(self) -> int:
        """How many hits more the page takes."""
        return self._limit - len(self.hits)

    def is_going_on(self, deadline: float) -> bool:
        """Return whether there are hosts, room and time left; note where the next page begins if only hosts are."""
        if self.next_after is not None or self.at >= len(self._hosts):
            return False
        if not self.room or time.monotonic() >= deadline:
            self.next_after = f"{self._hosts[self.at].id}.0"
            return False
        return True

    def next_hosts(self) -> list[Host]:
        """Return the hosts to look into at once."""
        chosen = self._hosts[self.at : self.at + self._width]
        self._width = min(self._width * WIDTH, WINDOW)
        return chosen

    def take(self, found: Iterable[tuple[Look, int | None, bool]]) -> None:
        """Take what was found, up to the page's end; the rest was found in vain."""
        self.begin_node = 0
        for look, node, is_readable in found:
            room = self.room
            if not room:
                return
            self.at += 1
            self.searched += is_readable
            self.unreadable += not is_readable
            self.hits += look.hits[:room]
            last = look.nodes[room - 1] if len(look.hits) > room else node
            if last is not None:
                self.next_after = f"{look.host.id}.{last}"
                return


def _side_by_side(
    threads: ThreadPoolExecutor, looks: list[Look], paths: list[Path], limit: int, after: int
) -> Generator[tuple[Look, int | None, bool], None, None]:
    """Look into some hosts at once and give each, in their order, with where it goes on and whether it was readable.

    Closed before its end, it gives up the rest.
    """

    def look_into(look: Look, path: Path) -> tuple[Look, int | None, bool]:
        with pool.reading(path) as reader:
            return look, look.into(reader, limit, after) if reader else None, reader is not None

    if len(looks) == 1:
        yield look_into(looks[0], paths[0])
        return
    asked = [threads.submit(look_into, look, path) for look, path in zip(looks, paths, strict=True)]
    try:
        for one in asked:
            yield one.result()
    finally:
        for look, one in zip(looks, asked, strict=True):
            look.give_up()
            one.cancel()
        wait(asked)


def hosts_of(database: Database, principal: Principal, query: SearchQuery) -> list[tuple[AgentId, str, bool]]:
    """Return (agent id, hostname, whether it is indexed) of the hosts that a query looks at. Raises NotFound."""
    principal.require(Permission.READ)
    wanted = set(query.agent_ids)
    if query.at_snapshot_id:
        wanted = {known_snapshot(database, principal, query.at_snapshot_id).agent_id}
    found = table_listings.hosts(database.read, principal.tenant_id)
    return [host for host in found if not wanted or host[0] in wanted]


def _hosts(
    database: Database, settings: Settings, principal: Principal, query: SearchQuery
) -> tuple[list[Host], list[AgentId]]:
    """Return the hosts to search, and those that cannot be."""
    hosts, skipped = [], []
    for agent_id, hostname, is_indexed in hosts_of(database, principal, query):
        if is_indexed or files.to_read(settings, principal.tenant_id, agent_id).exists():
            hosts.append(Host(agent_id, hostname))
        else:
            skipped.append(agent_id)
    return hosts, skipped


def _after(after: str, hosts: list[Host]) -> tuple[int, int]:
    """Return at which host a page begins, and after which node of it."""
    if not after:
        return 0, 0
    agent_id, _, node = after.partition(".")
    at = next((number for number, host in enumerate(hosts) if host.id == agent_id), None)
    if at is None or not (node.isascii() and node.isdigit()) or int(node) > OPEN:
        raise InvalidRequest("This is not where a page ended.", field="after")
    return at, int(node)
