"""Make a base this host's own: append where the appliance is, whom to trust and the one-time token.

The trailer is the stamp as JSON, its length in 8 bytes (big-endian), and `STAMP_MAGIC`. The frozen agent reads it
at the end of its own file; PyInstaller's loader looks for its archive backwards and is not disturbed by it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from saveos.protocol import STAMP_MAGIC, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 18
LENGTH_BYTES = 8
PAYLOAD_LIMIT_BYTES = 1 << 20
MODE = 0o700


def trailer(payload: Stamp) -> bytes:
    """Return the bytes that stamp a base."""
    content = msgspec.json.encode(payload)
    return content + len(content).to_bytes(LENGTH_BYTES, "big") + STAMP_MAGIC


def stamped_size(payload: Stamp) -> int:
    """Return how many bytes the stamp adds to the base's size."""
    return len(trailer(payload))


def stream(base: Path, payload: Stamp) -> Iterator[bytes]:
    """Yield the stamped executable in chunks, without a copy on the disk."""
    with base.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield chunk
    yield trailer(payload)


def write(base: Path, payload: Stamp, output: Path) -> None:
    """Write the stamped executable, whole or not at all. Raises OSError."""
    handle, name = tempfile.mkstemp(dir=output.absolute().parent, prefix=f".{output.name}.")
    made = Path(name)
    try:
        with os.fdopen(handle, "wb") as target, base.open("rb") as source:
            shutil.copyfileobj(source, target, CHUNK_BYTES)
            target.write(trailer(payload))
            target.flush()
            os.fsync(target.fileno())
        made.chmod(MODE)
        made.replace(output)
    finally:
        made.unlink(missing_ok=True)


def read_back(path: Path) -> Stamp | None:
    """Return the stamp of an executable, or None if it has none that is whole."""
    with path.open("rb") as file:
        content = _payload(file)
    try:
        return msgspec.json.decode(content, type=Stamp) if content else None
    except msgspec.DecodeError:
        return None


def _payload(file: BinaryIO) -> bytes:
    size = file.seek(0, os.SEEK_END)
    foot = LENGTH_BYTES + len(STAMP_MAGIC)
    if size < foot:
        return b""
    file.seek(size - foot)
    length, magic = int.from_bytes(file.read(LENGTH_BYTES), "big"), file.read()
    if magic != STAMP_MAGIC or length > min(PAYLOAD_LIMIT_BYTES, size - foot):
        return b""
    file.seek(size - foot - length)
    return file.read(length)
