"""What `borg create` reads of the files of a host, counted while it does: how many are new or changed, and into what.

The counts so far are kept at each checkpoint, so that an attempt that goes on from there does not call the files before
it unchanged.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent.samples import PIECE_BYTES, Sampler
from saveos.protocol import GuardFacts, SampledFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

NAME = "guard.json"  # in the agent's state
PIECES_LIMIT = 8  # of one file
WHOLE_FILES = 4000
STRIDE = 8


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: the counts of one archive, whole or so far."""

    archive: str
    facts: GuardFacts


class Watch:
    """The counts of one archive in the making."""

    def __init__(self, path: Path) -> None:
        """`path`: where they are kept."""
        self._path = path
        self._before: GuardFacts | None = None  # of an attempt that this one goes on from
        self._is_known = False
        self.status = ""  # how Borg found the regular file that it is about to read
        self.seen = {"U": 0, "M": 0, "A": 0}  # borg-create(1), "Item flags"
        self.bytes = {"M": 0, "A": 0}
        self._samplers = {"M": Sampler(), "A": Sampler()}

    def weight(self) -> int:
        """Return for how many files the next one stands, of which some content is to be looked at; 0: it is not.

        All of the first thousands are looked at, then every eighth: on a first backup it is all there is.
        """
        count = self.seen.get(self.status, 0)
        if count <= WHOLE_FILES:
            return 1
        return 0 if count % STRIDE else STRIDE

    def look(self, path: str, chunks: Iterable[Any], weight: int) -> Iterator[Any]:
        """Hand on a file's chunks, and keep a piece of its beginning and of the middle of some."""
        pieces: list[bytes] = []
        for chunk in chunks:
            data = chunk.data
            if data is not None:
                if not pieces:
                    pieces.append(bytes(data[:PIECE_BYTES]))
                if len(data) >= 2 * PIECE_BYTES and len(pieces) < PIECES_LIMIT:
                    middle = len(data) // 2
                    pieces.append(bytes(data[middle : middle + PIECE_BYTES]))
            yield chunk
        if pieces:
            self._samplers[self.status].look(path, pieces, weight)

    def keep(self, archive: str) -> None:
        """Write the counts so far. What cannot be written is given up: the backup matters more."""
        noted = Noted(archive=archive, facts=self._facts(archive))
        temporary = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            temporary.write_bytes(msgspec.json.encode(noted))
            temporary.replace(self._path)

    def _facts(self, archive: str) -> GuardFacts:
        if not self._is_known:
            self._before, self._is_known = read(self._path, archive), True
        before = self._before or GuardFacts()
        counted = before.changed_files + before.new_files  # Borg finds them unchanged now
        return GuardFacts(
            unchanged_files=max(0, self.seen["U"] - counted),
            changed_files=self.seen["M"] + before.changed_files,
            new_files=self.seen["A"] + before.new_files,
            changed_bytes=self.bytes["M"] + before.changed_bytes,
            new_bytes=self.bytes["A"] + before.new_bytes,
            changed=_sum(before.changed, self._samplers["M"].facts()),
            new=_sum(before.new, self._samplers["A"].facts()),
        )


def read(path: Path, archive: str) -> GuardFacts | None:
    """Return what is kept of an archive, if anything."""
    try:
        noted = msgspec.json.decode(path.read_bytes(), type=Noted)
    except (OSError, msgspec.MsgspecError):
        return None
    return noted.facts if noted.archive == archive else None


def install(archive: Any, archiver: Any, state: Path) -> None:
    """Let `borg create` count. For Borg 1.4.5."""
    watch = Watch(state / NAME)
    archiver.Archiver.print_file_status = telling(archiver.Archiver.print_file_status, watch)
    processor = archive.ChunksProcessor
    processor.process_file_chunks = reading(processor.process_file_chunks, watch)
    archive.Archive.save = _save(archive.Archive.save, watch)


def telling(original: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """Return Borg's `print_file_status`, which tells of each file what it found, with the watch hearing it."""
    seen = watch.seen

    def print_file_status(self: Any, status: str, path: str) -> Any:
        if status in seen:
            seen[status] += 1
            watch.status = status
        return original(self, status, path)

    return print_file_status


def reading(original: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """Return Borg's `process_file_chunks`, which cuts a file into chunks, with the watch looking at some."""
    read = watch.bytes

    def process_file_chunks(self: Any, item: Any, cache: Any, stats: Any, show: Any, chunks: Any, *more: Any) -> Any:
        if watch.status not in read:
            return original(self, item, cache, stats, show, chunks, *more)
        before = stats.osize
        if weight := watch.weight():
            chunks = watch.look(item.path, chunks, weight)
        try:
            return original(self, item, cache, stats, show, chunks, *more)
        finally:
            read[watch.status] += stats.osize - before

    return process_file_chunks


def _save(original: Callable[..., Any], watch: Watch) -> Callable[..., Any]:
    """Keep the counts when what they tell of is in the repository: at checkpoints, and at the end."""

    def save(self: Any, name: str | None = None, **how: Any) -> None:
        original(self, name, **how)
        watch.keep(self.name)

    return save


def _sum(one: SampledFacts, other: SampledFacts) -> SampledFacts:
    count = one.count + other.count
    return SampledFacts(
        count=count,
        random=one.random + other.random,
        promised=one.promised + other.promised,
        broken=one.broken + other.broken,
        entropy=round((one.entropy * one.count + other.entropy * other.count) / count, 3) if count else 0.0,
    )
