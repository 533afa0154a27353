"""A repository at its last commit: seen without a lock, whole after a cut, and never changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from borg import logger
from borg.repository import Repository

from saveos.agent.engine_committed import Committed, Unsettled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with two objects in one commit."""
    monkeypatch.setattr(logger, "configured", True)  # Borg's own commands set it up
    folder = tmp_path / "repository"
    with Repository(str(folder), create=True, exclusive=True) as repository:
        repository.put(key(1), b"one")
        repository.put(key(2), b"two")
        repository.commit(compact=False)
    yield folder
    assert sorted(name for name in os.listdir(folder) if name.startswith("lock")) == []


def key(number: int) -> bytes:
    return bytes(31) + bytes((number,))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_last_commit_is_read_while_another_holds_the_lock(path: Path) -> None:
    with Repository(str(path), exclusive=True, append_only=True) as writing:
        writing.put(key(3), b"three")
        writing.delete(key(1))

        with Committed(path) as reading:
            seen = [reading.get(key(1)), reading.get(key(2)), len(reading), sorted(reading.list())]

        writing.commit(compact=False)
        with Committed(path) as reading:
            later = [reading.get(key(3)), sorted(reading.list())]

    assert [b"one", b"two", 2, [key(1), key(2)]] == seen
    assert [b"three", [key(2), key(3)]] == later


def test_view_stays_when_others_commit(path: Path) -> None:
    with Committed(path) as reading:
        with Repository(str(path), exclusive=True, append_only=True) as writing:
            for number in range(3, 30):
                writing.put(key(number), bytes(1000))
                writing.commit(compact=False)

        assert [b"one", 2] == [reading.get(key(1)), len(reading)]
        with pytest.raises(Repository.ObjectNotFound):
            reading.get(key(5))


def test_commit_without_its_index_is_read_and_nothing_is_written(path: Path) -> None:
    before = {name: content for name, content in files(path).items() if name.split(".")[0] in INDEX}
    with Repository(str(path), exclusive=True, append_only=True) as writing:
        writing.put(key(3), b"three")
        writing.delete(key(1))
        writing.commit(compact=False)
    for left in [name for name in files(path) if name.split(".")[0] in INDEX]:
        (path / left).unlink()
    for name, content in before.items():
        (path / name).write_bytes(content)
    as_left = files(path)

    with Committed(path) as reading:
        seen = [sorted(reading.list()), reading.get(key(3))]

    assert [[key(2), key(3)], b"three"] == seen
    assert as_left == files(path)


INDEX = ("index", "hints", "integrity")


def test_index_of_what_is_not_there_is_a_contradiction(path: Path) -> None:
    shutil.rmtree(path / "data")
    (path / "data").mkdir()

    with pytest.raises(Unsettled):
        Committed(path, settle_seconds=0.2)


@pytest.mark.parametrize("method", ["put", "delete", "commit", "check", "destroy", "save_key", "check_transaction"])
def test_nothing_can_be_written(path: Path, method: str) -> None:
    with Committed(path) as reading, pytest.raises(RuntimeError):
        getattr(reading, method)()


def test_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Repository.DoesNotExist):
        Committed(tmp_path / "none")
