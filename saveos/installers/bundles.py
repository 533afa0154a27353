"""Many executables as one ZIP: made while it is sent, stored as they are, each in a folder of its host's name."""

from __future__ import annotations

import zipfile
from typing import IO, TYPE_CHECKING, cast

from saveos import clock
from saveos.installers import stamp
from saveos.protocol import Platform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from saveos.protocol import Stamp

MODE = 0o100700  # a regular file that its owner may run
UNIX = 3


def file_name(platform: Platform) -> str:
    """Return how an agent's executable is called on a platform."""
    return "saveos-agent.exe" if platform is Platform.WINDOWS else "saveos-agent"


def stream(base: Path, payloads: Iterable[Stamp], platform: Platform) -> Iterator[bytes]:
    """Yield a ZIP of stamped executables in chunks. An executable does not become smaller by deflating it again."""
    sink = _Sink()
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED) as archive:
        for payload in payloads:
            entry = zipfile.ZipInfo(f"{payload.hostname}/{file_name(platform)}", clock.now().timetuple()[:6])
            entry.create_system, entry.external_attr = UNIX, MODE << 16
            entry.file_size = base.stat().st_size + stamp.stamped_size(payload)
            with archive.open(entry, "w") as file:
                for chunk in stamp.stream(base, payload):
                    file.write(chunk)
                    yield sink.take()
    yield sink.take()


class _Sink:
    """Where the ZIP is written to; it cannot be sought in, so sizes follow their contents."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        """Keep it until it is taken."""
        self._parts.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        """Nothing is kept back."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
