"""What lies in the memory of a process, and in files: searched for secrets."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIECE = 8 * 1024**2


def secrets_in_process(pid: int, secrets: Mapping[str, bytes]) -> set[str]:
    """Return the names of the secrets in a process's writable memory. Needs to be root, or of its user."""
    found: set[str] = set()
    longest = max(map(len, secrets.values()))
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in _regions(pid):
            at = start
            while at < end:
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(at)
                    piece = memory.read(min(PIECE + longest, end - at))
                    found |= {name for name, secret in secrets.items() if secret in piece}
                at += PIECE
    return found


def secrets_in_folder(folder: Path, secrets: Mapping[str, bytes]) -> set[str]:
    """Return the names of the secrets in any file below a folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    return {name for path in files for name, secret in secrets.items() if secret in path.read_bytes()}


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, rights = line.split()[:2]
        if rights.startswith("rw"):
            start, end = (int(number, 16) for number in span.split("-"))
            yield start, end
