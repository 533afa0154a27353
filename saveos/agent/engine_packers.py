"""A ZIP and a tar, made of an archive's items.

What is damaged is left out and named in a text beside the rest, as long as that is known before its content begins.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, Protocol

from saveos.agent.engine_archive import Opened, Refused, contents, led_to
from saveos.agent.engine_links import Links
from saveos.agent.engine_tar import NANOSECONDS, TYPES, TarZst, nanoseconds
from saveos.agent.engine_zip import Entry, Zip, safe_name
from saveos.protocol import entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINKS_LIMIT = 100_000  # names of hard links that are kept; beyond, a file comes once more
DAMAGED_LIMIT = 10_000  # names of what is left out; beyond, the pack is cut off
TEXT_MODE = stat.S_IFREG | 0o644
EXPLANATION = "These files are damaged in the snapshot and were left out. Other snapshots may have them whole.\n\n"


class Packer(Protocol):
    """A ZIP or a tar."""

    def add(self, item: dict[bytes, Any], name: bytes) -> None:
        """Add an item under a name; a hard link may have to wait until its content is found."""

    def close(self) -> None:
        """Write what comes last."""


class Choice(Protocol):
    """What was chosen."""

    def has(self, path: bytes) -> bool:
        """Return whether a path is chosen, by itself or with a folder."""

    def name(self, path: bytes) -> bytes:
        """Return how a chosen path is called in the pack."""


class Damaged:
    """What is left out of a pack."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.names: list[bytes] = []
        self._taken: set[bytes] = set()

    def note(self, name: bytes, refusal: Refused) -> None:
        """Note a file that is not whole. Raises what is no damage, and the one that is too much."""
        if refusal.code != "damaged" or len(self.names) >= DAMAGED_LIMIT:
            raise refusal
        self.names.append(name)

    def see(self, name: bytes) -> None:
        """Note a name that is taken."""
        if name.startswith(b"SAVEOS-MISSING"):
            self._taken.add(name)

    def text(self) -> tuple[bytes, bytes]:
        """Return the name and the content of what tells of them."""
        name, number = b"SAVEOS-MISSING.txt", 1
        while name in self._taken:
            number += 1
            name = b"SAVEOS-MISSING-%d.txt" % number
        lines = (entry_path(one).replace("\n", "\\n") + "\n" for one in self.names)
        return name, (EXPLANATION + "".join(lines)).encode()


class Zipped:
    """A ZIP: folders, files and symbolic links. A hard link is a file of its own."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None]) -> None:
        """Write to this."""
        self._archive, self._zip = archive, Zip(write)
        self._links: Links[tuple[Entry, bytes]] = Links(archive)
        self._damaged = Damaged()
        self._left_out = 0

    def add(self, item: dict[bytes, Any], name: bytes) -> None:
        """Add an item; what a ZIP cannot hold is counted."""
        mode, modified = item.get(b"mode", 0), nanoseconds(item.get(b"mtime", 0)) / NANOSECONDS
        entry = Entry(name=safe_name(name), mode=mode, modified=modified)
        if not entry.name:
            return
        self._damaged.see(name)
        if stat.S_ISDIR(mode):
            self._zip.add(entry, b"")
        elif stat.S_ISLNK(mode):
            self._zip.add(entry, item.get(b"source", b""))
        elif not stat.S_ISREG(mode):
            self._left_out += 1
        elif b"source" in item and b"chunks" not in item:
            self._links.wait(item[b"source"], (entry, name))
            if self._links.are_many:
                self._add_links()
        else:
            self._add_file(entry, name, item)

    def close(self) -> None:
        """Write the directory, and say what is not in it."""
        self._add_links()
        said = f"{self._left_out} devices, pipes or sockets are left out: a tar has them." if self._left_out else ""
        if names := self._damaged.names:
            name, text = self._damaged.text()
            self._zip.add(Entry(name=name.decode(), mode=TEXT_MODE, modified=0.0), text)
            said = f"{said} {len(names)} damaged files are left out: {name.decode()} names them.".strip()
        self._zip.close(said)

    def _add_links(self) -> None:
        for _source, item, names in self._links.found():
            for entry, name in names:
                self._add_file(entry, name, item, is_link=True)

    def _add_file(self, entry: Entry, name: bytes, item: dict[bytes, Any] | None, *, is_link: bool = False) -> None:
        try:
            parts, size = _begun(self._archive, item, is_link=is_link)
        except Refused as refusal:
            self._damaged.note(name, refusal)
            return
        if size:
            self._zip.add_large(entry, parts, size)
        else:
            self._zip.add(entry, b"")


class Tarred:
    """A tar: all of it, hard links too."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None], choice: Choice) -> None:
        """Write to this."""
        self._archive, self._tar, self._choice = archive, TarZst(write), choice
        self._links: Links[tuple[dict[bytes, Any], bytes]] = Links(archive)
        self._firsts: dict[bytes, bytes] = {}  # by where its content is: the first name of a file in here
        self._damaged = Damaged()
        self._lost: set[bytes] = set()  # paths of files that are left out

    def add(self, item: dict[bytes, Any], name: bytes) -> None:
        """Add an item."""
        mode = item.get(b"mode", 0)
        if stat.S_IFMT(mode) not in TYPES or not name:
            return  # a socket, which Borg does not keep either, or the root itself
        self._damaged.see(name)
        if not stat.S_ISREG(mode):
            link = item.get(b"source", b"") if stat.S_ISLNK(mode) else b""
            self._tar.add(item, name, link, (), 0)
            return
        source = item.get(b"source")
        if source is not None and source not in self._lost and (first := self._first(source)):
            self._tar.add(item, name, first, (), 0)
        elif source is not None and b"chunks" not in item:
            self._links.wait(source, (item, name))
            if self._links.are_many:
                self._add_links()
        elif not self._add_file(item, name):
            self._lost.add(item[b"path"])

    def close(self) -> None:
        """Write the end, and say what is not in it."""
        self._add_links()
        if self._damaged.names:
            name, text = self._damaged.text()
            self._tar.add({b"mode": TEXT_MODE}, name, b"", (text,), len(text))
        self._tar.close()

    def _first(self, source: bytes) -> bytes:
        """Return the name in here of a file that has been added, b"" if it has not."""
        return self._choice.name(source) if self._choice.has(source) else self._firsts.get(source, b"")

    def _add_links(self) -> None:
        """Add the names that wait: the first of a file with its content, the others as links to that one."""
        for source, found, names in self._links.found():
            (item, first), *others = names
            is_there = self._add_file(item, first, master=found, is_link=True)
            for other, name in others:
                if is_there:
                    self._tar.add(other, name, first, (), 0)
                else:
                    self._add_file(other, name, master=found, is_link=True)
            if is_there and len(self._firsts) < LINKS_LIMIT:
                self._firsts[source] = first

    def _add_file(self, item: dict[bytes, Any], name: bytes, *, master: Any = None, is_link: bool = False) -> bool:
        """Add an item with its own content, or that of another; return whether it is not damaged."""
        try:
            parts, size = _begun(self._archive, master if is_link else item, is_link=is_link)
        except Refused as refusal:
            self._damaged.note(name, refusal)
            return False
        self._tar.add(item, name, b"", parts, size)
        return True


def _begun(archive: Opened, item: dict[bytes, Any] | None, *, is_link: bool) -> tuple[Iterable[bytes], int]:
    """Return the content of a file, or of what a link leads to, and its size. Raises Refused, later only half way."""
    chunks = contents(archive, led_to(item) if is_link or item is None else item)
    return archive.content_begun(chunks), sum(chunk[1] for chunk in chunks)
