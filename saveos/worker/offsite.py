"""Jobs on offsite copies: copy a repository, verify its copy, fetch it back."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import Conflict, NotFound, ObjectMissing
from saveos.jobs import table as jobs
from saveos.offsite import copying, fetching, keeping, source, stores, verifying
from saveos.offsite import table as table_offsite
from saveos.offsite import table_states as table_offsite_states
from saveos.offsite.desk import Desk, read_manifest
from saveos.offsite.model import HIDDEN, LockMode
from saveos.protocol import AgentId, Kind
from saveos.repositories import maintenance, quarantine, space, table_checkpoints
from saveos.repositories import table as repositories
from saveos.repositories.model import CheckpointWhy
from saveos.repositories.space import FULL, DiskFull
from saveos.snapshots import learning, rehydrating

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.lifecycle import OnEnd
    from saveos.offsite.copying import Copied
    from saveos.offsite.keeping import LetGo
    from saveos.offsite.layout import Manifest
    from saveos.offsite.model import Generation
    from saveos.repositories.model import Checkpoint, Repository
    from saveos.worker.queue import Running

    Handler = Callable[[Running], str]

LEAST_DAYS = 7  # that what is being fetched is kept, finished or not


class Offsite:
    """The handlers of jobs on offsite copies."""

    def __init__(self, settings: Settings, database: Database, endings: Mapping[Kind, OnEnd]) -> None:
        """Keep what is needed."""
        self._settings, self._database, self._endings = settings, database, endings

    def handlers(self) -> dict[Kind, Handler]:
        """Return what to do per kind."""
        return {Kind.OFFSITE: self.copy, Kind.OFFSITE_VERIFY: self.verify, Kind.REHYDRATE: self.rehydrate}

    def copy(self, running: Running) -> str:
        """Copy a repository as it was at its last commit, and let old generations go."""
        desk = self._desk(running)
        if not desk.store.place.is_enabled:
            raise Conflict("Offsite copies are switched off.")
        stores.hold(self._database, desk.bucket, desk.store)
        with source.taken(self._database, self._settings, desk.repository) as (checkpoint, manifest):
            copied = copying.copy(desk, checkpoint, manifest)
        self._note(desk, copied, manifest)
        gone = keeping.let_go(desk)
        self._database.write(lambda connection: self._clear_findings(connection, desk))
        return _told(copied, gone)

    def verify(self, running: Running) -> str:
        """Look whether the copy is what was written."""
        desk = self._desk(running)
        verified = verifying.verify(desk, float(running.job.order.get("share", 1.0)))
        for finding in verified.findings:
            running.say(f"{finding.key}: {finding.what}.")
        self._database.write(
            lambda connection: table_offsite_states.set_state(
                connection,
                desk.repository.agent_id,
                desk.repository.tenant_id,
                store_id=desk.store.id,
                verified_at=clock.to_text(clock.now()),
                verified_share=float(running.job.order.get("share", 1.0)),
                findings_json=msgspec.json.encode(verified.findings).decode(),
            )
        )
        read = f"{verified.read_count} of {verified.segments_count} segments read, {verified.read_bytes} bytes"
        return f"{read}; {len(verified.damages)} damaged." if verified.damages else f"{read}; all as it was written."

    def rehydrate(self, running: Running) -> str:
        """Fetch a generation as a checkpoint, and have the repository rolled back to it."""
        if "roll_back" in running.job.order:  # it was cut off after that: the host may have written since
            return "It was fetched before; the roll-back follows, or has followed."
        desk = self._desk(running)
        number = int(running.job.order["generation"])
        if number == rehydrating.NEWEST:
            learning.learn(desk)  # what came there after the database was backed up
        known = table_offsite.generations(self._database.read, desk.store.id, desk.repository.agent_id)
        if number == rehydrating.NEWEST and not known:
            raise ObjectMissing("There is no copy of this repository in the store.")
        generation = next((one for one in known if number in (one.number, rehydrating.NEWEST)), None)
        if generation is None or running.job.order["store"] != desk.store.id:
            raise NotFound("There is no such generation any more.")
        checkpoint = self._checkpoint(desk.repository, generation, running.job.id)
        fetched = self._fetch(desk, generation, checkpoint.id)
        self._database.write(lambda connection: rehydrating.go_back(connection, running.job, checkpoint, self._endings))
        return f"{fetched.fetched_bytes} bytes fetched, {fetched.linked_bytes} were here still."

    def _checkpoint(self, repository: Repository, generation: Generation, job_id: str) -> Checkpoint:
        """Return the checkpoint that a generation becomes; one that was begun, or is there, is not fetched twice."""
        for known in table_checkpoints.of_agent(self._database.read, repository.agent_id):
            shown = (known.why, known.moment, known.made_at)
            if shown == (CheckpointWhy.OFFSITE, generation.moment, generation.made_at):
                return known
        return maintenance.note(
            self._database,
            repository,
            CheckpointWhy.OFFSITE,
            moment=generation.moment,
            job_id=job_id,
            made_at=generation.made_at,
            least_days=LEAST_DAYS,
        )

    def _fetch(self, desk: Desk, generation: Generation, checkpoint_id: str) -> fetching.Fetched:
        repository = desk.repository
        manifest = read_manifest(desk.bucket, desk.folder, generation)
        folder = repositories.repository_path(self._settings, repository.tenant_id, repository.agent_id)
        place = quarantine.place(self._settings, repository.tenant_id, repository.agent_id, checkpoint_id)

        def hear(phase: str, done: int) -> None:
            if space.is_lost(self._settings):
                raise DiskFull(FULL)
            desk.hear(phase, done)

        return fetching.fetch(msgspec.structs.replace(desk, hear=hear), manifest, folder, place)

    def tidy(self) -> None:
        """Remove what a copy was made of that was killed, and is not under way any more."""
        for folder in self._settings.offsite.glob("*/*"):
            if not jobs.waiting_of(self._database.read, AgentId(folder.name), Kind.OFFSITE):
                shutil.rmtree(folder, ignore_errors=True)

    def _desk(self, running: Running) -> Desk:
        """Lay out what a job works with. Raises NotFound, Conflict."""
        repository = repositories.of_agent(self._database.read, running.job.agent_id or "")
        store = table_offsite.store_of(self._database.read, running.job.tenant_id)
        if repository is None or store is None:
            raise NotFound("The host has no repository." if store else "There is no store for offsite copies.")
        days = store.place.keep_days or table_checkpoints.quarantine_days(self._database.read, repository.tenant_id)
        if store.place.lock_mode is not LockMode.OFF:
            days = max(days, 1)  # who asks for locks has some
        return Desk(
            database=self._database,
            column_key=self._settings.column_key,
            store=store,
            bucket=stores.bucket_of(self._database, self._settings, store, running.is_cancelled),
            repository=repository,
            keep=timedelta(days=days),
            is_cancelled=running.is_cancelled,
            hear=_Voice(running).hear,
        )

    def _note(self, desk: Desk, copied: Copied, manifest: Manifest) -> None:
        """Keep how the copy stands."""
        store_id, repository = desk.store.id, desk.repository
        newest = max((known.ended_at for known in manifest.snapshots), default=None)
        generation = copied.generation

        def write(connection: sqlite3.Connection) -> None:
            table_offsite_states.set_state(
                connection,
                repository.agent_id,
                repository.tenant_id,
                store_id=store_id,
                generation=generation.number,
                made_at=clock.to_text(generation.made_at),
                snapshot_at=table_offsite.moment_text(newest),
                bytes=generation.bytes,
                segments_count=generation.segments_count,
            )

        self._database.write(write)

    def _clear_findings(self, connection: sqlite3.Connection, desk: Desk) -> None:
        """Forget what was found damaged and is whole, as it was sent again, or gone, as no generation needed it."""
        store_id, repository = desk.store.id, desk.repository
        state = table_offsite_states.state_of(connection, repository.agent_id)
        stored = table_offsite.segments(connection, store_id, repository.agent_id)
        damaged = {one.key for one in stored if one.is_broken}
        damaged |= {one.key for one in table_offsite.generations(connection, store_id, repository.agent_id)}
        known = {one.key for one in stored}
        found = state.findings if state else ()
        findings = [one for one in found if one.key in (known if one.what == HIDDEN else damaged)]
        table_offsite_states.set_state(
            connection,
            repository.agent_id,
            repository.tenant_id,
            findings_json=msgspec.json.encode(findings).decode(),
        )


class _Voice:
    """Tells how far a job is; a line for each phase."""

    def __init__(self, running: Running) -> None:
        self._running, self._phase, self._done = running, "", -1

    def hear(self, phase: str, done: int) -> None:
        """Pass on what is new. By any thread."""
        if (phase, done) != (self._phase, self._done):
            line = "" if phase == self._phase else f"{phase.capitalize()} …"
            self._phase, self._done = phase, done
            self._running.say(line, phase=phase, done=done, total=1000)


def _told(copied: Copied, gone: LetGo) -> str:
    sent = f"{copied.sent_count} segments, {copied.sent_bytes} bytes sent"
    whole = f"generation {copied.generation.number} has {copied.generation.bytes} bytes"
    went = f"; {gone.generations_count} generations and {gone.freed_bytes} bytes let go" if gone.segments_count else ""
    return f"{sent}; {whole}{went}."
