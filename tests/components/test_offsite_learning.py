"""Generations that the database does not know: taken up are those that an appliance of ours signed, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.offsite import layout
from saveos.offsite.reaches import desk_of
from saveos.snapshots import learning
from tests.support.offsite import Copying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import Weed


@pytest.fixture
def copying(s3: Weed, tmp_path: Path) -> Iterator[Copying]:
    copying = Copying.made(tmp_path, s3.place(s3.bucket(has_versions=True)))
    yield copying
    copying.world.close()


def write(s3: Weed, copying: Copying, number: int | str, content: bytes) -> None:
    """Write a manifest as somebody does who has the store's key."""
    name = f"{number:08d}" if isinstance(number, int) else number
    key = f"{copying.folder}/generations/{name}.json"
    s3.client().put_object(Bucket=copying.store.place.bucket, Key=key, Body=content)


def read(s3: Weed, copying: Copying, number: int) -> bytes:
    key = f"{copying.folder}/generations/{number:08d}.json"
    content: bytes = s3.client().get_object(Bucket=copying.store.place.bucket, Key=key)["Body"].read()
    return content


def learn(copying: Copying) -> int:
    return learning.learn(desk_of(copying.world.database, copying.world.settings, copying.agent_id))


def forget(copying: Copying) -> None:
    """Let the database be one of before the copies were made."""
    copying.world.database.write(lambda connection: connection.execute("DELETE FROM offsite_generations"))


def test_generations_of_ours_are_learned_whatever_stands_beside_them(
    copying: Copying, s3: Weed, tmp_path: Path
) -> None:
    for _ in range(2):
        copying.back_up(files=1)
        copying.copy()
    first, second = read(s3, copying, 1), read(s3, copying, 2)
    theirs = msgspec.structs.replace(layout.decoded(second), number=3, segments=())
    (tmp_path / "their.key").write_bytes(b"k" * 32)
    write(s3, copying, 3, layout.encoded(theirs, tmp_path / "their.key"))
    write(s3, copying, 4, first)  # what we signed, under another number
    write(s3, copying, 5, b"no manifest")
    write(s3, copying, 6, second.replace(b'"moment": ', b'"moment": 1'))
    write(s3, copying, "9" * 400, second)
    write(s3, copying, 2, b"written over")
    forget(copying)

    assert 2 == learn(copying)

    assert [2, 1] == [one.number for one in copying.generations]
    copying.rehydrate(2)
    copying.assert_restores("archive-1")


def test_manifest_that_a_mark_hides_is_learned(copying: Copying, s3: Weed) -> None:
    copying.back_up(files=1)
    copying.copy()
    key = f"{copying.folder}/generations/00000001.json"
    s3.client().delete_object(Bucket=copying.store.place.bucket, Key=key)
    forget(copying)

    assert 1 == learn(copying)


def test_number_that_somebody_wrote_far_ahead_stops_no_copy(copying: Copying, s3: Weed) -> None:
    copying.back_up(files=1)
    copying.copy()
    write(s3, copying, 2, b"no manifest")
    write(s3, copying, 999_999_999_999_999, b"no manifest")
    copying.back_up(files=1)

    copying.copy()

    assert [3, 1] == [one.number for one in copying.generations]
