"""What the worker does to repositories: carry retention out, compact, roll back, let old checkpoints go."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import Conflict, NotFound, RepositoryLocked, SaveOSError, UpkeepFailed
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.proofs import damages
from saveos.protocol import AgentId, Kind
from saveos.repositories import evidence, maintenance, quarantine, quotas, sizing, space, table_checkpoints
from saveos.repositories import table as repositories
from saveos.repositories.model import CheckpointWhy
from saveos.repositories.space import FULL, DiskFull
from saveos.repositories.upkeep import Ending, Order
from saveos.snapshots import catalogue_files, checkpoints, pruning, rebuilding, table_protection, witness
from saveos.snapshots.outcomes import Ended, told

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.protocol import JobReport
    from saveos.repositories.model import Repository
    from saveos.repositories.sessions import Sessions
    from saveos.worker.queue import Running

    Handler = Callable[[Running], str]

log = logging.getLogger("saveos.upkeep")
LEAVE_SECONDS = 60.0


def endings(settings: Settings) -> dict[Kind, Callable[[sqlite3.Connection, Job, State, JobReport], None]]:
    """Return what else the end of a job means, however it comes: hosts may write again."""

    def after(connection: sqlite3.Connection, job: Job, _state: State, _report: JobReport) -> None:
        repository = repositories.of_agent(connection, job.agent_id) if job.agent_id else None
        if repository is None or repository.upkeep_job != job.id:
            return
        if job.kind is Kind.COMPACT:  # wherever it was cut off, nobody else has written since it began
            folder = repositories.repository_path(settings, repository.tenant_id, repository.agent_id)
            repositories.set_settled(connection, repository.agent_id, evidence.last_commit(folder))
        repositories.end_upkeep(connection, repository.agent_id, job.id)

    return {Kind.COMPACT: after, Kind.ROLL_BACK: after}


def _keep_spare(connection: sqlite3.Connection, checkpoint_id: str, *, is_there: bool) -> None:
    """Call what stood there a checkpoint; where nothing did, there is none."""
    if is_there:
        table_checkpoints.set_made(connection, checkpoint_id)
    else:
        table_checkpoints.drop(connection, checkpoint_id)


class Upkeep:
    """The handlers of the appliance's own jobs on repositories."""

    def __init__(self, settings: Settings, database: Database, sessions: Sessions) -> None:
        """Keep what is needed."""
        self._settings, self._database, self._sessions = settings, database, sessions

    def handlers(self) -> dict[Kind, Handler]:
        """Return what to do per kind."""
        return {Kind.RETENTION: self.retain, Kind.COMPACT: self.compact, Kind.ROLL_BACK: self.roll_back}

    def retain(self, running: Running) -> str:
        """Decide, keep a checkpoint, and order the host to delete."""
        repository = self._repository(running.job)
        decided = {snapshot.id for snapshot in pruning.going(self._database.read, repository)}
        if decided:
            self._require_rest(repository)
            running.say(f"{len(decided)} snapshots are to go. A checkpoint of the repository is kept.")
            moment = evidence.last_commit(self._folder(repository))
            maintenance.keep(self._database, self._settings, repository, CheckpointWhy.RETENTION, moment=moment)
        count = self._database.write(lambda connection: pruning.order(connection, running.job, decided))
        if not jobs.waiting_of(self._database.read, repository.agent_id, Kind.PRUNE):
            return told(Ended.NOTHING)
        return told(Ended.ORDERED, count=count)

    def compact(self, running: Running) -> str:
        """Give the room of deleted archives back; a checkpoint of what was before them is kept.

        Whoever reads already would lose the ground under their feet: it waits for them. Who begins to read meanwhile
        may meet a segment that is gone, and fails: each object is checked, so that nothing else is read for it.
        """
        if self._sessions.is_held(AgentId(running.job.agent_id or ""), is_reading_too=True):
            raise RepositoryLocked("The repository is being read or written; this is tried again.")
        repository = self._begin(running.job)
        if repository.frozen_at is not None:
            return told(Ended.FROZEN)
        self._keep_before(repository, running.job)
        ending = self._compact(running, self._folder(repository))
        self._database.write(
            lambda connection: repositories.set_compacted(connection, repository.agent_id, ending.segment)
        )
        prune_job = running.job.order["prune_job"]
        removed = table_protection.removed_by(self._database.read, repository.agent_id, prune_job)
        rebuilding.forget(self._database, self._settings, repository.tenant_id, repository.agent_id, removed)
        held = maintenance.measure(self._database, self._settings, repository.tenant_id, repository.agent_id)
        quotas.note_written(self._database, self._settings, repository.agent_id)
        return told(Ended.COMPACTED, freed_bytes=ending.freed_bytes, held_bytes=held)

    def roll_back(self, running: Running) -> str:
        """Let a repository be what a checkpoint was."""
        if "settled_at" not in running.job.order:  # else it was cut off after that: the host may have written since
            self._replace(running)
        repository = self._repository(running.job)
        catalogue_files.remove(self._settings, repository.tenant_id, repository.agent_id)
        maintenance.measure(self._database, self._settings, repository.tenant_id, repository.agent_id)
        quotas.note_written(self._database, self._settings, repository.agent_id)
        now = jobs.get(self._database.read, running.job.id) or running.job
        return told(Ended.ROLLED_BACK, count=len(now.order.get("came_back", ())))

    def _replace(self, running: Running) -> None:
        repository = self._begin(running.job, is_forced=True)
        checkpoint = table_checkpoints.get(self._database.read, running.job.order["checkpoint"])
        if checkpoint is None:
            raise NotFound("The checkpoint is not there any more.")
        folder, place = self._folder(repository), self._place(repository, checkpoint.id)
        spare = maintenance.note(
            self._database,
            repository,
            CheckpointWhy.ROLL_BACK,
            moment=evidence.last_commit(folder) if folder.exists() else -1,
            job_id=running.job.id,
        )
        spare_place = self._place(repository, spare.id)
        if not spare_place.exists():  # else it was cut off after this
            running.say("The repository of then is put together; its index is made anew if needed", phase="indexing")
            try:
                following = quarantine.prepare(folder, place)
                maintenance.run(self._settings, Order(repository=str(following), home=str(self._settings.borg_home)))
            except SaveOSError:
                quarantine.give_up(folder)
                raise
        quarantine.swap(folder, spare_place)
        self._database.write(lambda connection: _keep_spare(connection, spare.id, is_there=spare_place.exists()))
        segment = evidence.last_commit(folder)

        def settle(connection: sqlite3.Connection) -> None:
            checkpoints.settle_roll_back(connection, running.job, checkpoint, segment)
            damages.rolled_back(connection, checkpoint.tenant_id, checkpoint.agent_id)

        self._database.write(settle)

    def _compact(self, running: Running, folder: Path) -> Ending:
        """Compact, unless the disk's reserve is used up over it: what a checkpoint holds is written once more."""

        def note(done: int) -> None:
            running.say("", phase="compacting", done=done, total=1000)
            if space.is_lost(self._settings):
                running.is_cancelled.set()

        space.require_half(self._settings)
        order = Order(repository=str(folder), home=str(self._settings.borg_home), compact=True)
        try:
            return maintenance.run(self._settings, order, note, running.is_cancelled)
        except UpkeepFailed as error:
            if not space.is_lost(self._settings):
                raise
            running.is_cancelled.clear()  # nobody has cancelled it: it waits for room
            raise DiskFull(FULL) from error

    def tidy(self) -> None:
        """Give the room back that sessions took which were cut off; let checkpoints go whose time is over."""
        for repository in repositories.everything(self._database.read):
            try:
                self._clear_away(repository)
            except (OSError, SaveOSError):
                log.exception("What was left of %s could not be cleared away.", repository.agent_id)
        for checkpoint in table_checkpoints.expired(self._database.read):
            try:
                maintenance.let_go(self._database, self._settings, checkpoint)
                maintenance.measure(self._database, self._settings, checkpoint.tenant_id, checkpoint.agent_id)
            except (OSError, SaveOSError):
                log.exception("A checkpoint of %s could not be let go of.", checkpoint.agent_id)
        self._database.write(table_protection.forget_removed)

    def _clear_away(self, repository: Repository) -> None:
        maintenance.clear(self._database, self._settings, repository)
        folder = self._folder(repository)
        is_ours = not repository.upkeep_job and sizing.has_unfinished(folder)
        if is_ours and not self._sessions.is_held(repository.agent_id, is_reading_too=False):
            order = Order(repository=str(folder), home=str(self._settings.borg_home), clean=True)
            maintenance.run(self._settings, order)

    def keep_before_alarms(self) -> None:
        """Keep checkpoints of what was before each alarm that has none yet."""
        for repository in repositories.everything(self._database.read):
            if repository.frozen_at is not None:
                try:
                    checkpoints.keep_before_alarm(self._database, self._settings, repository.agent_id)
                except SaveOSError:
                    log.exception("What was before an alarm of %s could not be kept.", repository.agent_id)

    def _keep_before(self, repository: Repository, job: Job) -> None:
        """Keep what was before the deletion, unless a checkpoint shows just that: backups came since the last one."""
        moment, until = int(job.order["moment"]), clock.from_text(job.order["until"])
        since = table_protection.rolled_back_at(self._database.read, repository.agent_id)
        if table_checkpoints.at_moment(self._database.read, repository.agent_id, moment, since) is None:
            why = CheckpointWhy.RETENTION
            maintenance.keep(
                self._database, self._settings, repository, why, moment=moment, job_id=job.id, made_at=until
            )

    def _begin(self, job: Job, *, is_forced: bool = False) -> Repository:
        """Keep hosts from writing, wait until none does, and judge what they did. Raises RepositoryLocked.

        `is_forced`: whatever the host does is cancelled, and nobody reads either.
        """
        repository = self._repository(job)
        if not is_forced:
            self._require_rest(repository)
        is_ours = self._database.write(
            lambda connection: repositories.begin_upkeep(connection, repository.agent_id, job.id)
        )
        if not is_ours:
            raise RepositoryLocked("Another job of the appliance works on this repository.")
        deadline = time.monotonic() + LEAVE_SECONDS
        self._sessions.end_of(repository.agent_id, is_reading_too=is_forced)
        while self._sessions.is_held(repository.agent_id, is_reading_too=is_forced):
            if time.monotonic() >= deadline:
                raise RepositoryLocked("The host's session does not end.")
            time.sleep(0.1)
        witness.judge(self._database, self._settings, repository.agent_id)
        return self._repository(job)

    def _require_rest(self, repository: Repository) -> None:
        """Raise RepositoryLocked while the host runs a job that writes: no snapshot has it yet."""
        for kind in (Kind.BACKUP, Kind.PRUNE):
            waiting = jobs.waiting_of(self._database.read, repository.agent_id, kind)
            if any(job.state is State.RUNNING for job in waiting):
                raise RepositoryLocked("The host writes to its repository now; this is tried again.")

    def _repository(self, job: Job) -> Repository:
        repository = repositories.of_agent(self._database.read, AgentId(job.agent_id or ""))
        if repository is None:
            raise Conflict("The host has no repository.")
        return repository

    def _folder(self, repository: Repository) -> Path:
        return repositories.repository_path(self._settings, repository.tenant_id, repository.agent_id)

    def _place(self, repository: Repository, checkpoint_id: str) -> Path:
        return quarantine.place(self._settings, repository.tenant_id, repository.agent_id, checkpoint_id)
