"""What a recovered appliance does first: take its places in stores, learn what came there since, ask for repositories.

None of it is needed to serve. What cannot be done now, as a store is away, is done by the jobs that need it.
"""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag

from saveos.database.connection import Database
from saveos.errors import InvalidRequest, OtherKit, SaveOSError
from saveos.offsite import stores
from saveos.offsite import table as table_offsite
from saveos.offsite.desk import Desk
from saveos.repositories import sealing
from saveos.repositories import table as repositories
from saveos.selfbackup import table
from saveos.snapshots import learning, rehydrating

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from saveos.config import Settings
    from saveos.offsite.model import Store
    from saveos.protocol import EscrowContents
    from saveos.repositories.model import Label

REQUESTED_BY = "system:recover"


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `lost`: hosts whose repository is neither here nor in a copy, as far as is known."""

    asked_count: int = 0
    learned_count: int = 0
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def begin(settings: Settings, *, is_fetching: bool) -> Aftermath:
    """Do it in the recovered data folder, which nobody serves yet."""
    database = Database(settings.database)
    warnings, learned = [], 0
    try:
        for store in table_offsite.every_store(database.read):
            try:
                learned += _take(settings, database, store)
            except SaveOSError as error:
                warnings.append(f"{store.place.bucket} at {store.place.endpoint}: {error.message} It is tried again.")
        asked = 0
        if is_fetching:
            asked = database.write(lambda connection: rehydrating.queue_away(connection, REQUESTED_BY))
        lost = tuple(table.without_copy(database.read))
    finally:
        database.close()
    return Aftermath(asked_count=asked, learned_count=learned, lost=lost, warnings=tuple(warnings))


def open_label(label: Label, private: X25519PrivateKey) -> EscrowContents:
    """Open the key that stands beside a repository. Raises OtherKit, InvalidRequest (nothing is sealed there)."""
    if not label.seals:
        raise InvalidRequest("No sealed key stands beside this repository.")
    public = sealing.as_text(private.public_key().public_bytes_raw())
    for seal in label.seals:
        if seal.public_key == public:
            with contextlib.suppress(InvalidTag, ValueError, msgspec.MsgspecError):
                return sealing.open_with(private, seal.sealed, label.agent_id)
    raise OtherKit("This recovery code is of another kit than the key was sealed to.")


def _take(settings: Settings, database: Database, store: Store) -> int:
    """Take a store's prefix over, and learn of what came there since. Raises StorageError."""
    bucket = stores.bucket_of(database, settings, store)
    stores.hold(database, bucket, store)
    count = 0
    for repository in repositories.everything(database.read):
        known = table_offsite.store_of(database.read, repository.tenant_id)
        if repository.engine_id and known is not None and known.id == store.id:
            desk = Desk(
                database=database,
                column_key=settings.column_key,
                store=store,
                bucket=bucket,
                repository=repository,
                keep=timedelta(),
                is_cancelled=threading.Event(),
                hear=lambda _phase, _done: None,
            )
            count += learning.learn(desk)
    return count
