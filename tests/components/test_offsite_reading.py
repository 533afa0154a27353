"""One file straight out of a copy, when the repository here is lost: what travels, and what happens to what is broken."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from saveos.errors import OfflineAndSealed, OffsiteNoIndex, SaveOSError, StorageError
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
