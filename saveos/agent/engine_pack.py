"""What was chosen of an archive, packed as a ZIP or a tar while it is read: files, folders and all that is in them."""

from __future__ import annotations

import posixpath
import stat
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from saveos.agent import engine_items
from saveos.agent.engine_archive import Opened, Refused, chosen_bytes, contents, first_ids
from saveos.agent.engine_tar import NANOSECONDS, TYPES, TarZst, nanoseconds
from saveos.agent.engine_zip import Entry, Zip, safe_name
from saveos.protocol import ReadForm, ReadOrder, entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MARKS_LIMIT = 16  # so many chosen paths are looked for in the stream; of more every item is unpacked
QUICK_LIMIT = 64  # so many files are found one by one before the whole archive is walked through
AHEAD_LIMIT = 256
AHEAD_BYTES = 8 * 1024**2
SMALL_BYTES = 1024**2
LINKS_LIMIT = 100_000  # names of hard links that are kept; beyond, a file comes once more


Found: TypeAlias = tuple[int | None, dict[bytes, Any]]


class Packer(Protocol):
    """A ZIP or a tar."""

    def add(self, item: dict[bytes, Any], name: bytes, place: int | None) -> None:
        """Add an item under a name."""

    def close(self) -> None:
        """Write what comes last."""


def send_packed(archive: Opened, order: ReadOrder, begin: Callable[[], None], write: Callable[[bytes], None]) -> None:
    """Find what is chosen, `begin`, and write it packed. Raises Refused, also in the middle."""
    choice = Choice([chosen_bytes(chosen) for chosen in order.chosen])
    packer: Packer = Zipped(archive, write) if order.form is ReadForm.ZIP else Tarred(archive, write, choice)
    quick = _files(archive, order) if order.form is ReadForm.ZIP else None
    for number, item in _asked_ahead(archive, _announced(quick or _walk(archive, choice), begin)):
        packer.add(item, choice.name(item[b"path"]), number)
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
        found.append((chosen.place, item))
    return found if archive.holds(first_ids(item for _place, item in found)) else None


def _walk(archive: Opened, choice: Choice) -> Iterator[Found]:
    for number, item in engine_items.items(archive, choice.marks):
        if b"part" not in item and choice.has(item[b"path"]):
            yield number, item


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
    for number, item in found:
        chunks = item.get(b"chunks", ())
        length = sum(chunk[1] for chunk in chunks)
        is_small = stat.S_ISREG(item.get(b"mode", 0)) and 0 < length <= SMALL_BYTES
        if is_small and b"source" not in item and b"chunks_healthy" not in item:
            archive.ask(chunks)
        waiting.append(((number, item), length))
        size += length
        while len(waiting) > AHEAD_LIMIT or size > AHEAD_BYTES:
            one, length = waiting.popleft()
            size -= length
            yield one
    yield from (one for one, _length in waiting)


class Zipped:
    """A ZIP: folders, files and symbolic links. A hard link is a file of its own."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None]) -> None:
        """Write to this."""
        self._archive, self._zip = archive, Zip(write)
        self._left_out = 0

    def add(self, item: dict[bytes, Any], name: bytes, place: int | None) -> None:
        """Add an item; what a ZIP cannot hold is counted."""
        mode, modified = item.get(b"mode", 0), nanoseconds(item.get(b"mtime", 0)) / NANOSECONDS
        entry = Entry(name=safe_name(name), mode=mode, modified=modified)
        if not entry.name:
            return
        if stat.S_ISDIR(mode):
            self._zip.add(entry, b"")
        elif stat.S_ISLNK(mode):
            self._zip.add(entry, item.get(b"source", b""))
        elif stat.S_ISREG(mode):
            chunks = contents(self._archive, item, place)
            size = sum(chunk[1] for chunk in chunks)
            if size:
                self._zip.add_large(entry, self._archive.content(chunks), size)
            else:
                self._zip.add(entry, b"")
        else:
            self._left_out += 1

    def close(self) -> None:
        """Write the directory, and say what is not in it."""
        said = f"{self._left_out} devices, pipes or sockets are left out: a tar has them." if self._left_out else ""
        self._zip.close(said)


class Tarred:
    """A tar: all of it, hard links too."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None], choice: Choice) -> None:
        """Write to this."""
        self._archive, self._tar, self._choice = archive, TarZst(write), choice
        self._firsts: dict[bytes, bytes] = {}  # by where its content is: the first name of a file in here

    def add(self, item: dict[bytes, Any], name: bytes, place: int | None) -> None:
        """Add an item."""
        mode = item.get(b"mode", 0)
        if stat.S_IFMT(mode) not in TYPES or not name:
            return  # a socket, which Borg does not keep either, or the root itself
        if not stat.S_ISREG(mode):
            link = item.get(b"source", b"") if stat.S_ISLNK(mode) else b""
            self._tar.add(item, name, link, (), 0)
            return
        source = item.get(b"source")
        if source is not None and (first := self._first(source)):
            self._tar.add(item, name, first, (), 0)
            return
        chunks = contents(self._archive, item, place)
        self._tar.add(item, name, b"", self._archive.content(chunks), sum(chunk[1] for chunk in chunks))
        if source is not None and len(self._firsts) < LINKS_LIMIT:
            self._firsts[source] = name

    def close(self) -> None:
        """Write the end."""
        self._tar.close()

    def _first(self, source: bytes) -> bytes:
        """Return the name in here of a file that has been added, b"" if it has not."""
        return self._choice.name(source) if self._choice.has(source) else self._firsts.get(source, b"")
