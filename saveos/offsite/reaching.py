"""Hands pieces of a generation to readers that have the key and no way to the store: the other end of `agent/distance`.

A folder holds what a reader needs at once: config, Borg's index, and the segments that came after it, each hashed. The
rest comes in ranges; a range has no hash, but Borg authenticates each object. All of it is gone a while after the last
reader hung up, and nothing is shown that did not come whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import threading
from typing import TYPE_CHECKING, TypeVar

from saveos.agent.distance import ANSWER, REQUEST, Word, reachable
from saveos.errors import ObjectAltered, ObjectMissing, OffsiteNoIndex, StorageError
from saveos.offsite import hands, layout
from saveos.offsite.fetching import fetch_part, namer, write_rest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.offsite.desk import Desk
    from saveos.offsite.layout import Manifest, Part

T = TypeVar("T")
PIECE_LIMIT = 32 * 1024**2  # an object has 20 MiB at most


class Reach:
    """A generation that is read. For the event loop alone."""

    def __init__(self, desk: Desk, manifest: Manifest, folder: Path) -> None:
        """Use `Reaches`."""
        self.manifest, self.folder = manifest, folder
        self.failure: StorageError | None = None  # the last one
        self.read_bytes = 0  # in ranges
        self.used_at = asyncio.get_running_loop().time()
        self._desk = desk
        self._parts = {part.number: part for part in manifest.segments}
        self._readers: set[asyncio.StreamWriter] = set()
        self._holds = 0
        self._server: asyncio.Server | None = None

    @property
    def is_used(self) -> bool:
        """Whether somebody reads."""
        return bool(self._readers or self._holds)

    def hold(self) -> None:
        """Keep it for somebody who will read."""
        self._holds += 1

    def let_go(self) -> None:
        """Keep it no more for them."""
        self._holds -= 1
        self.used_at = asyncio.get_running_loop().time()

    async def start(self) -> None:
        """Prepare the folder and answer from there. Raises StorageError, OSError."""
        preparing = asyncio.ensure_future(aside(lambda: prepare(self._desk, self.manifest, self.folder)))
        try:
            await asyncio.shield(preparing)
        except asyncio.CancelledError:
            self._desk.is_cancelled.set()
            await asyncio.wait([preparing])  # it writes into the folder that goes now
            raise
        with reachable(self.folder) as path:
            self._server = await asyncio.start_unix_server(self._answer_all, path)

    async def stop(self) -> None:
        """Hang up on whoever reads, and leave nothing."""
        self._desk.is_cancelled.set()
        if self._server is not None:
            self._server.close()
        for writer in list(self._readers):
            writer.transport.abort()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._readers.add(writer)
        try:
            while True:
                number, first, count = REQUEST.unpack(await reader.readexactly(REQUEST.size))
                asked = number, first, min(count, PIECE_LIMIT)
                word, data = await aside(functools.partial(self._piece, *asked))
                self.read_bytes += len(data)
                writer.write(ANSWER.pack(word, len(data)) + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._readers.discard(writer)
            self.used_at = asyncio.get_running_loop().time()
            writer.close()

    def _piece(self, number: int, first: int, count: int) -> tuple[Word, bytes]:
        part = self._parts.get(number)
        if part is None:
            return Word.MISSING, b""
        last = min(first + count, part.bytes) - 1
        if last < first:
            return Word.HERE, b""
        try:
            return Word.HERE, self._read(part, first, last)
        except (ObjectMissing, ObjectAltered) as error:
            self.failure = error
            return Word.MISSING, b""
        except (StorageError, hands.Stopped) as error:
            self.failure = error if isinstance(error, StorageError) else None
            return Word.UNREACHED, b""

    def _read(self, part: Part, first: int, last: int) -> bytes:
        """Read by version; where that is gone, as it was sent again, what is there under its name."""
        key = layout.below(self._desk.folder, part.key)
        try:
            return self._read_version(key, part.version_id, first, last)
        except ObjectMissing:
            if not part.version_id:
                raise
            return self._read_version(key, "", first, last)

    def _read_version(self, key: str, version_id: str, first: int, last: int) -> bytes:
        wanted, found = last + 1 - first, bytearray()
        for piece in self._desk.bucket.read(key, version_id, first=first, last=last):
            found += piece
            if len(found) > wanted:
                break  # what somebody put there may be endless
        if len(found) != wanted:
            raise ObjectAltered("A segment in the store is not what was written.", key=key)
        return bytes(found)


async def aside(work: Callable[[], T]) -> T:
    """Do what waits for a store in a thread of its own: those of the loop are few, and others need them."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return  # nobody waits any more
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to who waits for it
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="offsite", daemon=True).start()
    return await done


def later_parts(manifest: Manifest) -> list[Part]:
    """Return the segments that came after a generation's index."""
    begin = manifest.index.number if manifest.index else -1
    return [part for part in manifest.segments if part.number > begin]


def prepare(desk: Desk, manifest: Manifest, folder: Path) -> None:
    """Lay out in a folder what a reader needs at once. Raises OffsiteNoIndex, StorageError, Stopped, OSError."""
    index = manifest.index
    if index is None:
        raise OffsiteNoIndex("This generation has no index: it can only be fetched whole.")
    name_of = namer(manifest)

    def work(part: Part) -> None:
        target = folder / name_of(part)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        fetch_part(desk, part, target)

    (folder / "data").mkdir(parents=True, mode=0o700)
    fetch_part(desk, index, folder / f"index.{index.number}")
    for _done in hands.each(work, later_parts(manifest), desk.is_cancelled):
        pass
    write_rest(manifest, folder)
