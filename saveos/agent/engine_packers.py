"""A ZIP and a tar, made of an archive's items."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any, Protocol

from saveos.agent.engine_archive import Opened, contents, led_to
from saveos.agent.engine_links import Links
from saveos.agent.engine_tar import NANOSECONDS, TYPES, TarZst, nanoseconds
from saveos.agent.engine_zip import Entry, Zip, safe_name

if TYPE_CHECKING:
    from collections.abc import Callable

LINKS_LIMIT = 100_000  # names of hard links that are kept; beyond, a file comes once more


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


class Zipped:
    """A ZIP: folders, files and symbolic links. A hard link is a file of its own."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None]) -> None:
        """Write to this."""
        self._archive, self._zip = archive, Zip(write)
        self._links: Links[Entry] = Links(archive)
        self._left_out = 0

    def add(self, item: dict[bytes, Any], name: bytes) -> None:
        """Add an item; what a ZIP cannot hold is counted."""
        mode, modified = item.get(b"mode", 0), nanoseconds(item.get(b"mtime", 0)) / NANOSECONDS
        entry = Entry(name=safe_name(name), mode=mode, modified=modified)
        if not entry.name:
            return
        if stat.S_ISDIR(mode):
            self._zip.add(entry, b"")
        elif stat.S_ISLNK(mode):
            self._zip.add(entry, item.get(b"source", b""))
        elif not stat.S_ISREG(mode):
            self._left_out += 1
        elif b"source" in item and b"chunks" not in item:
            self._links.wait(item[b"source"], entry)
            if self._links.are_many:
                self._add_links()
        else:
            self._add_file(entry, item)

    def close(self) -> None:
        """Write the directory, and say what is not in it."""
        self._add_links()
        said = f"{self._left_out} devices, pipes or sockets are left out: a tar has them." if self._left_out else ""
        self._zip.close(said)

    def _add_links(self) -> None:
        for _source, item, entries in self._links.found():
            for entry in entries:
                self._add_file(entry, led_to(item))

    def _add_file(self, entry: Entry, item: dict[bytes, Any]) -> None:
        chunks = contents(self._archive, item)
        size = sum(chunk[1] for chunk in chunks)
        if size:
            self._zip.add_large(entry, self._archive.content(chunks), size)
        else:
            self._zip.add(entry, b"")


class Tarred:
    """A tar: all of it, hard links too."""

    def __init__(self, archive: Opened, write: Callable[[bytes], None], choice: Choice) -> None:
        """Write to this."""
        self._archive, self._tar, self._choice = archive, TarZst(write), choice
        self._links: Links[tuple[dict[bytes, Any], bytes]] = Links(archive)
        self._firsts: dict[bytes, bytes] = {}  # by where its content is: the first name of a file in here

    def add(self, item: dict[bytes, Any], name: bytes) -> None:
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
        elif source is not None and b"chunks" not in item:
            self._links.wait(source, (item, name))
            if self._links.are_many:
                self._add_links()
        else:
            self._add_file(item, name, item)

    def close(self) -> None:
        """Write the end."""
        self._add_links()
        self._tar.close()

    def _first(self, source: bytes) -> bytes:
        """Return the name in here of a file that has been added, b"" if it has not."""
        return self._choice.name(source) if self._choice.has(source) else self._firsts.get(source, b"")

    def _add_links(self) -> None:
        """Add the names that wait: the first of a file with its content, the others as links to that one."""
        for source, found, names in self._links.found():
            (item, first), *others = names
            self._add_file(item, first, led_to(found))
            for other, name in others:
                self._tar.add(other, name, first, (), 0)
            if len(self._firsts) < LINKS_LIMIT:
                self._firsts[source] = first

    def _add_file(self, item: dict[bytes, Any], name: bytes, content: dict[bytes, Any]) -> None:
        """Add an item with the content of another, or its own."""
        chunks = contents(self._archive, content)
        self._tar.add(item, name, b"", self._archive.content(chunks), sum(chunk[1] for chunk in chunks))
