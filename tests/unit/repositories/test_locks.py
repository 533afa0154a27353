"""Whose lock is alive."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from borg import platform

from saveos.repositories import locks


def test_is_alive_for_this_very_process_says_yes() -> None:
    host, pid, birth = locks.identity()

    assert locks.is_alive(host, pid, birth)


def test_is_alive_for_another_process_with_the_same_id_says_no() -> None:
    host, pid, birth = locks.identity()

    assert not locks.is_alive(host, pid, birth - 1)


def test_is_alive_for_a_dead_process_that_nobody_buried_says_no() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    while locks.born_at(process.pid):
        time.sleep(0.01)

    assert not locks.is_alive(platform.hostid, process.pid, 1)
    assert not locks.is_alive(platform.hostid, process.pid, 0)
    process.wait()


def test_is_alive_for_another_machine_says_yes() -> None:
    assert locks.is_alive("elsewhere", 1, 1)


def test_is_alive_for_a_lock_of_borg_itself_looks_at_the_process_alone() -> None:
    assert locks.is_alive(platform.hostid, os.getpid(), 0)
