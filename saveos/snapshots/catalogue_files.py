"""Where catalogues lie: `catalogues/<tenant>/<agent>.db`, beside it what came in and what is sealed.

Those of sealed names lie in memory, the same way, while their hosts are unlocked (`catalogue_memory`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from saveos.snapshots import catalogue_memory as memory
from saveos.snapshots import catalogue_pool as pool

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings


def catalogue(settings: Settings, tenant_id: str, agent_id: str) -> Path:
    """Return the path of an agent's catalogue."""
    return settings.catalogues / tenant_id / f"{agent_id}.db"


def to_read(settings: Settings, tenant_id: str, agent_id: str) -> Path:
    """Return the path of an agent's catalogue, or of the one in memory if there is none but that."""
    path = catalogue(settings, tenant_id, agent_id)
    if not path.exists() and (folder := memory.folder(settings)):
        return opened(folder, tenant_id, agent_id)
    return path


def opened(folder: Path, tenant_id: str, agent_id: str) -> Path:
    """Return the path of an agent's catalogue in memory."""
    return folder / tenant_id / f"{agent_id}.db"


def opening(folder: Path, tenant_id: str, agent_id: str) -> Path:
    """Return where an agent's opened listings wait in memory; there is such a folder while they are brought in."""
    return folder / tenant_id / f"{agent_id}.opening"


def is_being_opened(settings: Settings, tenant_id: str, agent_id: str) -> bool:
    """Return whether an agent's sealed listings are being opened."""
    folder = memory.folder(settings)
    return folder is not None and opening(folder, tenant_id, agent_id).exists()


def incoming(settings: Settings, tenant_id: str, agent_id: str) -> Path:
    """Return where an agent's listings wait: a folder for each snapshot, with the parts."""
    return settings.catalogues / tenant_id / f"{agent_id}.incoming"


def sealed(settings: Settings, tenant_id: str, agent_id: str) -> Path:
    """Return where an agent's sealed listings are kept."""
    return settings.catalogues / tenant_id / f"{agent_id}.sealed"


def part_name(number: int) -> str:
    """Return the file name of a part."""
    return f"{number:04d}"


def size_of(folder: Path) -> int:
    """Return the bytes of all parts below a folder; what is deleted meanwhile does not count."""
    size = 0
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def sync(folder: Path) -> None:
    """Make sure that what a folder names outlasts a power failure. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(settings: Settings, tenant_id: str, agent_id: str) -> None:
    """Delete all of an agent's: it can be made anew."""
    remove_catalogue(settings, tenant_id, agent_id)
    for folder in (incoming, sealed):
        shutil.rmtree(folder(settings, tenant_id, agent_id), ignore_errors=True)
    close(settings, tenant_id, agent_id)


def remove_catalogue(settings: Settings, tenant_id: str, agent_id: str) -> None:
    """Delete an agent's catalogue and the one that is being made; what came in stays."""
    path = catalogue(settings, tenant_id, agent_id)
    for each in (path.with_suffix(".making"), path):
        _remove(each)


def remove_readable(settings: Settings, tenant_id: str) -> None:
    """Delete what can be read of all hosts of a tenant, whether or not anything else is known of them."""
    folder = settings.catalogues / tenant_id
    for path in [*folder.glob("*.making*"), *folder.glob("*.db*")]:
        agent_id = path.name.partition(".")[0]
        remove_catalogue(settings, tenant_id, agent_id)
    for path in folder.glob("*.incoming"):
        shutil.rmtree(path, ignore_errors=True)


def close(settings: Settings, tenant_id: str, agent_id: str) -> None:
    """Delete what lies in memory of an agent."""
    if folder := memory.folder(settings):
        path = opened(folder, tenant_id, agent_id)
        for each in (path, path.with_suffix(".making"), path.with_suffix(".lock")):
            _remove(each)
        shutil.rmtree(opening(folder, tenant_id, agent_id), ignore_errors=True)


def _remove(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    pool.drop(path)
