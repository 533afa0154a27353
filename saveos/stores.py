"""What lies on disk, opened: all that the command line needs, and what a serving process begins with.

Light: a command waits for no web framework.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.certificates import authority as authorities
from saveos.certificates.authority import Authority
from saveos.config import Settings
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import AlreadyRunning, Unavailable
from saveos.installers import updates
from saveos.offsite import orders as offsite_orders
from saveos.proofs import checks, drills, verifications
from saveos.protocol import NOT_IN_BACKUPS, Kind
from saveos.selfbackup import orders as selfbackup_orders
from saveos.snapshots import backup, pruning, restore
from saveos.worker.upkeep import endings as upkeep_endings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stores(msgspec.Struct, frozen=True, kw_only=True):
    """Database and authority, with the settings that say where they lie."""

    settings: Settings
    database: Database
    authority: Authority


@contextlib.contextmanager
def open_stores(settings: Settings) -> Iterator[Stores]:
    """Open (and on the first start make) database and authority; close them at the end."""
    folder = settings.folder
    os.umask(0o077)  # what is written here is for its owner alone
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        migrate(settings.database)
        authority = authorities.open_authority(settings.authority)
        for kept_out in (settings.repositories, settings.catalogues):
            kept_out.mkdir(exist_ok=True, mode=0o700)
            (kept_out / NOT_IN_BACKUPS).touch(mode=0o600)
    except OSError as error:
        message = f"The data folder {folder} cannot be used: {error}."
        raise Unavailable(message) from error
    database = Database(settings.database)
    try:
        yield Stores(settings=settings, database=database, authority=authority)
    finally:
        database.close()


@contextlib.contextmanager
def hold(settings: Settings) -> Iterator[None]:
    """Hold the data folder: one serving process at a time. Raises AlreadyRunning."""
    os.umask(0o077)
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with settings.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            message = (
                f"Another SaveOS (process {lock.read().strip() or 'unknown'}) serves {settings.folder}."
                " Stop it first, or use another folder with --data."
            )
            raise AlreadyRunning(message) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def endings_of(stores: Stores) -> dict[Kind, Any]:
    """Return what else happens, in the same transaction, when a job of a kind ends."""
    settings = stores.settings
    endings: dict[Kind, Any] = {
        Kind.BACKUP: backup.after_backup(settings),
        Kind.PRUNE: pruning.after_prune(settings),
        Kind.RESTORE: restore.record_end,
        Kind.CHECK: checks.record_end,
        Kind.DRILL: drills.ending(stores.authority.root_pem),
        Kind.OFFSITE_DRILL: drills.ending(stores.authority.root_pem),
        Kind.VERIFY: verifications.record_end,
        Kind.BUILD_AGENT: updates.after_build(settings),
        Kind.OFFSITE: offsite_orders.record_end,
        Kind.SELF_BACKUP: selfbackup_orders.record_end,
    }
    return endings | upkeep_endings(settings)
