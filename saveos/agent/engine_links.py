"""Hard links whose content stands in an archive under a name that is not read along: found for many in one walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from saveos.agent import engine_items

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agent.engine_items import Stream

Name = TypeVar("Name")

WAITING_LIMIT = 8192  # names that wait; then they are looked for
MARKS_LIMIT = 16  # so many paths are looked for in the stream; of more every item is unpacked


class Links(Generic[Name]):
    """Names that wait for the item that has their content."""

    def __init__(self, stream: Stream) -> None:
        """Have none yet."""
        self._stream = stream
        self._waiting: dict[bytes, list[Name]] = {}
        self._count = 0

    @property
    def are_many(self) -> bool:
        """Whether they have to be looked for now."""
        return self._count >= WAITING_LIMIT

    def wait(self, source: bytes, name: Name) -> None:
        """Let a name wait for the item of the path `source`."""
        self._waiting.setdefault(source, []).append(name)
        self._count += 1

    def found(self) -> Iterator[tuple[bytes, dict[bytes, Any] | None, list[Name]]]:
        """Give each path with its item, None when there is none, and the names that waited. Raises Damaged."""
        waiting, self._waiting, self._count = self._waiting, {}, 0
        if not waiting:
            return
        marks = [engine_items.needle(source) for source in waiting] if len(waiting) <= MARKS_LIMIT else [b""]
        for _number, item in engine_items.items(self._stream, marks):
            source = item[b"path"]
            if b"part" not in item and source in waiting:
                yield source, item, waiting.pop(source)
            if not waiting:
                return
        for source, names in waiting.items():
            yield source, None, names
