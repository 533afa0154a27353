"""Listings on a host: made of a spool's runs, kept sorted and compressed, compared without holding them in memory."""

from __future__ import annotations

import gzip
import heapq
import io
import shutil
from bisect import bisect_right
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.engine_listing import COMPLETE, Complete
from saveos.protocol_listing import FOLDER, GONE, IMPLIED, IMPLIED_FACTS, SEPARATOR, parent_of, same_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

QUICKEST = 1  # of gzip's levels
READ_BYTES = 256 * 1024


def assemble(spool: Path, target: Path) -> None:
    """Make the listing of a complete spool at `target`, whole or not at all. Raises OSError, msgspec.DecodeError."""
    ends = msgspec.json.decode((spool / COMPLETE).read_bytes(), type=Complete).ends
    temporary = target.with_name(f".{target.name}")
    try:
        _assemble(spool, temporary, ends)
    except OSError:
        temporary.unlink(missing_ok=True)  # the disk may be full of it
        raise
    temporary.replace(target)
    shutil.rmtree(spool, ignore_errors=True)


def _assemble(spool: Path, target: Path, ends: list[int]) -> None:
    with gzip.open(target, "wb", compresslevel=QUICKEST) as file, ExitStack() as stack:
        runs = [stack.enter_context(path.open("rb", buffering=READ_BYTES)) for path in sorted(spool.glob("run-*"))]
        writer = stack.enter_context(io.BufferedWriter(file, READ_BYTES))
        for key, facts in hung_together(map(_parted, heapq.merge(*runs))):
            words, _, at = facts.rpartition(b" ")
            place = bisect_right(ends, int(at)) if at != b"-1" else -1
            writer.write(b"%b\0%b %d\n" % (key, words, place))


def read(path: Path) -> Iterator[bytes]:
    """Give a listing's lines."""
    with gzip.open(path, "rb") as file, io.BufferedReader(file, READ_BYTES) as lines:
        yield from lines


def hung_together(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Give sorted entries, each path once, with the folders that they lie in and that the archive does not hold.

    The last of several entries of one path counts: sources may lie in one another. What holds others is a folder, even
    if another source's walk, a moment before, had found a file.
    """
    open_folders: list[bytes] = []
    last: tuple[bytes, bytes] | None = None
    for key, facts in entries:
        if last is not None:
            if key == last[0]:
                last = (key, facts)
                continue
            if key.startswith(last[0] + SEPARATOR) and last[1][:1] != FOLDER:
                last = (last[0], IMPLIED_FACTS)
            yield last
            if last[1][:1] in (FOLDER, IMPLIED):
                open_folders.append(last[0])
        parent = parent_of(key)
        while open_folders and open_folders[-1] != parent and not parent.startswith(open_folders[-1] + SEPARATOR):
            open_folders.pop()
        if parent and (not open_folders or open_folders[-1] != parent):
            for folder in _between(open_folders[-1] if open_folders else b"", parent):
                yield folder, IMPLIED_FACTS
                open_folders.append(folder)
        last = (key, facts)
    if last is not None:
        yield last


def difference(old: Iterable[bytes], new: Iterable[bytes]) -> Iterator[bytes]:
    """Give the lines that lead from one listing to another: what is new or differs, and what is gone."""
    former, present = iter(old), iter(new)
    before, after = next(former, None), next(present, None)
    while before is not None or after is not None:
        if before == after:
            before, after = next(former, None), next(present, None)
            continue
        old_key, _, old_facts = (before or b"").partition(b"\0")
        new_key, _, new_facts = (after or b"").partition(b"\0")
        if after is None or (before is not None and old_key < new_key):
            yield b"%b\0%b\n" % (old_key, GONE)
            before = next(former, None)
            continue
        if before is None or new_key < old_key or not same_facts(old_facts, new_facts):
            yield after
        if before is not None and new_key == old_key:
            before = next(former, None)
        after = next(present, None)


def _parted(line: bytes) -> tuple[bytes, bytes]:
    key, _, facts = line[:-1].partition(b"\0")
    return key, facts


def _between(above: bytes, folder: bytes) -> list[bytes]:
    """Return the folders from below `above` down to `folder`."""
    missing = []
    while folder and folder != above:
        missing.append(folder)
        folder = parent_of(folder)
    return missing[::-1]
