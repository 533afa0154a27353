"""Which file system in memory a machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from saveos import in_memory
from saveos.repositories import holder

ON_DISK = "/dev/sda1 /dev/shm ext4 rw 0 0\n"
IN_MEMORY = "tmpfs /run/shm tmpfs rw,nosuid 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "place"),
    [
        ("", ""),
        (ON_DISK, ""),
        (ON_DISK + IN_MEMORY, "/run/shm"),
        (IN_MEMORY + "shm /dev/shm tmpfs rw 0 0\n", "/dev/shm"),  # noqa: S108
        ("tmpfs /dev/shm tmpfs rw 0 0\n" + ON_DISK, ""),
    ],
)
def test_place_in_mounts_is_a_file_system_in_memory_or_none(mounts: str, place: str) -> None:
    assert place == in_memory.place_in(mounts)


@pytest.mark.parametrize(("place", "folder"), [("", "/var/tmp"), ("/run/shm", "/run/shm")])  # noqa: S108
def test_folders_of_keyholders_lie_in_memory_if_that_can_be(
    monkeypatch: pytest.MonkeyPatch, place: str, folder: str
) -> None:
    monkeypatch.setattr(in_memory, "place", lambda: place)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/var/tmp")  # noqa: S108

    assert Path(folder) == holder._place()
