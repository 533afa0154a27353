"""A Borg repository that is not here: its index is, and of its segments come the pieces that are asked for.

Each object is still read by Borg's own code: its checksum and id are compared there, and whoever has the key
authenticates it. Source: borg/repository.py, 1.4.5.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from borg import __version__ as borg_version

from saveos.agent.distance import SOCKET, Line, Missing
from saveos.agent.engine import BORG_VERSION
from saveos.agent.engine_committed import Committed

if TYPE_CHECKING:
    from collections.abc import Callable


class Distant(Committed):
    """The commit of a copy. Raises Unreached at any time."""

    def __init__(self, folder: Path | str) -> None:
        """Open what was prepared in a folder: config, index, the segments that came later, and a line to the rest."""
        if borg_version != BORG_VERSION:
            message = f"A copy is read with Borg {BORG_VERSION}, not {borg_version}."
            raise RuntimeError(message)
        self._line = Line(Path(folder))
        super().__init__(folder, settle_seconds=0)
        self.io.get_fd = self._reading(self.io.get_fd)

    def close(self) -> None:
        """Let go of all, and hang up."""
        super().close()
        self._line.close()

    def get(self, id: bytes) -> bytes:  # noqa: A002 - Borg's name
        """Return an object. Raises ObjectNotFound."""
        try:
            return super().get(id)
        except Missing:
            raise self.ObjectNotFound(id, self.path) from None

    def _look(self) -> bool:
        number, last = self.get_index_transaction_id(), self.io.get_latest_segment()
        self.index = self.open_index(number)
        if last is not None and last > number:
            self._replay(number, last)
        self._number = number if last is None else max(number, last)
        return True

    def _reading(self, local: Callable[[int], Any]) -> Callable[[int], Any]:
        """Return Borg's `get_fd`, which opens a segment: here, or as a file that is read from afar."""

        def get_fd(segment: int) -> Any:
            return local(segment) if os.path.exists(self.io.segment_filename(segment)) else Afar(self._line, segment)  # noqa: PTH110

        return get_fd

    scan = Committed._forbidden  # noqa: SLF001 - it goes through all segments


class Afar:
    """A segment as a file, as far as Borg reads an object."""

    def __init__(self, line: Line, segment: int) -> None:
        """Nothing is asked yet."""
        self._line, self._segment, self._at = line, segment, 0

    def seek(self, offset: int) -> int:
        """Go to a byte."""
        self._at = offset
        return offset

    def read(self, size: int) -> bytes:
        """Return what follows. Raises Missing, Unreached."""
        data = self._line.read(self._segment, self._at, size)
        self._at += len(data)
        return data


def repository_in(folder: Path | str) -> Committed:
    """Return the repository in a folder, or behind it, at its last commit. Raises Unsettled."""
    return Distant(folder) if (Path(folder) / SOCKET).exists() else Committed(folder)
