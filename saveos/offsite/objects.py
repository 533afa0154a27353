"""Objects of a store: how they are locked, listed and held."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from saveos.offsite.model import LockMode


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """How an object is kept by the store itself."""

    mode: LockMode
    until: datetime

    def words(self) -> dict[str, Any]:
        """Return it as S3 is told."""
        return {"ObjectLockMode": self.mode.value.upper(), "ObjectLockRetainUntilDate": self.until}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an object in a listing, or a mark that hides an older one."""

    key: str
    bytes: int
    modified_at: datetime
    version_id: str = ""
    is_latest: bool = True
    is_marker: bool = False


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of an object. `sha256`: as we noted it; `checksum`: its own, hex, of objects in one piece."""

    bytes: int
    version_id: str
    sha256: str
    checksum: str
    locked_until: datetime | None
