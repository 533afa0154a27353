"""An archive opened through Borg's library to be read: no cache, no lock, a few chunks in flight at a time.

The repository and its passphrase come from Borg's environment. Source: borg/archive.py and borg/remote.py, 1.4.5.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import borg
from borg import logger, remote
from borg.archive import Archive
from borg.cache import SecurityManager
from borg.helpers import Error, IntegrityError, Location, Manifest
from borg.repository import Repository

from saveos.agent import engine, engine_items
from saveos.agent.distance import Unreached
from saveos.agent.engine_committed import Committed, Unsettled
from saveos.agent.engine_distant import repository_in
from saveos.protocol import entry_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from saveos.protocol import Chosen

LOCK_SECONDS = 300
METADATA_IN_FLIGHT = 64  # chunks of about 128 KiB
CONTENT_IN_FLIGHT = 4  # chunks of up to 8 MiB


class Refused(Exception):
    """Why there is nothing to read: a code of `ReadHead` and words for a person."""

    def __init__(self, code: str, message: str, whole_bytes: int = 0) -> None:
        """Keep them."""
        super().__init__(message)
        self.code, self.whole_bytes = code, whole_bytes


class Opened:
    """An archive; its metadata is a `Stream` of `engine_items`."""

    def __init__(self, archive: Any) -> None:
        """Keep Borg's archive."""
        self.archive = archive
        self._ids: Sequence[bytes] = archive.metadata.items
        self.count = len(self._ids)
        self._asked: set[int] = set()  # lists of chunks that are on their way already
        self._first: tuple[bytes, bytes] | None = None  # the chunk that was last looked for: id, content

    def fetch(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Give chunks of metadata."""
        remote.MAX_INFLIGHT = METADATA_IN_FLIGHT
        ids = [self._ids[number] for number in numbers]
        yield from self.archive.pipeline.fetch_many(ids)

    def holds(self, ids: Sequence[bytes]) -> bool:
        """Return whether the repository has these chunks, and whole."""
        remote.MAX_INFLIGHT = CONTENT_IN_FLIGHT
        try:
            for id_, data in zip(ids, self.archive.pipeline.fetch_many(ids), strict=True):
                self._first = id_, data
        except (Repository.ObjectNotFound, IntegrityError):
            return False
        return True

    def ask(self, chunks: Sequence[Any]) -> None:
        """Ask for the contents of a small file ahead: `content` of the same list has to follow."""
        self._asked.add(id(chunks))
        self.archive.repository.preload(_changes([entry[0] for entry in chunks]))

    def content(self, chunks: Sequence[Any]) -> Iterator[bytes]:
        """Give the contents of a file's chunks; the same one again and again, as of holes, is fetched once."""
        remote.MAX_INFLIGHT = CONTENT_IN_FLIGHT
        is_asked = id(chunks) in self._asked
        self._asked.discard(id(chunks))
        ids = [entry[0] for entry in chunks]
        pieces = self._pieces(_changes(ids), is_asked=is_asked)
        data = b""
        for number, (id_, size, *_rest) in enumerate(chunks):
            if not number or ids[number - 1] != id_:
                data = next(pieces)
            if len(data) != size:
                raise Refused("damaged", "A part of this file does not have the size that it had.")
            yield data

    def content_begun(self, chunks: Sequence[Any]) -> Iterator[bytes]:
        """Give the same, its first part fetched already. Raises Refused when that one is lost."""
        parts = self.content(chunks)
        try:
            first = next(parts, b"")
        except (Repository.ObjectNotFound, IntegrityError) as error:
            raise Refused(*named(error)) from error
        return itertools.chain((first,), parts)

    def _pieces(self, ids: list[bytes], *, is_asked: bool) -> Iterator[bytes]:
        if not is_asked and self._first is not None and ids[:1] == [self._first[0]]:
            yield self._first[1]
            ids = ids[1:]
        yield from self.archive.pipeline.fetch_many(ids, is_preloaded=is_asked)


@contextlib.contextmanager
def opened(name: str, folder: str = "") -> Iterator[Opened]:
    """Open an archive: of the repository in a folder, or behind it, else of Borg's environment. Raises Refused."""
    logger.setup_logging(level="warning", env_var=None)
    if borg.__version__ == engine.BORG_VERSION:
        engine.quicken(remote)
    try:
        with repository_in(folder) if folder else repository_of_environment() as repository:
            manifest, key = Manifest.load(repository, (Manifest.Operation.READ,))
            SecurityManager(repository).assert_key_type(key)
            if not key.logically_encrypted:
                raise Refused("engine-error", "The repository is not encrypted: it is not this host's.")
            if manifest.archives.get(name) is None:
                raise Refused("snapshot-missing", "The repository does not hold this snapshot (any more).")
            yield Opened(Archive(repository, key, manifest, name))
    except Unreached as error:
        raise Refused("unreachable", str(error)) from error
    except Unsettled as error:
        raise Refused("damaged", "The repository's index tells of what is not there. Check the repository.") from error
    except Error as error:
        raise Refused(*named(error)) from error


def _changes(ids: Sequence[bytes]) -> list[bytes]:
    return [id_ for number, id_ in enumerate(ids) if not number or ids[number - 1] != id_]


def chosen_bytes(chosen: Chosen) -> bytes:
    """Return a chosen path as the archive has it. Raises Refused."""
    try:
        return entry_bytes(chosen.path).strip(b"/")
    except ValueError as error:
        raise Refused("path-not-found", "This is no path inside an archive.") from error


def find(archive: Opened, path: bytes, place: int | None) -> dict[bytes, Any]:
    """Return the item of a path. Raises Refused."""
    item, is_there = engine_items.find_file(archive, path, place)
    if item is not None and not archive.holds(first_ids([item])):
        item = None  # somebody made it up, or it is damaged: the walk tells
    if item is None and is_there:
        walked = engine_items.items(archive, (engine_items.needle(path),))
        item = next((item for _number, item in walked if item[b"path"] == path and b"part" not in item), None)
    if item is None:
        raise Refused("path-not-found", "The snapshot does not hold this path.")
    return item


def first_ids(items: Iterable[dict[bytes, Any]]) -> list[bytes]:
    """Return the first chunk of each of these items of `engine_items.find_file`."""
    return [item[b"chunks"][0][0] for item in items]


def contents(archive: Opened, item: dict[bytes, Any], place: int | None = None) -> tuple[Any, ...]:
    """Return the chunks of a regular file; those of a hard link are where its first name is. Raises Refused."""
    if not stat.S_ISREG(item.get(b"mode", 0)):
        raise Refused("not-a-file", "This is not a regular file.")
    if b"source" in item and b"chunks" not in item:
        item = led_to(find(archive, item[b"source"], place))
    if b"chunks_healthy" in item:
        raise Refused("damaged", "Parts of this file were lost when the repository was repaired.")
    chunks: tuple[Any, ...] = item.get(b"chunks", ())
    return chunks


def led_to(item: dict[bytes, Any] | None) -> dict[bytes, Any]:
    """Return the item that a hard link leads to, if it is a file with content of its own. Raises Refused."""
    if item is None or b"source" in item or not stat.S_ISREG(item.get(b"mode", 0)):
        raise Refused("damaged", "The file that this hard link leads to is not there.")
    return item


def repository_of_environment() -> Any:
    """Return the repository that Borg's environment names, to be read: through the tunnel, or in a folder."""
    location = Location(os.environ["BORG_REPO"])
    if location.proto != "ssh":
        return Committed(location.path)
    options = Namespace(rsh=None, remote_path=None, upload_ratelimit=0, upload_buffer=0, debug_topics=[])
    return remote.RemoteRepository(location, lock=False, lock_wait=LOCK_SECONDS, args=options)


def named(error: Error) -> tuple[str, str]:
    """Return code and words of one of Borg's errors."""
    from borg.crypto.key import PassphraseWrong  # noqa: PLC0415 - loaded by now

    codes: tuple[tuple[type, str], ...] = (
        (PassphraseWrong, "passphrase-wrong"),
        (Repository.DoesNotExist, "repository-missing"),
        (Repository.ObjectNotFound, "damaged"),
        (IntegrityError, "damaged"),
        (remote.ConnectionClosed, "unreachable"),
    )
    code = next((code for kind, code in codes if isinstance(error, kind)), "engine-error")
    return code, str(error.get_message())
