"""Responses of readings that have begun: where there is none, the reading is closed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from saveos.api import reading as api
from saveos.protocol import Chosen, ReadHead, ReadOrder
from saveos.snapshots.reading import Host, Means, Reading

ORDER = ReadOrder(archive="a", chosen=(Chosen(path="p"),))
NOWHERE = datetime(2020, 1, 1)  # noqa: DTZ001 - the very thing


class Source:
    """A source that says nothing."""

    is_aborted = False

    async def read(self, _limit: int) -> bytes:
        """Return the end."""
        return b""

    async def finish(self) -> int:
        """Have read all."""
        return 0

    async def abort(self) -> None:
        """Note it."""
        self.is_aborted = True


def begun(source: Source, head: ReadHead) -> Reading:
    reading = Reading(cast("Means", None), cast("Host", None), ORDER, source)
    reading.head = head
    return reading


def sent(reading: Reading) -> Any:
    return asyncio.run(api.sent(reading, api.Asked(order=ORDER, tag='"tag"', is_range=False)))


def test_reading_without_a_response_is_closed() -> None:
    source = Source()

    with pytest.raises(ValueError, match="usegmt"):
        sent(begun(source, ReadHead(modified_at=NOWHERE)))

    assert source.is_aborted


def test_reading_with_a_response_stays_open() -> None:
    source = Source()

    response = sent(begun(source, ReadHead(modified_at=NOWHERE.replace(tzinfo=UTC))))

    assert "Wed, 01 Jan 2020 00:00:00 GMT" == response.headers["last-modified"]
    assert not source.is_aborted
