"""What counts of a repository when a session was cut off, and how its room comes back."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from saveos import config
from saveos.repositories import maintenance, sizing, table
from saveos.repositories.upkeep import Order

if TYPE_CHECKING:
    from pathlib import Path

# Somebody who writes and is killed: first what is committed, then what is not.
KILLED = """
import os, sys
from borg.logger import setup_logging
from borg.repository import Repository
setup_logging(level="error", env_var=None)
with Repository(sys.argv[1], create=True, exclusive=True) as repository:
    repository.put(b"a" * 32, os.urandom(200_000))
    repository.commit(compact=False)
repository = Repository(sys.argv[1], exclusive=True)
repository.__enter__()
for number in range(int(sys.argv[2])):
    repository.put(bytes([number]) * 32, os.urandom(300_000))
repository.io.close_segment()
os._exit(9)
"""

READ = """
import sys
from borg.logger import setup_logging
from borg.repository import Repository
setup_logging(level="error", env_var=None)
with Repository(sys.argv[1]) as repository:
    print(len(repository.get(b"a" * 32)))
"""


def killed(folder: Path, count: int) -> Path:
    repository = folder / "repository"
    home = {"BORG_BASE_DIR": str(folder / "home"), "BORG_HOST_ID": "saveos-appliance"}
    done = subprocess.run([sys.executable, "-c", KILLED, repository, str(count)], env=home, check=False)
    assert done.returncode == 9
    return repository


def test_committed_bytes_leave_out_what_was_never_committed(tmp_path: Path) -> None:
    repository = killed(tmp_path, 3)

    assert 200_000 < sizing.committed_bytes(repository) < 300_000
    assert table.stored_bytes(repository) > 1_100_000
    assert sizing.has_unfinished(repository)


def test_upkeep_clears_away_what_was_never_committed_and_nothing_else(tmp_path: Path) -> None:
    repository = killed(tmp_path, 3)
    before = sizing.committed_bytes(repository)
    settings = config.load({"data": str(tmp_path)}, {})

    ending = maintenance.run(settings, Order(repository=str(repository), home=str(settings.borg_home), clean=True))

    assert 900_000 <= ending.freed_bytes
    assert not sizing.has_unfinished(repository)
    assert abs(table.stored_bytes(repository) - before) < 1000
    told = subprocess.run([sys.executable, "-c", READ, repository], capture_output=True, text=True, check=True)
    assert "200000" == told.stdout.strip()


def test_nothing_is_unfinished_in_a_whole_repository_or_in_none(tmp_path: Path) -> None:
    assert not sizing.has_unfinished(killed(tmp_path, 0))
    assert not sizing.has_unfinished(tmp_path / "nowhere")
    assert 0 == sizing.committed_bytes(tmp_path / "nowhere")
