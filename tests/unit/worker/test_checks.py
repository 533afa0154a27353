"""Check jobs with their real process: stopped or killed, the next one goes on, and no byte is read twice."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from borg import logger
from borg import repository as borg_repository
from borg.repository import Repository

from saveos.errors import EngineError, RepositoryMissing
from saveos.jobs import table as jobs
from saveos.proofs import checks, table
from saveos.protocol import AgentId, Kind, TenantId
from saveos.repositories import table as repositories
from saveos.worker import checks as worker
from tests.support.catalogues import World
from tests.support.processes import processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.jobs.model import Job

TENANT = TenantId("ten_1")


class Hands:
    """What a job is given by the queue: `hear` hears each line."""

    def __init__(self, job: Job, hear: Callable[[Hands], None] = lambda _hands: None) -> None:
        self.job, self._hear = job, hear
        self.is_cancelled = threading.Event()
        self.lines: list[str] = []

    def say(self, line: str, **_more: Any) -> None:
        self.lines.append(line)
        self._hear(self)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.made(tmp_path / "data")


@pytest.fixture
def host(world: World, monkeypatch: pytest.MonkeyPatch) -> AgentId:
    """A host whose repository has so many segments that what is said of them does not fit into a pipe."""
    monkeypatch.setattr(logger, "configured", True)
    monkeypatch.setattr(borg_repository, "DEFAULT_MAX_SEGMENT_SIZE", 100)
    agent_id = AgentId(world.add_host("atelier"))
    world.database.write(lambda connection: repositories.insert(connection, TENANT, agent_id))
    world.database.write(lambda connection: repositories.set_ready(connection, agent_id, "ab"))
    path = repositories.repository_path(world.settings, TENANT, agent_id)
    path.parent.mkdir(parents=True)
    with Repository(str(path), create=True, exclusive=True) as repository:
        for number in range(700):
            repository.put(number.to_bytes(32, "big"), os.urandom(60))
        repository.commit(compact=False)
    return agent_id


def a_job(world: World, host: AgentId) -> Job:
    world.database.write(lambda connection: table.ask_for_check(connection, host, TENANT))
    assert world.database.write(checks.queue_due)
    job = jobs.waiting_on_appliance(world.database.read, Kind.CHECK)
    assert job is not None
    return job


def size_of(world: World, host: AgentId) -> int:
    path = repositories.repository_path(world.settings, TENANT, host)
    return sum(file.stat().st_size for file in (path / "data" / "0").iterdir())


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_check_that_is_interrupted_is_gone_on_with(world: World, host: AgentId, how: str) -> None:
    job = a_job(world, host)
    handle = worker.check_repository(world.settings, world.database)

    def interrupt(hands: Hands) -> None:
        if len(hands.lines) == 4:
            if how == "cancelled":
                hands.is_cancelled.set()
                while reading():
                    pass
            else:
                os.kill(reading()[0], 9)

    first: Any = Hands(job, interrupt)
    with pytest.raises((worker.Stopped, EngineError)):
        handle(first)
    half = table.check_of(world.database.read, host, TENANT)
    assert handle(Hands(job)).startswith("Read 700 objects")  # type: ignore[arg-type]

    check = table.check_of(world.database.read, host, TENANT)
    assert half.began_at is not None
    assert 0 < half.read_bytes < check.read_bytes == size_of(world, host)
    assert check.checked_at is not None


def reading() -> list[int]:
    return [
        process.pid
        for process in processes()
        if "saveos.repositories.checking" in process.words and os.getpid() == parent_of(process.pid)
    ]


def parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return int(fields[1]) if fields[0] != "Z" else 0


def test_check_of_a_repository_that_is_not_there_says_so(world: World) -> None:
    agent_id = AgentId(world.add_host("bureau"))
    world.database.write(lambda connection: repositories.insert(connection, TENANT, agent_id))
    world.database.write(lambda connection: repositories.set_ready(connection, agent_id, "ab"))
    job = msgspec.structs.replace(a_job(world, agent_id), agent_id=agent_id)

    with pytest.raises(RepositoryMissing):
        worker.check_repository(world.settings, world.database)(Hands(job))  # type: ignore[arg-type]
    assert [damage.place for damage in table.open_damages(world.database.read, agent_id)] == ["repository"]
