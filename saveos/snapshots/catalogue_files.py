"""Where catalogues lie: `catalogues/<tenant>/<agent>.db`, beside it what came in and what is sealed."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings


def catalogue(settings: Settings, tenant_id: str, agent_id: str) -> Path:
    """Return the path of an agent's catalogue."""
    return settings.catalogues / tenant_id / f"{agent_id}.db"


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


def remove(settings: Settings, tenant_id: str, agent_id: str) -> None:
    """Delete all of an agent's: it can be made anew."""
    path = catalogue(settings, tenant_id, agent_id)
    for ending in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + ending).unlink()
    for folder in (incoming, sealed):
        shutil.rmtree(folder(settings, tenant_id, agent_id), ignore_errors=True)
