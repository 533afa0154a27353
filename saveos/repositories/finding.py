"""Finds Borg's repositories below a folder that may hold anything: bounded, read-only, through no link."""

from __future__ import annotations

import configparser
import contextlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.repositories import labels
from saveos.repositories.model import Label

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH = 8
FOLDERS_LIMIT = 200_000
CONFIG_LIMIT = 64 * 1024  # with the key in it, some 1 kB
OWN = frozenset({".quarantine", ".offsite"})  # checkpoints, which are repositories too
_ID = re.compile(r"[0-9a-f]{64}")


class FoundRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository. `changed_at`: of its newest segment; `label`: what stands beside it, if we wrote that once."""

    path: str
    repository_id: str
    bytes: int
    segments_count: int
    changed_at: datetime | None
    label: Label | None = None


def below(folder: Path) -> list[FoundRepository]:
    """Return the repositories in a folder and below it, by path. Folders that cannot be read are passed over."""
    return [_look(path, repository_id) for path, repository_id in sorted(_walk(folder))]


def engine_id(folder: Path) -> str:
    """Return the id in a repository's `config`, "" where there is none that Borg 1 would read."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    with contextlib.suppress(OSError, ValueError, configparser.Error):
        parser.read_string(_text(folder / "config"))
        found = parser.get("repository", "id", fallback="").strip().lower()
        if parser.get("repository", "version", fallback="").strip() == "1" and _ID.fullmatch(found):
            return found
    return ""


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < FOLDERS_LIMIT:
        here, depth = waiting.pop()
        seen += 1
        try:
            entries = {entry.name: entry for entry in os.scandir(here)}
        except OSError:
            continue
        data = entries.get("data")
        if data is not None and data.is_dir(follow_symlinks=False) and (found := engine_id(here)):
            yield here, found
        elif depth < DEPTH:
            inner = [entry for entry in entries.values() if entry.name not in OWN]
            waiting += [(Path(entry.path), depth + 1) for entry in inner if entry.is_dir(follow_symlinks=False)]


def _look(path: Path, repository_id: str) -> FoundRepository:
    size = count = 0
    newest = 0.0
    for status in _segments(path / "data"):
        size, count, newest = size + status.st_size, count + 1, max(newest, status.st_mtime)
    label = labels.read(path)
    return FoundRepository(
        path=str(path),
        repository_id=repository_id,
        bytes=size,
        segments_count=count,
        changed_at=datetime.fromtimestamp(newest, UTC) if count else None,
        label=label if label and label.repository_id == repository_id else None,
    )


def _segments(data: Path) -> Iterator[os.stat_result]:
    for folder in _entries(data):
        if folder.is_dir(follow_symlinks=False):
            for entry in _entries(Path(folder.path)):
                if entry.name.isdigit() and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        yield entry.stat(follow_symlinks=False)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def _text(path: Path) -> str:
    """Read a small file that is no link, no pipe and no device. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(CONFIG_LIMIT + 1)
    if len(content) > CONFIG_LIMIT:
        raise ValueError("too large")
    return content.decode()
