"""The host's locks."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from saveos.agent import borg, locks
from saveos.agent.failures import Failure
from saveos.agent.settings import Home


def test_try_take_of_a_taken_lock_is_refused_until_it_is_closed(tmp_path: Path) -> None:
    first = locks.try_take(tmp_path / "folder" / "lock")
    assert first is not None
    assert locks.try_take(tmp_path / "folder" / "lock") is None

    os.close(first)

    assert locks.try_take(tmp_path / "folder" / "lock") is not None


def test_lock_is_held_by_who_inherited_it_when_its_taker_has_gone(tmp_path: Path) -> None:
    descriptor = locks.try_take(tmp_path / "lock")
    assert descriptor is not None
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    os.close(descriptor)

    assert locks.try_take(tmp_path / "lock") is None
    heir.communicate(b"\n")

    assert locks.try_take(tmp_path / "lock") is not None


def test_turn_clears_the_locks_that_a_dead_borg_left_in_its_caches(tmp_path: Path) -> None:
    events: list[Any] = []
    home = Home(tmp_path / "agent" / "config.json")
    cache = home.borg / ".cache" / "borg" / "0123"
    (cache / "lock.exclusive").mkdir(parents=True)
    (cache / "lock.exclusive" / f"host@1.{os.getpid()}-0").touch()
    (cache / "lock.roster").write_text("{}")
    (cache / "files").write_text("kept")

    os.close(borg._wait_for_turn(home, events.append, threading.Event()))

    assert events == []
    assert [path.name for path in cache.iterdir()] == ["files"]


def test_turn_that_does_not_come_can_be_given_up(tmp_path: Path) -> None:
    home, cancelled = Home(tmp_path / "agent" / "config.json"), threading.Event()
    events: list[Any] = []
    assert locks.try_take(home.writer_lock) is not None
    threading.Timer(0.3, cancelled.set).start()

    with pytest.raises(Failure, match="Cancelled"):
        borg._wait_for_turn(home, events.append, cancelled)

    assert events == [{"type": borg.WAITING}]
