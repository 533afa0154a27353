"""A host with a real Borg repository on an appliance that copies it to a store: the verbs and the jobs, as they are."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.certificates import authority
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.offsite import orders as offsite_orders
from saveos.offsite import stores
from saveos.offsite import table as table_offsite
from saveos.offsite.desk import read_manifest
from saveos.offsite.model import Rate
from saveos.protocol import AgentId, JobReport, Kind, Outcome, TenantId
from saveos.repositories import table as repositories
from saveos.repositories.sessions import Sessions
from saveos.snapshots import rehydrating
from saveos.worker.offsite import Offsite
from saveos.worker.upkeep import Upkeep
from tests.support.agent import stock_borg
from tests.support.catalogues import World
from tests.support.s3 import SECRET
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.database.secrets import Secret
    from saveos.jobs.model import Job
    from saveos.offsite.layout import Manifest
    from saveos.offsite.model import Generation, OffsiteState, Place, Store, Stored

PASSPHRASE = "open sesame"
TENANT = TenantId("ten_1")
SEGMENT_BYTES = 1_000_000


class Hands:
    """What a job is given by the queue: `hear` is called at each word."""

    def __init__(self, job: Job, hear: Callable[[Hands], None] = lambda _hands: None) -> None:
        self.job, self._hear = job, hear
        self.is_cancelled = threading.Event()
        self.lines: list[str] = []
        self.steps: list[tuple[str, int]] = []

    def say(self, line: str, *, phase: str = "", done: int = 0, **_more: Any) -> None:
        self.lines += [line] if line else []
        self.steps.append((phase, done))
        self._hear(self)


@dataclass
class Copying:
    """One host. Its tree is what its repository holds."""

    world: World
    agent_id: AgentId
    trees: Path
    lives: int = 0
    archives: list[str] = field(default_factory=list)
    secret: Secret = SECRET

    @classmethod
    def made(cls, folder: Path, place: Place | None = None, secret: Secret = SECRET) -> Copying:
        """Make one, whose tenant keeps copies at a place."""
        copying = cls.opened(folder)
        copying.secret = secret
        copying.world.add_tenant(TENANT)
        copying.world.add_host("atelier")
        write = copying.world.database.write
        write(lambda connection: repositories.insert(connection, TENANT, copying.agent_id))
        write(lambda connection: repositories.set_ready(connection, copying.agent_id, "ab"))
        copying.tree.mkdir(parents=True)
        copying.repository.parent.mkdir(parents=True)
        copying.borg("init", "--encryption=repokey-blake2")
        copying.borg("config", "::", "max_segment_size", str(SEGMENT_BYTES))
        if place is not None:
            copying.use(place)
        return copying

    @classmethod
    def opened(cls, folder: Path) -> Copying:
        """Open one that is there, as another process."""
        from saveos import config
        from saveos.database.connection import Database
        from saveos.database.migrations import migrate

        settings = config.load({"data": str(folder / "data")}, {})
        (folder / "data").mkdir(parents=True, exist_ok=True)
        migrate(settings.database)
        world = World(settings, Database(settings.database))
        return cls(world, AgentId("agt_atelier"), folder / "trees")

    @property
    def tree(self) -> Path:
        return self.trees / "tree"

    @property
    def repository(self) -> Path:
        return repositories.repository_path(self.world.settings, TENANT, self.agent_id)

    @property
    def borg_id(self) -> str:
        return str(self.borg("config", "::", "id").strip())

    @property
    def store(self) -> Store:
        store = table_offsite.store_of(self.world.database.read, TENANT)
        assert store is not None
        return store

    @property
    def state(self) -> OffsiteState:
        return offsite_orders.of_host(self.world.database, self.world.principal, self.agent_id)

    @property
    def segments(self) -> list[Stored]:
        return table_offsite.segments(self.world.database.read, self.store.id, self.agent_id)

    @property
    def folder(self) -> str:
        return f"{self.store.place.prefix}/{TENANT}/{self.agent_id}"

    @property
    def generations(self) -> list[Generation]:
        return offsite_orders.generations(self.world.database, self.world.principal, self.agent_id)

    @property
    def manifest(self) -> Manifest:
        """What the newest manifest in the bucket says."""
        bucket = stores.bucket_of(self.world.database, self.world.settings, self.store)
        return read_manifest(bucket, self.folder, self.generations[0])

    def use(self, place: Place) -> Store:
        return stores.keep_store(self.world.database, self.world.settings, self.world.principal, place, self.secret)

    def limit(self, bytes_per_second: int) -> None:
        """Let copies go no faster; 0: as fast as they can."""
        rate = Rate(bytes_per_second=bytes_per_second)
        self.use(msgspec.structs.replace(self.store.place, rate=rate))

    def borg(self, *words: str, folder: Path | None = None) -> str:
        home = self.trees / f"home {self.lives}"  # Borg refuses a repository that went back in time
        done = stock_borg(self.repository, PASSPHRASE, home, *words, folder=folder or self.tree)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def back_up(self, *, files: int = 4, size: int = 700_000) -> str:
        """Change some files, make an archive, and note the snapshot."""
        number = len(self.archives)
        for file in range(files):
            (self.tree / f"{number}-{file}").write_bytes(os.urandom(size))
        self.archives.append(f"archive-{number}")
        self.borg("create", f"::{self.archives[-1]}", ".")
        subprocess.run(["cp", "-a", self.tree, self.trees / self.archives[-1]], check=True)
        snapshot, _archive = self.world.add_snapshot(self.agent_id)
        statement = "UPDATE snapshots SET archive = ? WHERE id = ?"
        self.world.database.write(lambda connection: connection.execute(statement, (self.archives[-1], snapshot)))
        return snapshot

    def copy(self, hear: Callable[[Hands], None] = lambda _hands: None) -> str:
        """Copy as the queue does, and return what the job says."""
        job = offsite_orders.request_copy(self.world.database, self.world.principal, self.agent_id)
        return self.run(job, hear)

    def bury(self) -> None:
        """Give up what a killed process had in hand."""
        statement = "UPDATE jobs SET state = 'failed' WHERE state = 'running'"
        self.world.database.write(lambda connection: connection.execute(statement))

    def verify(self, share: float = 1.0) -> str:
        job = offsite_orders.request_verify(self.world.database, self.world.principal, self.agent_id, share)
        return self.run(job)

    def rehydrate(self, number: int = 0, hear: Callable[[Hands], None] = lambda _hands: None) -> list[str]:
        """Fetch a generation and let the roll-back follow that it asks for."""
        known = self.generations
        job = rehydrating.request(
            self.world.database, self.world.principal, self.agent_id, number or known[0].number, "atelier", {}
        )
        said = [self.run(job, hear)]
        [following] = jobs.waiting_of(self.world.database.read, self.agent_id, Kind.ROLL_BACK)
        said.append(self.run(following))
        self.lives += 1
        return said

    def run(self, job: Job, hear: Callable[[Hands], None] = lambda _hands: None) -> str:
        """Do a job, and write how it ended."""
        settings, database = self.world.settings, self.world.database
        sessions = Sessions(
            settings=settings, authority=authority.open_authority(settings.authority), authorise=_nobody
        )
        handlers = Offsite(settings, database, {}).handlers() | Upkeep(settings, database, sessions).handlers()
        claimed = database.write(lambda connection: jobs.claim(connection, job.id, "test", clock.now()))
        assert claimed is not None, "it is not its turn"
        report = JobReport(outcome=Outcome.FAILED, error_code="killed")
        try:
            said = handlers[job.kind](Hands(claimed, hear))  # type: ignore[arg-type]
            report = JobReport(outcome=Outcome.DONE, message=said)
        except Exception as error:
            report = JobReport(outcome=Outcome.FAILED, error_code=getattr(error, "code", ""), message=str(error))
            raise
        finally:
            endings = {Kind.OFFSITE: offsite_orders.record_end}
            database.write(lambda connection: lifecycle._end(connection, job, _state(report), report, endings))
        return said

    def assert_restores(self, archive: str) -> None:
        """Fail unless the repository is sound and gives an archive back as its tree was."""
        self.borg("check", "--verify-data")
        target = self.trees / f"restored {self.lives} {archive}"
        target.mkdir()
        self.borg("extract", f"::{archive}", folder=target)
        os.utime(target, ns=(0, (self.trees / archive).stat().st_mtime_ns))  # Borg leaves the folder itself as it is
        assert [] == differences(self.trees / archive, target)


async def _nobody(*_words: object) -> Any:
    raise AssertionError


def _state(report: JobReport) -> Any:
    from saveos.jobs.model import State

    return State(report.outcome.value)
