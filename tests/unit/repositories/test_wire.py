"""Frames on the appliance's side, without a network."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.protocol import FRAME_HEADER, FRAME_LIMIT, Frame
from saveos.repositories.wire import CONTROL_BYTES, PeerGone, Wire

if TYPE_CHECKING:
    from collections.abc import Callable


class Connection:
    """What a wire needs of a TLS connection: bytes come in pieces, and go."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.sent = b""

    def setblocking(self, flag: object) -> None:
        """Never blocks."""

    def pending(self) -> int:
        return sum(map(len, self.pieces))

    def fileno(self) -> int:
        return 0

    def recv_into(self, view: memoryview) -> int:
        if not self.pieces:
            raise ssl.SSLWantReadError
        piece = self.pieces.pop(0)
        view[: len(piece)] = piece
        return len(piece)

    def send(self, data: bytes) -> int:
        self.sent += data[:1000]
        return len(data[:1000])


def wire(*pieces: bytes) -> tuple[Wire, Connection]:
    connection = Connection(list(pieces))
    return Wire(cast("ssl.SSLSocket", connection), 10, 60), connection


def frame(kind: int, payload: bytes = b"") -> bytes:
    return FRAME_HEADER.pack(kind, len(payload)) + payload


@given(st.data())
def test_pump_joins_frames_cut_anywhere(data: st.DataObject) -> None:
    stream = frame(Frame.HELLO, b"{}") + frame(Frame.DATA, b"one") + frame(Frame.PING) + frame(Frame.DATA)
    stream += frame(Frame.DATA, b"two") + frame(Frame.EOF)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1))))
    ends = [*cuts, len(stream)]
    pieces = [stream[start:end] for start, end in zip([0, *cuts], ends, strict=True)]
    subject, _connection = wire(*pieces)

    subject.pump(0)

    assert (Frame.HELLO, b"{}") == subject.next_control()
    assert b"onetwo" == bytes(subject.take())
    assert subject.is_finished


@pytest.mark.parametrize(
    "said",
    [
        frame(99),
        frame(Frame.READY),
        FRAME_HEADER.pack(Frame.DATA, FRAME_LIMIT + 1),
        FRAME_HEADER.pack(Frame.HELLO, CONTROL_BYTES + 1),
        frame(Frame.HELLO) * 5,
    ],
    ids=["unknown", "only ours to say", "too long", "long hello", "many hellos"],
)
def test_pump_of_a_frame_that_may_not_be_raises(said: bytes) -> None:
    subject, _connection = wire(said)

    with pytest.raises(PeerGone):
        subject.pump(0)


@pytest.mark.parametrize(
    "say",
    [
        lambda subject: subject.answer(b"abc"),
        lambda subject: [subject.answer(b"a"), subject.answer(b"bc")],
        lambda subject: subject.answer(b"x" * (FRAME_LIMIT * 2 + 5)),
    ],
    ids=["one", "gathered", "split"],
)
def test_drain_sends_answers_as_data_frames(say: Callable[[Wire], object]) -> None:
    subject, connection = wire()
    say(subject)

    subject.drain(0)

    data, sent = b"", connection.sent
    while sent:
        kind, size = FRAME_HEADER.unpack_from(sent)
        assert (Frame.DATA, True) == (kind, size <= FRAME_LIMIT)
        data, sent = data + sent[5 : 5 + size], sent[5 + size :]
    assert data in (b"abc", b"x" * (FRAME_LIMIT * 2 + 5))
