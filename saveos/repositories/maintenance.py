"""What the appliance itself does to repositories: keep checkpoints, let them go, compact, roll back."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import clock
from saveos.database.identifiers import new_id
from saveos.errors import EngineError, RepositoryLocked, Unavailable, UpkeepFailed
from saveos.repositories import quarantine, table, table_checkpoints
from saveos.repositories.model import Checkpoint
from saveos.repositories.upkeep import Ending, Order, Step

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import AgentId, TenantId
    from saveos.repositories.model import CheckpointWhy, Repository

WATCH_SECONDS = 0.5


def keep(
    database: Database, settings: Settings, repository: Repository, why: CheckpointWhy, **facts: Any
) -> Checkpoint:
    """Keep a checkpoint; `facts` as for `note`. One that was begun for the same reason is finished.

    Raises StorageError.
    """
    checkpoint = note(database, repository, why, **facts)
    folder = table.repository_path(settings, repository.tenant_id, repository.agent_id)
    place = quarantine.place(settings, repository.tenant_id, repository.agent_id, checkpoint.id)
    quarantine.make(folder, place, checkpoint.moment)
    database.write(lambda connection: table_checkpoints.set_made(connection, checkpoint.id))
    return checkpoint


def note(
    database: Database,
    repository: Repository,
    why: CheckpointWhy,
    *,
    moment: int,
    job_id: str = "",
    made_at: datetime | None = None,
    least_days: int = 0,
) -> Checkpoint:
    """Note that a checkpoint is being made, once for a job. `made_at`: of what it shows, None for now.

    It is kept as long as the tenant keeps such, but `least_days` at least.
    """
    now = clock.now()

    def write(connection: sqlite3.Connection) -> Checkpoint:
        for known in table_checkpoints.of_agent(connection, repository.agent_id):
            if job_id and (known.job_id, known.why) == (job_id, why):
                return known
        days = table_checkpoints.quarantine_days(connection, repository.tenant_id)
        checkpoint = Checkpoint(
            id=new_id("chk"),
            tenant_id=repository.tenant_id,
            agent_id=repository.agent_id,
            moment=moment,
            made_at=made_at or now,
            why=why,
            job_id=job_id,
            expires_at=now + timedelta(days=max(days, least_days)),
        )
        table_checkpoints.insert(connection, checkpoint)
        return checkpoint

    return database.write(write)


def let_go(database: Database, settings: Settings, checkpoint: Checkpoint) -> None:
    """Let go of a checkpoint, and of what only it held; not while its repository is worked on or is to go back to it.

    First it is not offered any more: cut off here, `clear` finds what is left.
    """
    if database.write(lambda connection: table_checkpoints.delete(connection, checkpoint.id)):
        quarantine.remove(quarantine.place(settings, checkpoint.tenant_id, checkpoint.agent_id, checkpoint.id))


def clear(database: Database, settings: Settings, repository: Repository) -> None:
    """Remove what is left of checkpoints that nobody knows any more."""
    folder = quarantine.place(settings, repository.tenant_id, repository.agent_id, "")
    found = quarantine.known_in(folder)  # before those that are known: each is noted before it is made
    for checkpoint_id in found - {one.id for one in table_checkpoints.of_agent(database.read, repository.agent_id)}:
        quarantine.remove(folder / checkpoint_id)


def measure(database: Database, settings: Settings, tenant_id: TenantId, agent_id: AgentId) -> int:
    """Measure what the checkpoints of a repository hold, keep it and return it, in bytes."""
    folder = quarantine.place(settings, tenant_id, agent_id, "")
    sizes = {
        one.id: quarantine.own_bytes(folder / one.id) for one in table_checkpoints.of_agent(database.read, agent_id)
    }
    held = quarantine.held_bytes(folder, table.repository_path(settings, tenant_id, agent_id)) if sizes else 0

    def write(connection: sqlite3.Connection) -> None:
        for checkpoint_id, size in sizes.items():
            table_checkpoints.set_own_bytes(connection, checkpoint_id, size)
        table.set_quarantine_bytes(connection, agent_id, held)

    database.write(write)
    return held


def run(
    settings: Settings,
    order: Order,
    on_step: Callable[[int], None] = lambda _done: None,
    is_cancelled: threading.Event | None = None,
) -> Ending:
    """Let the upkeep process do an order. `on_step` hears 0 to 1000.

    Raises RepositoryLocked, Unavailable (a full disk), UpkeepFailed.
    """
    settings.borg_home.mkdir(parents=True, exist_ok=True, mode=0o700)
    process = subprocess.Popen(
        [sys.executable, "-m", "saveos.repositories.upkeep"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    ending: Ending | None = None
    if is_cancelled is not None:
        threading.Thread(target=_kill_when, args=(process, is_cancelled), name="upkeep-end", daemon=True).start()
    with process:
        process.stdin.write(msgspec.json.encode(order))
        process.stdin.close()
        for line in process.stdout:
            said = msgspec.json.decode(line, type=Step | Ending)
            if isinstance(said, Ending):
                ending = said
            else:
                on_step(said.done)
        errors = process.stderr.read().decode(errors="replace")[-2000:]
    if is_cancelled is not None and is_cancelled.is_set():
        raise UpkeepFailed("Cancelled.")
    if ending is None and process.returncode < 0:  # killed: the next attempt goes on
        raise EngineError(f"The upkeep process was killed by signal {-process.returncode}.")
    if ending is None:
        raise UpkeepFailed(f"The upkeep process ended with {process.returncode}: {errors}")
    if ending.code == "repository-locked":
        raise RepositoryLocked(ending.message)
    if ending.code == "disk-full":
        raise Unavailable(ending.message)
    if ending.code:
        raise UpkeepFailed(ending.message)
    return ending


def _kill_when(process: subprocess.Popen[bytes], is_cancelled: threading.Event) -> None:
    """End the process once somebody wants that, however long it says nothing: Borg's log makes up for it."""
    while process.poll() is None:
        if is_cancelled.wait(WATCH_SECONDS):
            process.kill()
            return
