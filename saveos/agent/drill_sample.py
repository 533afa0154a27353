"""Which files a restore drill brings back.

A part of the sample follows the files in their secret order from drill to drill, so that in time all are covered; the
other part is random. Files come out of the newest archive, now and then out of an older one too.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from saveos.agent import noted
from saveos.agent.noted import Entry
from saveos.agent.settings import write_private
from saveos.protocol import DrillOrder, NamedArchive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROTATING = 2 / 3  # of the sample
OLDER_ONE_IN = 3  # drills


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Files to restore out of one archive, with the archive of which each was noted."""

    archive: NamedArchive
    files: tuple[tuple[str, Entry], ...]


def choose(folder: Path, order: DrillOrder) -> list[Sample]:
    """Return what to restore, and keep how far the files have been gone through."""
    if not order.archives:
        return []
    key, everything = noted.key_of(folder), _until_newest(noted.load(folder), order)
    found = noted.valid(key, everything)
    marks = _chosen_marks(sorted(found), _place(folder), order.files_limit)
    newest, older = order.archives[0], _older(order, everything)
    samples = [Sample(archive=newest, files=tuple(_within(found, marks, order.bytes_limit)))]
    if older is not None:
        entries = next(each.entries for each in everything if each.archive == older.name)
        mine = {noted.mark_of(key, entry.path): (older.name, entry) for entry in entries}
        picked = secrets.SystemRandom().sample(sorted(mine), min(len(mine), max(1, order.files_limit // 3)))
        samples.append(Sample(archive=older, files=tuple(_within(mine, picked, order.bytes_limit // 4))))
    if marks:
        write_private(folder / noted.PLACE, marks[_rotating(order.files_limit, len(marks)) - 1].encode())
    return [sample for sample in samples if sample.files]


def of_their_own(passed_over: list[tuple[str, Entry]], compared: int, order: DrillOrder) -> Sample | None:
    """Return what to take out of the archive of which it was noted, when most of a sample is not in the newest one.

    That one may be of other folders: a person backed up a single one of them.
    """
    known = {archive.name: archive for archive in order.archives}
    counts = Counter(archive for archive, _entry in passed_over if archive in known)
    if compared >= len(passed_over) or not counts:
        return None
    name = counts.most_common(1)[0][0]
    return Sample(archive=known[name], files=tuple(each for each in passed_over if each[0] == name))


def _until_newest(everything: list[noted.Noted], order: DrillOrder) -> list[noted.Noted]:
    """Return what was noted up to the newest of the archives: of those too that are no more, or not to be trusted.

    They tell how a file was by then, and that an older note of it is void. What came later tells nothing.
    """
    known = {archive.name for archive in order.archives}
    until = max((each.round for each in everything if each.archive in known), default=-1)
    return [each for each in everything if each.round <= until]


def _chosen_marks(marks: list[str], place: str, limit: int) -> list[str]:
    """Return marks: those that follow `place`, going round, then random ones of the others."""
    begin = next((number for number, mark in enumerate(marks) if mark > place), 0)
    following = marks[begin:] + marks[:begin]
    count = _rotating(limit, len(marks))
    others = following[count:]
    return following[:count] + secrets.SystemRandom().sample(others, min(len(others), limit - count))


def _rotating(limit: int, available: int) -> int:
    return min(available, max(1, round(limit * ROTATING)))


def _older(order: DrillOrder, everything: list[noted.Noted]) -> NamedArchive | None:
    """Return, in some of the drills, an older archive of which something was noted."""
    names = {each.archive for each in everything if each.entries}
    older = [archive for archive in order.archives[1:] if archive.name in names]
    return secrets.choice(older) if older and not secrets.randbelow(OLDER_ONE_IN) else None


def _within(found: dict[str, tuple[str, Entry]], marks: list[str], bytes_limit: int) -> Iterator[tuple[str, Entry]]:
    """Give what these marks stand for, as far as the bytes allow."""
    left = bytes_limit
    for mark in marks:
        size = found[mark][1].size
        if size <= left:
            left -= size
            yield found[mark]


def _place(folder: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (folder / noted.PLACE).read_text()
    return ""
