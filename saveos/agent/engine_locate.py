"""Which archives and files of a repository need objects that are damaged. Source: borg/archive.py, 1.4.5."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any

from borg.archive import Archive
from borg.helpers import IntegrityError
from borg.remote import RemoteRepository
from borg.repository import Repository

from saveos.agent import engine_items
from saveos.agent.engine_archive import Opened
from saveos.protocol import LocatedArchive, entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

FILES_NAMED = 100
NAMES_BYTES = 256 * 1024  # of all files that are named
OBJECTS_NAMED = 10_000  # of all archives; what comes after does not tell objects apart
EDGE = 31  # bytes: an id may begin in one chunk of metadata and end in the next
LOCATE_SECONDS = 3600
UNREADABLE = (IntegrityError, Repository.ObjectNotFound, engine_items.Damaged, OSError, RemoteRepository.RPCError)
_OF_THE_DISK = frozenset({errno.EIO, errno.EUCLEAN})


def require_damage(error: BaseException) -> None:
    """Raise one of the UNREADABLE errors again, unless it says that what is stored cannot be read any more.

    The disk itself may say so: here, or below the appliance, which passes on what its system said.
    """
    if isinstance(error, RemoteRepository.RPCError):
        said = error.unpacked.get(b"exception_args") or (None,)
        if error.exception_class != OSError.__name__ or said[0] not in _OF_THE_DISK:
            raise error
    elif isinstance(error, OSError) and error.errno not in _OF_THE_DISK:
        raise error


class Locating:
    """Which archives and files need damaged objects. Metadata that archives share is looked at once."""

    def __init__(self, repository: Any, manifest: Any, key: Any, tell: Callable[[], None]) -> None:
        """Keep what is read with what. `tell` is called now and then."""
        self._repository, self._manifest, self._key, self._tell = repository, manifest, key, tell
        self._seen: dict[bytes, tuple[bool, bytes, bytes]] = {}  # by chunk of metadata: has one, first and last bytes
        self._names = self._objects = 0

    def run(self, damaged: Sequence[bytes], *, is_sealed: bool) -> tuple[list[LocatedArchive], int]:
        """Return the archives that need one of these, the newest first, and how many could not be looked through."""
        if not damaged:
            return [], 0
        wanted, found, unseen = frozenset(damaged), [], 0
        until = time.monotonic() + LOCATE_SECONDS
        for info in reversed(self._manifest.archives.list(sort_by=("ts",))):
            if time.monotonic() > until:
                unseen += 1
                continue
            located = self._archive(info, wanted, is_sealed=is_sealed)
            if located is not None:
                found.append(located)
        return found, unseen

    def _archive(self, info: Any, wanted: frozenset[bytes], *, is_sealed: bool) -> LocatedArchive | None:
        self._tell()
        name, archive_id = info.name, bytes(info.id).hex()
        try:
            archive = Archive(self._repository, self._key, self._manifest, info.name)
            ids = list(archive.metadata.items)
        except UNREADABLE as error:
            require_damage(error)
            return _unlisted(name, archive_id)
        if wanted.intersection(ids):
            return _unlisted(name, archive_id)
        needed: set[bytes] = set()
        try:
            if not self._holds(ids, wanted):
                return None
            paths = list(self._paths(archive, wanted, needed))
        except UNREADABLE as error:
            require_damage(error)
            return _unlisted(name, archive_id)
        if not paths:
            return None
        files, objects = () if is_sealed else tuple(self._named(paths)), self._told(needed)
        return LocatedArchive(name=name, archive_id=archive_id, files_count=len(paths), files=files, objects=objects)

    def _told(self, needed: Collection[bytes]) -> tuple[str, ...]:
        self._objects += len(needed)
        return tuple(sorted(id_.hex() for id_ in needed)) if self._objects <= OBJECTS_NAMED else ()

    def _holds(self, ids: Sequence[bytes], wanted: frozenset[bytes]) -> bool:
        """Return whether one of these ids stands anywhere in an archive's metadata."""
        new = list(dict.fromkeys(id_ for id_ in ids if id_ not in self._seen))
        for id_, sealed in zip(new, self._repository.get_many(new), strict=True):
            data = bytes(self._key.decrypt(id_, sealed))
            self._seen[id_] = any(each in data for each in wanted), data[:EDGE], data[-EDGE:]
            self._tell()
        last = b""
        for id_ in ids:
            has_one, first, end = self._seen[id_]
            if has_one or any(each in last + first for each in wanted):
                return True
            last = (last + end)[-EDGE:] if len(end) < EDGE else end
        return False

    def _paths(self, archive: Any, wanted: frozenset[bytes], needed: set[bytes]) -> Iterator[bytes]:
        """Give the files that need something that is wanted, and add to `needed` what that is."""
        for _number, item in engine_items.items(Opened(archive), tuple(wanted)):
            found = wanted.intersection(entry[0] for entry in item.get(b"chunks", ()))
            if found and b"part" not in item:
                needed |= found
                yield item[b"path"]
            self._tell()

    def _named(self, paths: Sequence[bytes]) -> Iterator[str]:
        for path in paths[:FILES_NAMED]:
            self._names += len(path)
            if self._names > NAMES_BYTES:
                return
            yield entry_path(path)


def _unlisted(name: str, archive_id: str) -> LocatedArchive:
    """Return an archive of which nobody can tell what it needs: it may be any of what is damaged."""
    return LocatedArchive(name=name, archive_id=archive_id, is_listing_damaged=True)
