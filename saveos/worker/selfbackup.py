"""The job that backs the appliance itself up: to a folder, then to the store."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.errors import Conflict
from saveos.offsite import stores
from saveos.offsite.model import LockMode
from saveos.offsite.objects import Lock
from saveos.protocol import Kind
from saveos.repositories import labels, space, table_checkpoints
from saveos.selfbackup import making, orders, places, table

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.offsite.model import Store
    from saveos.selfbackup.making import Made
    from saveos.worker.queue import Running


class SelfBackup:
    """The handler of the job, and its tick."""

    def __init__(self, settings: Settings, database: Database, settings_file: Path) -> None:
        """Keep what is needed."""
        self._settings, self._database, self._settings_file = settings, database, settings_file
        self._labelled = -1

    def handlers(self) -> dict[Kind, Callable[[Running], str]]:
        """Return what to do per kind."""
        return {Kind.SELF_BACKUP: self.make}

    def tick(self) -> None:
        """Ask for one when something changed, or the night has come; keep what stands beside repositories true."""
        changes = table.state(self._database.read).changes
        if changes != self._labelled:
            labels.refresh(self._database, self._settings)
            self._labelled = changes
        if orders.is_wanted(self._database):
            self._database.write(orders.queue_due)

    def make(self, running: Running) -> str:
        """Make one, keep it here, send it to the store, and let old ones go."""
        found = orders.home(self._database.read)
        if found is None:
            raise Conflict("There is no recovery kit to seal it to.")
        space.require_half(self._settings)
        began = time.monotonic()
        running.say("", phase="sealing")
        made = making.make(self._settings, self._settings_file, found[1], stores.appliance_id(self._database))
        self._keep(made, time.monotonic() - began)
        places.let_go(self._settings.self_backups)
        store = orders.store_of(self._database.read, found[0])
        if store is None:
            return f"{made.path.name}: {made.bytes} bytes, on this machine alone."
        self._send(running, made, store)
        self._database.write(
            lambda connection: table.set_state(connection, store_made_at=clock.to_text(made.named.made_at))
        )
        return f"{made.path.name}: {made.bytes} bytes, here and in the store."

    def _keep(self, made: Made, seconds: float) -> None:
        """Note it as made before it travels: a store that is away is no reason to make it again and again."""

        def write(connection: sqlite3.Connection) -> None:
            table.set_state(
                connection,
                name=made.path.name,
                bytes=made.bytes,
                seconds=round(seconds, 3),
                made_at=clock.to_text(made.named.made_at),
                covered_changes=made.state.changes,
                covered_records=made.state.records,
            )

        self._database.write(write)

    def _send(self, running: Running, made: Made, store: Store) -> None:
        bucket = stores.bucket_of(self._database, self._settings, store, running.is_cancelled)
        stores.hold(self._database, bucket, store)
        done = 0

        def hear(more: int) -> None:
            nonlocal done
            done += more
            running.say("", phase="uploading", done=done, total=max(1, made.bytes))

        depot = places.Depot(bucket)
        depot.send(made.path, made.sha256, self._lock(store), hear)
        depot.let_go()

    def _lock(self, store: Store) -> Lock | None:
        """Return how it is locked: as long as generations of repositories are kept at least."""
        if store.place.lock_mode is LockMode.OFF:
            return None
        tenant_id = orders.home(self._database.read)
        days = store.place.keep_days or table_checkpoints.quarantine_days(
            self._database.read, tenant_id[0] if tenant_id else ""
        )
        return Lock(mode=store.place.lock_mode, until=clock.now() + timedelta(days=max(days, 1)))
