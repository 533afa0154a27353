"""A small file beside each repository: whose it is, and its key as it was sealed to the recovery kit.

With it, the folder of the repositories and the kit are enough when all else is lost. It is written anew whenever it is
not what the database says, so that nobody has to remember it.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol import TenantId
from saveos.repositories import table
from saveos.repositories.evidence import sync
from saveos.repositories.model import LABEL_FORMAT, Label

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings
    from saveos.database.connection import Database

SUFFIX = ".saveos.json"
LIMIT = 64 * 1024


def refresh(database: Database, settings: Settings) -> int:
    """Write the files that are missing or say something else; return how many. One that cannot be written is left."""
    count = 0
    for label in table.labels(database.read):
        repository = table.repository_path(settings, TenantId(label.tenant_id), label.agent_id)
        path, content = place(repository), msgspec.json.format(msgspec.json.encode(label), indent=1)
        with contextlib.suppress(OSError):
            if repository.is_dir() and _read(path) != content:
                _write(path, content)
                count += 1
    return count


def place(repository: Path) -> Path:
    """Return where the label of a repository lies."""
    return repository.with_name(repository.name + SUFFIX)


def read(repository: Path) -> Label | None:
    """Return what stands beside a repository, whoever wrote it; None: nothing that we understand."""
    try:
        label = msgspec.json.decode(_read(place(repository)), type=Label)
    except (OSError, msgspec.MsgspecError):
        return None
    return label if label.format == LABEL_FORMAT else None


def _read(path: Path) -> bytes:
    """Return what is in a file, at most what one of ours holds; nothing where there is none. Raises OSError."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(LIMIT)
    except FileNotFoundError:
        return b""


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync(path.parent)
