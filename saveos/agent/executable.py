"""The agent as a file: which build it is, the stamp at its end, and a clean environment to start it in."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.agent.settings import is_frozen, stamp_size

if TYPE_CHECKING:
    from typing import BinaryIO

CHUNK_BYTES = 1 << 20
_LOADER = ("_PYI_", "_MEI", "PYINSTALLER_")


def own_path() -> Path:
    """Return where this executable lies."""
    return Path(sys.executable)


@cache
def own_build() -> str:
    """Return the SHA-256 of this executable without its stamp; empty when it runs from source, or is gone.

    Read once, at the start: later the file may be its successor.
    """
    if not is_frozen():
        return ""
    try:
        with own_path().open("rb") as file:
            return digest(file, own_path().stat().st_size - stamp_size(file))
    except OSError:
        return ""


def digest(file: BinaryIO, size: int) -> str:
    """Return the SHA-256 of the first `size` bytes of a file."""
    whole = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
        whole.update(chunk)
        size -= len(chunk)
    return whole.hexdigest()


def stamp_of(path: Path) -> bytes:
    """Return the bytes that stamp an executable, empty when there are none."""
    with path.open("rb") as file:
        size = stamp_size(file)
        file.seek(-size, os.SEEK_END)
        return file.read()


def system_environment() -> dict[str, str]:
    """Return our environment as it was before the loader of this one-file executable set its own things."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LOADER)}
    original = kept.pop("LD_LIBRARY_PATH_ORIG", None)
    if is_frozen():
        kept.pop("LD_LIBRARY_PATH", None)
    return kept | ({"LD_LIBRARY_PATH": original} if original else {})


def fresh_environment() -> dict[str, str]:
    """Return the environment for another executable of ours: its loader must unpack anew."""
    return system_environment() | {"PYINSTALLER_RESET_ENVIRONMENT": "1"}
