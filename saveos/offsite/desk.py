"""What one job on a host's offsite copy works with, and what it can look up in the bucket."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.database.connection import Database
from saveos.errors import ObjectAltered
from saveos.offsite import layout
from saveos.offsite.bucket import Bucket
from saveos.offsite.model import LockMode, Store
from saveos.offsite.objects import Lock
from saveos.repositories.model import Repository

if TYPE_CHECKING:
    from saveos.offsite.layout import Manifest
    from saveos.offsite.model import Generation
    from saveos.offsite.objects import Listed

MANIFEST_LIMIT = 256 * 1024**2  # a terabyte takes some three


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What one job on a host's copy works with. `keep`: of generations; `hear`: of a thousand, how much is done.

    `column_key`: the file of the key that signs manifests.
    """

    database: Database
    column_key: Path
    store: Store
    bucket: Bucket
    repository: Repository
    keep: timedelta
    is_cancelled: threading.Event
    hear: Callable[[str, int], None]

    @property
    def folder(self) -> str:
        """Where the host's copy lies in the bucket."""
        prefix = self.store.place.prefix
        return layout.host_folder(prefix, self.repository.tenant_id, self.repository.agent_id)

    def lock(self) -> Lock | None:
        """Return how what is written now is locked: twice as long as it is kept, and longer once half of it is over.

        So each generation is locked for as long as it is kept at least, with one call for a segment in all that time.
        """
        if self.store.place.lock_mode is LockMode.OFF or not self.keep:
            return None
        return Lock(mode=self.store.place.lock_mode, until=clock.now() + 2 * self.keep)


def numbers_there(desk: Desk) -> list[int]:
    """Return the numbers of the generations that are in the bucket, whoever wrote them."""
    entries = desk.bucket.listing(layout.below(desk.folder, "generations") + "/")
    return [number for entry in entries if (number := layout.generation_number(entry.key)) >= 0]


def listed(desk: Desk, *, with_versions: bool) -> dict[tuple[str, str], Listed]:
    """Return what is in the store of the host's segments, by key below its folder and version, marks too."""
    entries = desk.bucket.listing(layout.below(desk.folder, "segments") + "/", with_versions=with_versions)
    cut = len(desk.folder) + 1
    return {(entry.key[cut:], entry.version_id): entry for entry in entries}


def read_manifest(bucket: Bucket, folder: str, generation: Generation) -> Manifest:
    """Return what a generation's manifest says. Raises ObjectMissing, ObjectAltered."""
    key = layout.below(folder, generation.key)
    content = bucket.read_whole(key, generation.version_id, limit_bytes=MANIFEST_LIMIT)
    if hashlib.sha256(content).hexdigest() != generation.sha256:
        raise ObjectAltered("A manifest in the store is not what was written.", key=generation.key)
    return layout.decoded(content)
