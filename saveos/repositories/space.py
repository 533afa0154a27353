"""Is there room on the disk for backups? A reserve is kept, for the database, for finishing, and for people."""

from __future__ import annotations

import shutil
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import SaveOSError
from saveos.identity.principals import Permission
from saveos.tenants import facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

RETRY_SECONDS = 300
LOOKS_KEPT, LOOKS_AHEAD = 5, 2  # it fills in bursts
CALM_SECONDS = 30.0  # so long there has to be room again
CALM_LIMIT_SECONDS = 3600.0
RELAPSE_SECONDS = 3600.0  # full again so soon after it came back: the wait doubles
FULL = "The appliance's disk is full: no backup can be taken until space is made."


class DiskFull(SaveOSError):
    """Less is free than the reserve."""

    code = "disk-full"
    status = 507


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """How the disk stands. `is_full`: no backups; `is_lost`: the reserve is being eaten, nothing is to be written."""

    free_bytes: int
    is_full: bool
    is_lost: bool


class Gauge:
    """Decides when backups stop and when they may go on; pure, but for what it remembers."""

    def __init__(self, reserve_bytes: int, *, is_full: bool = False) -> None:
        """`is_full`: how a former process left it."""
        self._reserve = reserve_bytes
        self.is_full = is_full
        self._last: int | None = None
        self._falls: deque[int] = deque(maxlen=LOOKS_KEPT)
        self._calm_since: float | None = None
        self._back_at: float | None = None
        self._patience = CALM_SECONDS

    def look(self, free_bytes: int, now: float) -> bool:
        """Return whether backups are to wait. `now`: seconds of any clock that only goes forward.

        Full is when the reserve would be touched before the next looks, as fast as the disk filled lately. There is
        room when a quarter more than the reserve has been free for a while: a backup that is too large for what
        its own end sets free is not begun again and again.
        """
        self._falls.append(max(0, (self._last if self._last is not None else free_bytes) - free_bytes))
        self._last = free_bytes
        ahead = min(LOOKS_AHEAD * max(self._falls), self._reserve)
        if not self.is_full and free_bytes - ahead < self._reserve:
            is_relapse = self._back_at is not None and now - self._back_at < RELAPSE_SECONDS
            self._patience = min(self._patience * 2, CALM_LIMIT_SECONDS) if is_relapse else CALM_SECONDS
            self.is_full, self._calm_since = True, None
        elif self.is_full and free_bytes >= self._reserve + self._reserve // 4:
            self._calm_since = now if self._calm_since is None else self._calm_since
            if now - self._calm_since >= self._patience:
                self.is_full, self._back_at = False, now
        else:
            self._calm_since = None
        return self.is_full


class Watch:
    """Looks at the disks of repositories and database."""

    def __init__(
        self, settings: Settings, *, is_full: bool = False, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is looked at yet."""
        self._settings, self._seconds = settings, seconds
        self._gauge = Gauge(settings.reserve_bytes, is_full=is_full)

    def look(self) -> Space:
        """Return how the disk stands now."""
        free = free_bytes(self._settings)
        is_full = self._gauge.look(free, self._seconds())
        return Space(free_bytes=free, is_full=is_full, is_lost=free < self._settings.reserve_bytes // 4)

    def require(self, *, is_pruning: bool) -> None:
        """Refuse to write when the disk is nearly full; what is deleted by order may still be. Raises DiskFull."""
        free, reserve = free_bytes(self._settings), self._settings.reserve_bytes
        if free < reserve // 4 or (not is_pruning and (self._gauge.is_full or free < reserve)):
            raise DiskFull(FULL, free_bytes=free, retry_seconds=RETRY_SECONDS)


def require_half(settings: Settings) -> None:
    """Refuse what needs some room to make room, when less than half of the reserve is left. Raises DiskFull."""
    free = free_bytes(settings)
    if free < settings.reserve_bytes // 2:
        raise DiskFull(FULL, free_bytes=free, retry_seconds=RETRY_SECONDS)


def is_lost(settings: Settings) -> bool:
    """Return whether the reserve is nearly used up."""
    return free_bytes(settings) < settings.reserve_bytes // 4


def full_since(database: Database, principal: Principal) -> datetime | None:
    """Return since when backups wait for room on the disk; None: they do not."""
    principal.require(Permission.READ)
    return facts.disk_full_at(database)


def free_bytes(settings: Settings) -> int:
    """Return what is free on the disk of the repositories or of the database, whichever is less."""
    return min(shutil.disk_usage(_existing(folder)).free for folder in (settings.repositories, settings.folder))


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())
