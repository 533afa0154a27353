"""What was chosen of an archive, packed as a ZIP or a tar while it is read: files, folders and all that is in them."""

from __future__ import annotations

import posixpath
import stat
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from saveos.agent import engine_items
from saveos.agent.engine_archive import Opened, Refused, chosen_bytes, first_ids
from saveos.agent.engine_links import MARKS_LIMIT
from saveos.agent.engine_packers import Packer, Tarred, Zipped
from saveos.protocol import ReadForm, ReadOrder, entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

QUICK_LIMIT = 64  # so many files are found one by one before the whole archive is walked through
AHEAD_LIMIT = 256
AHEAD_BYTES = 8 * 1024**2
SMALL_BYTES = 1024**2

Found: TypeAlias = dict[bytes, Any]


def send_packed(archive: Opened, order: ReadOrder, begin: Callable[[], None], write: Callable[[bytes], None]) -> None:
    """Find what is chosen, `begin`, and write it packed. Raises Refused, also in the middle."""
    choice = Choice([chosen_bytes(chosen) for chosen in order.chosen])
    packer: Packer = Zipped(archive, write) if order.form is ReadForm.ZIP else Tarred(archive, write, choice)
    quick = _files(archive, order) if order.form is ReadForm.ZIP else None
    for item in _asked_ahead(archive, _announced(quick or _walk(archive, choice), begin)):
        packer.add(item, choice.name(item[b"path"]))
    if missing := choice.missing() if quick is None else []:
        raise Refused("path-not-found", f"The snapshot does not hold {entry_path(missing[0])}.")
    packer.close()


class Choice:
    """Which paths were chosen, and how they are called in the pack: without the folder that all of them are in."""

    def __init__(self, roots: list[bytes]) -> None:
        """Keep them; a root below another is that one's."""
        self._roots = set(roots)
        self._seen: set[bytes] = set()
        folders = [posixpath.dirname(root) for root in roots]
        common = posixpath.commonpath(folders) if all(folders) else b""
        self._cut = len(common) + 1 if common else 0

    @property
    def marks(self) -> list[bytes]:
        """What stands in the stream where an item may be chosen."""
        if b"" in self._roots or len(self._roots) > MARKS_LIMIT:
            return [b""]
        return [mark for root in self._roots for mark in (engine_items.needle(root), root + b"/")]

    def has(self, path: bytes) -> bool:
        """Return whether a path is chosen, by itself or with a folder."""
        at = len(path)
        while at > 0:
            if path[:at] in self._roots:
                self._seen.add(path[:at])
                return True
            at = path.rfind(b"/", 0, at)
        return b"" in self._roots

    def name(self, path: bytes) -> bytes:
        """Return how a chosen path is called in the pack."""
        return path[self._cut :]

    def missing(self) -> list[bytes]:
        """Return what was chosen and did not come, once all has been walked through."""
        above = {
            root for root in self._roots if not any(other != root and _is_below(root, other) for other in self._roots)
        }
        return sorted(above - self._seen - {b""})


def _is_below(path: bytes, folder: bytes) -> bool:
    return not folder or path.startswith(folder + b"/")


def _files(archive: Opened, order: ReadOrder) -> list[Found] | None:
    """Return the items of a few files of which the places are known, None when one of them is something else.

    Or is not there: somebody may have made it up. The walk tells.
    """
    if len(order.chosen) > QUICK_LIMIT or any(chosen.place is None for chosen in order.chosen):
        return None
    found: list[Found] = []
    for chosen in order.chosen:
        item, _is_there = engine_items.find_file(archive, chosen_bytes(chosen), chosen.place)
        if item is None:
            return None
        found.append(item)
    return found if archive.holds(first_ids(found)) else None


def _walk(archive: Opened, choice: Choice) -> Iterator[Found]:
    for _number, item in engine_items.items(archive, choice.marks):
        if b"part" not in item and choice.has(item[b"path"]):
            yield item


def _announced(found: Iterable[Found], begin: Callable[[], None]) -> Iterator[Found]:
    """Give the same, and begin with the first: the search for the others may take a while."""
    for number, one in enumerate(found):
        if not number:
            begin()
        yield one


def _asked_ahead(archive: Opened, found: Iterator[Found]) -> Iterator[Found]:
    """Give the same, with the contents of small files on their way: one journey for many of them."""
    waiting: deque[tuple[Found, int]] = deque()
    size = 0
    for item in found:
        chunks = item.get(b"chunks", ())
        length = sum(chunk[1] for chunk in chunks)
        is_small = stat.S_ISREG(item.get(b"mode", 0)) and 0 < length <= SMALL_BYTES
        if is_small and b"source" not in item and b"chunks_healthy" not in item:
            archive.ask(chunks)
        waiting.append((item, length))
        size += length
        while len(waiting) > AHEAD_LIMIT or size > AHEAD_BYTES:
            one, length = waiting.popleft()
            size -= length
            yield one
    yield from (one for one, _length in waiting)
