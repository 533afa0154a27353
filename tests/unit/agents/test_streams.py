"""Where a host's stream and a person meet: who is silent, who is slow, who leaves."""

from __future__ import annotations

import asyncio

import pytest

from saveos.agents import streams
from saveos.agents.streams import LIMIT_PER_HOST, LIMIT_PER_TENANT, Hanged, Stream, Streams
from saveos.errors import TooMany
from saveos.protocol import FRAME_HEADER, AgentId, Frame, QuestionId, TenantId


def frame(kind: Frame, data: bytes = b"") -> bytes:
    return FRAME_HEADER.pack(kind, len(data)) + data


def begun() -> Stream:
    stream = Stream(TenantId("tnt_1"), AgentId("agt_1"))
    stream.begin()
    return stream


async def everything(stream: Stream) -> bytes:
    said = b""
    while part := await stream.read(streams.AHEAD_BYTES):
        said += part
    return said


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SILENCE_SECONDS", 0.2)


@pytest.mark.usefixtures("_soon")
def test_host_that_vanishes_is_cut_off() -> None:
    async def run() -> tuple[bytes, int]:
        stream = begun()
        await stream.feed(frame(Frame.DATA, b"half"))
        said = await asyncio.wait_for(everything(stream), 5)
        with pytest.raises(Hanged):
            await stream.feed(frame(Frame.PING))
        return said, await asyncio.wait_for(stream.finish(), 5)

    assert (b"half", 1) == asyncio.run(run())


@pytest.mark.usefixtures("_soon")
def test_host_that_vanishes_before_its_end_is_cut_off() -> None:
    async def run() -> int:
        return await asyncio.wait_for(begun().finish(), 5)

    assert 1 == asyncio.run(run())


@pytest.mark.usefixtures("_soon")
def test_host_that_pings_may_take_its_time() -> None:
    async def run() -> tuple[bytes, int]:
        stream = begun()
        reader = asyncio.ensure_future(everything(stream))
        for _ in range(8):
            await asyncio.sleep(0.1)
            await stream.feed(frame(Frame.PING))
        await stream.feed(frame(Frame.DATA, b"all") + frame(Frame.EXIT, b"\0"))
        stream.end()
        return await asyncio.wait_for(reader, 5), await stream.finish()

    assert (b"all", 0) == asyncio.run(run())


@pytest.mark.usefixtures("_soon")
def test_host_that_waits_for_a_slow_person_is_not_silent() -> None:
    data = bytes(streams.AHEAD_BYTES + 1)

    async def run() -> tuple[bytes, int]:
        stream = begun()
        feeder = asyncio.ensure_future(stream.feed(frame(Frame.DATA, data)))
        await asyncio.sleep(0.4)
        reader = asyncio.ensure_future(everything(stream))
        await asyncio.sleep(0.1)
        await feeder
        await stream.feed(frame(Frame.DATA, b"end") + frame(Frame.EXIT, b"\0"))
        stream.end()
        return await asyncio.wait_for(reader, 5), await stream.finish()

    assert (data + b"end", 0) == asyncio.run(run())


def test_word_that_comes_before_the_wait_begins_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL_SECONDS", 1.0)
    block = frame(Frame.DATA, bytes(200_000))

    async def host(stream: Stream) -> None:
        for _ in range(40):
            await stream.feed(block)
        await stream.feed(frame(Frame.EXIT, b"\0"))
        stream.end()

    async def run() -> int:
        stream = begun()
        reader = asyncio.ensure_future(everything(stream))
        await host(stream)
        return len(await reader)

    assert 8_000_000 == asyncio.run(run())


def test_tenant_leaves_streams_to_others() -> None:
    made = Streams()
    ours, theirs = TenantId("tnt_1"), TenantId("tnt_2")
    for number in range(LIMIT_PER_TENANT):
        made.open(ours, AgentId(f"agt_{number // LIMIT_PER_HOST}"), QuestionId(f"qst_{number}"))

    with pytest.raises(TooMany):
        made.open(ours, AgentId("agt_ours"), QuestionId("qst_ours"))
    made.open(theirs, AgentId("agt_theirs"), QuestionId("qst_theirs"))

    assert LIMIT_PER_TENANT + 1 == made.count
