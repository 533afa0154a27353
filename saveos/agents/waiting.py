"""Who waits for work: long polls held open until a job for that host can be claimed, or a person asks it something.

Any process may queue a job (the command line does), so the file itself is watched: `PRAGMA data_version` changes
with each commit of another connection and costs microseconds to read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saveos.agents import questions, table
from saveos.jobs import table as jobs

if TYPE_CHECKING:
    from saveos.database.connection import Database

WATCH_SECONDS = 0.1
DUE_SECONDS = 1.0  # how often jobs become due by time alone


class Waiting:
    """The open long polls of this process."""

    def __init__(self, database: Database) -> None:
        """Watch the database once `watch` runs."""
        self._database = database
        self._events: dict[str, set[asyncio.Event]] = {}
        self._told: set[str] = set()  # agents that know that their listings are wanted
        self._is_closing = False

    async def watch(self) -> None:
        """Wake the hosts for which there is work or a question, until cancelled."""
        connection = self._database.read
        seen, since = -1, 0.0
        while True:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
            since += WATCH_SECONDS
            if self._events and (version != seen or since >= DUE_SECONDS):
                since = 0.0
                wanted = jobs.agents_with_work(connection) | questions.waiting_agents(connection)
                listing = table.wanting_listings(connection)
                wanted |= listing - self._told
                self._told &= listing
                for agent_id in wanted & self._events.keys():
                    for event in self._events[agent_id]:
                        event.set()
            seen = version
            await asyncio.sleep(WATCH_SECONDS)

    async def wait(self, agent_id: str, seconds: float, gone: asyncio.Future[None], *, is_told: bool = False) -> bool:
        """Return True when there may be work for the agent, False when the time is over or we are closing.

        `is_told`: that its listings are wanted; it is not woken for these again.

        False too once the host has `gone`: what a dead connection takes, the next one would not hear of.
        """
        if self._is_closing or seconds <= 0:
            return False
        (self._told.add if is_told else self._told.discard)(agent_id)
        event = asyncio.Event()
        self._events.setdefault(agent_id, set()).add(event)
        woken = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((woken, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            self._events[agent_id].discard(event)
            if not self._events[agent_id]:
                del self._events[agent_id]
        return event.is_set() and not gone.done() and not self._is_closing

    def close(self) -> None:
        """Answer every open poll now: the appliance is stopping."""
        self._is_closing = True
        for events in self._events.values():
            for event in events:
                event.set()

    @property
    def count(self) -> int:
        """How many long polls are open."""
        return sum(len(events) for events in self._events.values())
