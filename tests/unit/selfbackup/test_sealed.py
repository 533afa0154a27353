"""What a self-backup's file shows: nothing to who lacks the key, and every alteration to who has it."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.errors import OtherKit, SelfBackupAltered
from saveos.selfbackup.sealed import CHUNK, TAG, Opener, Sealer, head_of

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = X25519PrivateKey.generate()
WHEN = datetime(2026, 1, 31, 2, tzinfo=UTC)


def sealed(plain: bytes, key: X25519PrivateKey = KEY) -> bytes:
    file = io.BytesIO()
    sealer = Sealer(file, key.public_key().public_bytes_raw(), WHEN, "apl_1")
    for begin in range(0, len(plain), 50_000):
        sealer.write(plain[begin : begin + 50_000])
    sealer.finish()
    return file.getvalue()


def opened(content: bytes, key: X25519PrivateKey = KEY) -> bytes:
    return io.BufferedReader(Opener(io.BytesIO(content), key)).read()  # type: ignore[type-var]


def body_of(content: bytes) -> int:
    """Return where the chunks begin."""
    return content.index(b"}\n") + 2


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7])
def test_open_gives_back_what_was_sealed(size: int) -> None:
    plain = os.urandom(size)

    content = sealed(plain)

    assert plain == opened(content)
    assert WHEN == head_of(io.BytesIO(content)).made_at


def test_open_with_another_kit_is_refused() -> None:
    with pytest.raises(OtherKit):
        opened(sealed(b"secret"), X25519PrivateKey.generate())


def test_open_refuses_every_flipped_byte_of_the_head_and_some_of_each_chunk() -> None:
    content = sealed(os.urandom(2 * CHUNK + 100))
    places = [*range(body_of(content)), *range(body_of(content), len(content), 10_007), len(content) - 1]

    for place in places:
        altered = bytearray(content)
        altered[place] ^= 1
        with pytest.raises((SelfBackupAltered, OtherKit)):
            opened(bytes(altered))


def without_last_chunk(content: bytes) -> bytes:
    return content[: body_of(content) + 2 * (CHUNK + TAG)]


def without_last_byte(content: bytes) -> bytes:
    return content[:-1]


def without_chunks(content: bytes) -> bytes:
    return content[: body_of(content)]


def with_chunks_in_another_order(content: bytes) -> bytes:
    begin, size = body_of(content), CHUNK + TAG
    first, second = content[begin : begin + size], content[begin + size : begin + 2 * size]
    return content[:begin] + second + first + content[begin + 2 * size :]


def with_the_last_chunk_twice(content: bytes) -> bytes:
    return content + content[body_of(content) + 2 * (CHUNK + TAG) :]


def with_something_behind_it(content: bytes) -> bytes:
    return content + b"x"


@pytest.mark.parametrize(
    "alter",
    [
        without_last_chunk,
        without_last_byte,
        without_chunks,
        with_chunks_in_another_order,
        with_the_last_chunk_twice,
        with_something_behind_it,
    ],
)
def test_open_refuses_what_is_cut_moved_or_more(alter: Callable[[bytes], bytes]) -> None:
    content = sealed(os.urandom(2 * CHUNK + 100))

    with pytest.raises(SelfBackupAltered):
        opened(alter(content))


def test_open_refuses_the_chunks_of_another_file() -> None:
    first, second = sealed(b"first"), sealed(b"other")

    with pytest.raises(SelfBackupAltered):
        opened(first[: body_of(first)] + second[body_of(second) :])


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"saveos-self-backup-1\n", b"saveos-self-backup-1\n{}\n", b"\xff" * 9000]
)
def test_open_refuses_what_is_none_of_ours(content: bytes) -> None:
    with pytest.raises(SelfBackupAltered):
        opened(content)
