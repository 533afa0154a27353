"""One file straight out of a copy, when the repository here is lost: what travels, and what is broken is refused."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.errors import (
    Locked,
    NotFound,
    ObjectAltered,
    OffsiteNoIndex,
    PathNotFound,
    SnapshotDamaged,
    StorageUnreachable,
    TooMany,
)
from saveos.offsite import bucket as offsite_bucket
from saveos.offsite import indexes, reaches, segments
from saveos.offsite.reaches import Reaches
from saveos.protocol import Chosen, ReadForm, ReadOrder
from saveos.repositories import table_keys
from saveos.repositories.model import Purpose
from saveos.snapshots import reading_copy
from saveos.snapshots.reading import SourceLost
from tests.support.offsite import Copying
from tests.support.offsite_reading import hand_over_key, read, readers
from tests.support.s3_line import line_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import Weed
    from tests.support.s3_line import Line


@pytest.fixture
def line(s3: Weed) -> Iterator[Line]:
    with line_to(s3.port) as line:
        yield line


@pytest.fixture
def copying(s3: Weed, line: Line, tmp_path: Path) -> Iterator[Copying]:
    copying = Copying.made(tmp_path, s3.place(s3.bucket(), endpoint=line.endpoint))
    hand_over_key(copying)
    yield copying
    assert [] == list(copying.world.settings.offsite_reading.glob("*"))
    copying.world.close()


def test_one_file_of_a_lost_repository_takes_little_of_its_copy(copying: Copying, line: Line) -> None:
    for _ in range(3):
        copying.back_up(files=8)
    (copying.tree / "letter").write_bytes(letter := os.urandom(20_000))
    copying.back_up()
    copying.copy()
    shutil.rmtree(copying.repository)
    before = line.got_bytes

    content = read(copying, "letter")

    whole = sum(part.bytes for part in copying.manifest.segments)
    assert letter == content
    assert line.got_bytes - before < whole / 10


def test_download_takes_the_copy_once_the_repository_is_not_here(copying: Copying, line: Line) -> None:
    (copying.tree / "letter").write_bytes(letter := os.urandom(20_000))
    snapshot = copying.back_up()
    copying.copy()
    order = ReadOrder(archive="", chosen=(Chosen(path="letter"),), form=ReadForm.FILE)

    async def go() -> bytes:
        async with readers(copying) as made:
            begun = await reading_copy.begin_anywhere(made.means, copying.world.principal, snapshot, order)
            try:
                return b"".join([part async for part in begun.body()])
            finally:
                await begun.close()

    before = line.got_bytes
    assert letter == asyncio.run(go())
    assert before == line.got_bytes

    shutil.rmtree(copying.repository)

    assert letter == asyncio.run(go())
    assert before < line.got_bytes


def spoil(s3: Weed, copying: Copying, key: str, *, size: int = -1) -> None:
    """Change every thousandth byte of an object, or its size if that is said."""
    client, where = s3.client(), {"Bucket": copying.store.place.bucket, "Key": f"{copying.folder}/{key}"}
    content = bytearray(client.get_object(**where)["Body"].read())
    for at in range(500, len(content) if size < 0 else 0, 1000):
        content[at] ^= 1
    client.put_object(**where, Body=bytes(content[:size] if size >= 0 else content))


def test_folder_and_old_snapshot_come_out_of_the_copy_too(copying: Copying) -> None:
    first = copying.back_up(files=2)
    copying.back_up(files=2)
    copying.copy()
    shutil.rmtree(copying.repository)
    content = (copying.trees / "archive-0" / "0-1").read_bytes()

    async def go() -> tuple[bytes, bytes]:
        async with readers(copying) as made:
            return await made.read("0-1", snapshot=first), await made.read("", form=ReadForm.ZIP)

    alone, packed = asyncio.run(go())

    assert content == alone
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        assert 4 == len(names)
        for name in names:
            assert (copying.trees / "archive-1" / name).read_bytes() == archive.read(name)


def test_generation_is_read_by_the_index_of_an_earlier_one(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "SHARE", 10**6)
    copying.back_up(files=3)
    copying.copy()
    index = copying.manifest.index
    copying.back_up(files=3)
    copying.borg("delete", "::archive-0")
    now = clock.to_text(clock.now())
    copying.borg("compact", "--threshold=1")
    copying.world.database.write(
        lambda connection: connection.execute("UPDATE repositories SET compacted_at = ?", (now,))
    )
    (copying.tree / "letter").write_bytes(letter := os.urandom(20_000))
    copying.back_up(files=1)
    copying.copy()
    shutil.rmtree(copying.repository)

    assert index == copying.manifest.index
    assert index is not None
    assert index.number < copying.manifest.moment
    assert letter == read(copying, "letter")
    assert (copying.trees / "archive-1" / "1-0").read_bytes() == read(copying, "1-0")


def test_segment_that_was_altered_in_the_store_is_refused(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    for part in copying.manifest.segments:
        spoil(s3, copying, part.key)

    with pytest.raises(SnapshotDamaged):
        read(copying, "0-0")


def test_segment_that_was_cut_in_the_store_is_refused(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    for part in copying.manifest.segments:
        spoil(s3, copying, part.key, size=1000)

    with pytest.raises(ObjectAltered):
        read(copying, "0-0")


def test_store_that_sends_more_than_was_asked_for_is_refused(copying: Copying, line: Line) -> None:
    copying.back_up()
    copying.copy()
    line.surplus = bytes(1_000_000)

    with pytest.raises(ObjectAltered):
        read(copying, "0-0")


def test_index_that_was_altered_in_the_store_is_refused_and_sent_again(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    index = copying.manifest.index
    assert index is not None
    spoil(s3, copying, index.key)

    with pytest.raises(ObjectAltered):
        read(copying, "0-0")
    assert copying.verify().endswith("1 damaged.")
    assert copying.copy().startswith(f"1 segments, {index.bytes} bytes sent")
    assert (copying.tree / "0-0").read_bytes() == read(copying, "0-0")


def test_download_breaks_off_when_the_store_dies(copying: Copying, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsite_bucket, "ATTEMPTS", 1)
    (copying.tree / "large").write_bytes(os.urandom(24_000_000))
    copying.back_up()
    copying.copy()

    async def go() -> int:
        async with readers(copying) as made:
            begun = await made.begin("large")
            count = 0
            try:
                async for part in begun.body():
                    count += len(part)
                    line.fault, line.every = "dead", 1
            except SourceLost:
                return count
            finally:
                await begun.close()
            raise AssertionError

    assert 0 < asyncio.run(go()) < 24_000_000


def test_store_that_is_not_there_is_named(copying: Copying, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = copying.back_up()
    copying.copy()
    monkeypatch.setattr(offsite_bucket, "LONGEST_WAIT", 0.01)

    async def go() -> None:
        async with readers(copying) as made:
            await made.read("0-0")
            line.fault, line.every = "dead", 1
            with pytest.raises(StorageUnreachable):
                await made.begin("0-1", snapshot=snapshot)

    asyncio.run(go())


def test_what_was_fetched_goes_a_while_after_the_last_reader(copying: Copying) -> None:
    copying.back_up()
    copying.copy()

    async def go() -> None:
        async with readers(copying) as made:
            folder = copying.world.settings.offsite_reading
            made.reaches.linger_seconds = 3.0
            begun = await made.begin("0-0")
            assert len(list(folder.iterdir())) == 1
            await begun.close()
            while len(made.reaches) or list(folder.iterdir()):  # noqa: ASYNC110 - it goes by the clock
                await asyncio.sleep(0.1)
            made.reaches.linger_seconds = 60.0
            assert (copying.tree / "0-0").read_bytes() == await made.read("0-0")  # anew

    asyncio.run(go())


def test_no_more_copies_are_read_at_once_than_there_is_room_for(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaches, "LIMIT", 1)
    for _ in range(2):
        copying.back_up(files=1)
        copying.copy()

    async def go() -> None:
        async with readers(copying) as made:
            await made.reaches.open(copying.agent_id, 1)
            await made.reaches.open(copying.agent_id, 1)
            with pytest.raises(TooMany):
                await made.reaches.open(copying.agent_id, 2)

    asyncio.run(go())


def test_what_a_killed_appliance_left_is_swept(copying: Copying) -> None:
    left = copying.world.settings.offsite_reading / "rea_1" / "data"
    left.mkdir(parents=True)

    Reaches(copying.world.settings, copying.world.database).sweep()

    assert not left.exists()


def test_what_cannot_be_read_says_why(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    copying.back_up()
    monkeypatch.setattr(segments, "index_of_folder", lambda *_: None)  # as of a manifest from before
    copying.copy()
    assert copying.manifest.index is None
    with pytest.raises(OffsiteNoIndex):
        read(copying, "0-0")
    monkeypatch.undo()
    copying.copy()

    with pytest.raises(PathNotFound):
        read(copying, "no such file")
    with pytest.raises(NotFound):
        read(copying, "0-0", snapshot="snp_of_nobody")
    copying.world.database.write(lambda connection: table_keys.forget(connection, copying.agent_id, Purpose.MANAGED))
    with pytest.raises(Locked):
        read(copying, "0-0")
