"""Noise, formats and promises: what a piece of a file says of it."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import zlib

import pytest

from saveos.agent.samples import PIECE_BYTES, Sampler, entropy, is_noise, promises

dice = random.Random(1)  # noqa: S311 - dice of a test
TEXT = b" ".join(dice.choices(b"the quick brown fox jumps over a lazy dog and back again".split(), k=5000))


def pieces(content: bytes) -> list[bytes]:
    middle = len(content) // 2
    return [content[:PIECE_BYTES], content[middle : middle + PIECE_BYTES]]


def looked(name: str, content: bytes) -> tuple[int, int]:
    """How many noisy and broken files the sampler counts."""
    sampler = Sampler()
    sampler.look(name, pieces(content))
    return sampler.random, sampler.broken


def tar_of_noise() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        member = tarfile.TarInfo("picture.jpg")
        member.size = 100_000
        file.addfile(member, io.BytesIO(dice.randbytes(100_000)))
    return buffer.getvalue()


def stream_of_noise() -> bytes:
    return b"".join(b"G" + dice.randbytes(187) for _ in range(100))


@pytest.mark.parametrize("size", [64, 100, 256, 1024])
def test_random_bytes_are_noise_nearly_always(size: int) -> None:
    missed = sum(not is_noise(os.urandom(size)) for _ in range(2000))

    assert missed < 20


@pytest.mark.parametrize(
    "content",
    [
        TEXT,
        "été à la mer, où naît une œuvre ".encode() * 40,
        "Съешь же ещё этих мягких французских булок ".encode() * 40,
        "我能吞下玻璃而不伤身体。".encode() * 60,
        "The quick brown fox ".encode("utf-16") * 60,
        base64.b64encode(dice.randbytes(1000)),
        dice.randbytes(500).hex().encode(),
        bytes(1024),
        b"".join(number.to_bytes(4, "little") for number in range(300)),
    ],
    ids=range(9),
)
def test_what_has_a_meaning_is_no_noise(content: bytes) -> None:
    for size in (64, 200, PIECE_BYTES):
        assert not is_noise(content[:size])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.zip.gz", gzip.compress(dice.randbytes(5000))),
        ("a.bz2", bz2.compress(dice.randbytes(5000))),
        ("a.xz", lzma.compress(dice.randbytes(5000))),
        ("object", zlib.compress(dice.randbytes(5000))),
        ("pictures.tar", tar_of_noise()),
        ("film.mpg", stream_of_noise()),
        ("scan.pdf", b"\xef\xbb\xbf\r\n%PDF-1.7\n" + dice.randbytes(5000)),
        ("photo.cr3", b"\0\0\0\x18ftypcrx " + dice.randbytes(5000)),
        ("photo.jpg", b"\xff\xd8\xff\xe0" + dice.randbytes(5000)),
        ("letter.docx", b"\xd0\xcf\x11\xe0" + dice.randbytes(5000)),  # under a password
        ("mislabelled.png", b"GIF89a" + dice.randbytes(5000)),
    ],
)
def test_formats_that_are_packed_are_no_noise(name: str, content: bytes) -> None:
    assert (0, 0) == looked(name, content)


@pytest.mark.parametrize("name", ["a/letter.docx", "a/b/PHOTO.JPG", "data.csv", "notes.txt"])
def test_noise_under_a_name_that_promises_otherwise_is_broken(name: str) -> None:
    assert (1, 1) == looked(name, dice.randbytes(5000))


@pytest.mark.parametrize("name", ["00000000.log", "disk.raw", "vault.bin", "folder.d/object", ".hidden", "x.gpg"])
def test_noise_under_a_name_that_promises_nothing_is_only_noise(name: str) -> None:
    assert (1, 0) == looked(name, dice.randbytes(5000))


def test_a_file_of_which_only_the_beginning_is_encrypted_is_broken() -> None:
    assert (1, 1) == looked("letter.txt", dice.randbytes(4096) + TEXT)


def test_a_file_of_which_only_the_middle_is_encrypted_is_broken() -> None:
    assert (1, 1) == looked("letter.txt", TEXT[:4096] + dice.randbytes(8192))


def test_what_is_too_short_to_tell_is_not_looked_at() -> None:
    sampler = Sampler()
    sampler.look("a.txt", [dice.randbytes(20)])

    assert 0 == sampler.facts().count


def test_a_file_stands_for_as_many_as_are_passed_over() -> None:
    sampler = Sampler()
    sampler.look("a.txt", [dice.randbytes(1024)], 8)

    assert (8, 8, 8) == (sampler.facts().count, sampler.facts().random, sampler.facts().broken)


def test_entropy_of_noise_is_near_eight_however_short_the_piece() -> None:
    assert 7.9 < entropy(dice.randbytes(1024)) <= 8
    assert 3 < entropy(TEXT[:1024]) < 5
    assert (0.0, 0.0) == (entropy(b""), entropy(b"a" * 100))


def test_promise_is_in_the_ending() -> None:
    assert [True, True, False, False, False] == [
        promises(path) for path in ("a.TXT", "/x.y/b.docx", "a.docx.locked", "txt/a", "README")
    ]
