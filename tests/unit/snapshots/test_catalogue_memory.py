"""Where opened names may lie: in memory, in a folder that is ours alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from saveos import config
from saveos.errors import Unavailable
from saveos.snapshots import catalogue_memory as memory
from saveos.snapshots import catalogue_pool as pool
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = config.load({"data": str(tmp_path)}, {})
    yield made
    path = memory._path(made)
    if path is not None and path.is_symlink():
        path.unlink()
    memory.wipe(made)


def test_folder_is_ours_alone_and_gone_when_wiped(settings: Settings) -> None:
    made = memory.make(settings)

    assert (made, 0o700) == (memory.folder(settings), made.stat().st_mode & 0o777)
    memory.wipe(settings)
    assert memory.folder(settings) is None


def test_folder_that_others_may_enter_or_that_leads_elsewhere_is_not_used(settings: Settings, tmp_path: Path) -> None:
    made = memory.make(settings)
    made.chmod(0o755)
    with pytest.raises(Unavailable):
        memory.make(settings)
    made.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    made.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(Unavailable):
        memory.make(settings)

    assert memory.folder(settings) is None


def test_catalogue_that_is_deleted_while_it_is_read_is_not_kept_open(tmp_path: Path) -> None:
    world = World.made(tmp_path)
    host = world.add_host("web-01")
    world.back_up(host, {b"srv/a": b"f 1 0 644 0"})
    path = world.settings.catalogues / world.tenant / f"{host}.db"

    with pool.reading(path) as reader:
        assert reader is not None
        path.unlink()

    assert [] == [key for key in pool._idle if key[0] == str(path)]
