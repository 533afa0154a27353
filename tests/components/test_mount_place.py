"""The folder of a mount, while others exchange names under it. The kernel mounts; nobody serves."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from saveos.agent.mount_place import NoPlace, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def mounts(below: Path) -> list[str]:
    """Return what is mounted there; to look into it would wait for ever."""
    with open("/proc/self/mounts", encoding="utf-8") as table:
        paths = [line.split()[1] for line in table]
    return sorted(path.removeprefix(f"{below}/") for path in paths if path.startswith(f"{below}/"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "above" / "mnt"
    made.mkdir(parents=True)
    yield made
    for path in mounts(tmp_path):
        subprocess.run(["umount", "-l", tmp_path / path], check=True)


@contextlib.contextmanager
def mounted(place: Place) -> Iterator[None]:
    with place:
        descriptor = place.mount()
        try:
            yield
        finally:
            os.close(descriptor)


def test_mount_stays_where_the_folder_was_opened(folder: Path, tmp_path: Path) -> None:
    place = Place(str(folder))
    (tmp_path / "victim").mkdir()
    folder.rename(tmp_path / "was")
    folder.symlink_to(tmp_path / "victim")

    with mounted(place):
        found = mounts(tmp_path)

    assert ["was"] == found


def test_unmounting_takes_its_own_mount_away_and_no_other(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "mnt"
    other.mkdir(parents=True)

    place = Place(str(folder))
    with mounted(place), mounted(Place(str(other))):
        folder.parent.rename(tmp_path / "moved")
        (tmp_path / "above").symlink_to(tmp_path / "other")
        before = mounts(tmp_path)

        place.unmount()

        after = mounts(tmp_path)

    assert ["moved/mnt", "other/mnt"] == before
    assert ["other/mnt"] == after


@pytest.mark.parametrize("kind", ["link", "file", "nothing", "not empty"])
def test_what_is_no_empty_folder_is_no_place(folder: Path, tmp_path: Path, kind: str) -> None:
    there = tmp_path / "there"
    if kind == "link":
        there.symlink_to(folder)
    elif kind == "file":
        there.touch()
    elif kind == "not empty":
        (there / "x").mkdir(parents=True)
    opened = len(os.listdir("/proc/self/fd"))

    with pytest.raises(NoPlace, match="not an empty folder"):
        Place(str(there))

    assert opened == len(os.listdir("/proc/self/fd"))


def test_folder_that_one_stands_in_is_a_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    with mounted(Place(".")):
        found = mounts(folder.parent)

    assert ["mnt"] == found
