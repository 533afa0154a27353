"""One executable takes the place of another: whole at every instant, whoever kills it and whenever."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.agent import loop, succession
from saveos.agent.client import Client
from saveos.agent.settings import Home, write_private
from saveos.agent.succession import Mark, Succession
from saveos.protocol import HeartbeatAnswer, JobId, JobReport, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = "#!/bin/sh\necho old\n", "#!/bin/sh\necho new\n"
# Every file that is opened, linked or renamed is an event of the interpreter: at the one of this number it dies.
DIE = """
import os, signal, sys
from pathlib import Path
from saveos.agent import loop, succession
from saveos.agent.succession import Mark
folder, last = Path(sys.argv[1]), int(sys.argv[2])
mark = Mark(job_id="job_1", executable="", old_build="0" * 64, new_build="1" * 64, version="1.0")
count = 0
def hook(event, arguments):
    global count
    if event in ("open", "os.link", "os.rename", "os.remove") and str(folder) in str(arguments[:2]):
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
if sys.argv[3] == "replace":
    succession.replace(folder / "agent", folder / ".agent.1.new", mark, folder / "state" / "update.json")
else:
    succession.put_back(folder / "agent")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepared(tmp_path / "bin")


def prepared(folder: Path) -> Path:
    """Make a folder with an executable and the one that is to come."""
    folder.mkdir()
    for name, text in (("agent", OLD), (".agent.1.new", NEW)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    return folder


def mark() -> Mark:
    return Mark(job_id=JobId("job_1"), executable="", old_build="0" * 64, new_build="1" * 64, version="1.0")


def run(path: Path) -> str:
    return subprocess.run([path], capture_output=True, text=True, check=True).stdout


def die(folder: Path, number: int, what: str) -> bool:
    """Do it in a process that kills itself at an event; return whether it lived that long."""
    done = subprocess.run([sys.executable, "-c", DIE, folder, str(number), what], check=False, capture_output=True)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


def test_replace_puts_the_new_one_there_and_keeps_the_former(folder: Path) -> None:
    succession.replace(folder / "agent", folder / ".agent.1.new", mark(), folder / "update.json")

    assert ("new\n", "old\n") == (run(folder / "agent"), run(folder / "agent.previous"))
    assert {"agent", "agent.previous", "update.json"} == {path.name for path in folder.iterdir()}
    assert mark() == msgspec.json.decode((folder / "update.json").read_bytes(), type=Mark)


def test_replace_that_fails_changes_nothing(folder: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        succession.replace(folder / "agent", folder / "missing", mark(), folder / "update.json")

    assert "old\n" == run(folder / "agent")
    assert not (folder / "update.json").exists()


def test_replace_killed_at_any_instant_leaves_a_whole_executable_and_can_be_done_again(tmp_path: Path) -> None:
    for number in range(1, 40):
        place = prepared(tmp_path / str(number))

        was_killed = die(place, number, "replace")

        assert run(place / "agent") in ("old\n", "new\n")
        if run(place / "agent") == "new\n":
            assert (place / "state" / "update.json").exists()  # it knows that it is on probation
            assert "old\n" == run(place / "agent.previous")
        else:
            succession.replace(place / "agent", place / ".agent.1.new", mark(), place / "state" / "update.json")
            assert "new\n" == run(place / "agent")
        if not was_killed:
            assert number > 5
            return
    message = "it never ended"
    raise AssertionError(message)


def test_put_back_killed_at_any_instant_leaves_a_whole_executable(tmp_path: Path) -> None:
    for number in range(1, 10):
        place = prepared(tmp_path / str(number))
        succession.replace(place / "agent", place / ".agent.1.new", mark(), place / "update.json")

        was_killed = die(place, number, "put-back")

        assert run(place / "agent") in ("old\n", "new\n")
        if not was_killed:
            assert number > 1
            assert "old\n" == run(place / "agent")
            return
    message = "it never ended"
    raise AssertionError(message)


def test_remove_takes_everything_that_updates_left(folder: Path) -> None:
    succession.replace(folder / "agent", folder / ".agent.1.new", mark(), folder / "update.json")
    (folder / ".agent.2.new").touch()
    (folder / ".agent.previous.new").touch()
    (folder / "update.json").unlink()

    succession.remove(folder / "agent")

    assert [] == list(folder.iterdir())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "config.json")
    made.prepare()
    return made


@pytest.fixture
def successor(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Succession]:
    """The daemon that an update has just put there, on a disk that is full."""
    new = msgspec.structs.replace(mark(), executable=str(folder / "agent"))
    succession.replace(folder / "agent", folder / ".agent.1.new", new, home.update)
    monkeypatch.setattr(succession, "own_build", lambda: new.new_build)
    monkeypatch.setattr(succession, "write_private", refuse)
    made = Succession(home)
    yield made
    if made._timer is not None:
        made._timer.cancel()


def refuse(path: Path, _content: bytes) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def reports(home: Home) -> list[tuple[Outcome, str]]:
    found = [msgspec.json.decode(path.read_bytes(), type=JobReport) for path in home.reports.glob("job_*.json")]
    return [(report.outcome, report.error_code) for report in found]


def test_new_daemon_begins_its_probation_on_a_full_disk(successor: Succession) -> None:
    successor.begin()

    assert "job_1" == successor.job_id
    assert successor._timer is not None
    assert successor._timer.is_alive()


def test_new_daemon_that_is_deaf_gives_the_place_back_on_a_full_disk(
    successor: Succession, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    monkeypatch.setattr(succession, "restart", started.append)
    successor.begin()

    with pytest.raises(ZeroDivisionError), successor.guarding():
        raise ZeroDivisionError

    assert [folder / "agent"] == started
    assert "old\n" == run(folder / "agent")


def test_update_is_confirmed_when_the_disk_has_room_again(
    successor: Succession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    successor.begin()

    assert not successor.confirm()
    assert "job_1" == successor.job_id
    assert successor._timer is not None
    successor._timer.join(5)  # the appliance has answered: nothing is taken back any more
    assert home.update.exists()
    assert [] == reports(home)

    monkeypatch.setattr(succession, "write_private", write_private)
    assert successor.confirm()
    assert successor.job_id is None
    assert [(Outcome.DONE, "")] == reports(home)
    assert not home.update.exists()
    assert not successor.confirm()


def test_daemon_rests_between_heartbeats_while_its_update_cannot_be_confirmed(
    successor: Succession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0)
            self.set()
            return True

    client = SimpleNamespace(heartbeat=lambda _: HeartbeatAnswer(next_seconds=7), close=lambda: None, addresses=())
    monkeypatch.setattr(Client, "for_host", lambda *_: client)
    daemon = loop.Daemon(home, SimpleNamespace(heartbeat_seconds=1, learns_addresses=False))
    daemon._succession, daemon._stopping = successor, Stopping()
    successor.begin()

    daemon._turn()

    assert [7] == rests


def test_former_daemon_serves_on_a_full_disk_and_says_later_that_it_is_back(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = msgspec.structs.replace(mark(), is_rolling_back=True)
    write_private(home.update, msgspec.json.encode(back))
    monkeypatch.setattr(succession, "own_build", lambda: back.old_build)
    monkeypatch.setattr(succession, "write_private", refuse)

    Succession(home).begin()
    assert home.update.exists()

    monkeypatch.setattr(succession, "write_private", write_private)
    Succession(home).begin()
    assert [(Outcome.FAILED, succession.ROLLED_BACK)] == reports(home)
    assert not home.update.exists()
