"""How what a restore is to bring back compares with what stands on the host."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saveos.agent.engine_selection import another_name
from saveos.agent.ground import Ground, Refusal, status_of
from saveos.protocol import Fate, OnConflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agent.engine_extract import Plan
    from saveos.agent.engine_selection import Parts

NAMES_LIMIT = 1000
DEVICES = (stat.S_IFCHR, stat.S_IFBLK)
NEW, IDENTICAL = "new", "identical"
DAMAGED = "damaged"


@dataclass
class Step:
    """One item to restore. `is_same`: what stands at `place` has its very content; `content`: it is on its way."""

    item: Any
    parts: Parts
    is_same: bool = False
    place: Parts | None = None  # on the ground, when that was looked at; None: never
    content: Iterator[bytes] | None = None
    preloaded_bytes: int = 0


@dataclass
class Look:
    """Compares items with what stands on the ground; `ground` is None when a dry run has no target yet."""

    ground: Ground | None
    archive: Any
    plan: Plan
    masters: dict[str, Any] = field(default_factory=dict)  # hard links: path of the first → its chunks
    lost: dict[str, Any] = field(default_factory=dict)  # damaged: path of the first → the chunks that it had
    placed: dict[str, tuple[Parts, os.stat_result]] = field(default_factory=dict)  # where one of them is by now
    absent: set[Parts] = field(default_factory=set)  # folders that a dry run foresees to be made anew
    renamed: dict[Parts, str] = field(default_factory=dict)
    full: dict[int, int] = field(default_factory=dict)  # file systems without room → the error that said so

    def chunks_of(self, item: Any) -> Any:
        """Return the pieces of a regular file; None for a hard link to what the archive does not hold."""
        return self.masters.get(item.source) if "source" in item else item.get("chunks", ())

    def is_damaged(self, item: Any) -> bool:
        """Return whether the repository has lost some of a file: `borg check --repair` put zeros in its place."""
        return "chunks_healthy" in item or item.get("source", item.path) in self.lost

    def healthy_of(self, item: Any) -> Any:
        """Return the pieces that a file had when it was backed up; Borg keeps the names of those that it has lost."""
        if not self.is_damaged(item):
            return self.chunks_of(item)
        return item.get("chunks_healthy") or self.lost[item.get("source", item.path)]

    def mapped(self, parts: Parts) -> Parts:
        """Return where an entry goes: folders on its way may have got another name."""
        if not self.renamed:
            return parts
        return tuple(self.renamed.get(parts[: depth + 1], name) for depth, name in enumerate(parts))

    def compare(self, step: Step) -> None:
        """Find whether the content of a regular file has to be written; again when a folder got another name since."""
        place = self.mapped(step.parts)
        if step.place != place:
            step.place, step.is_same = place, self.has_content(step)

    def has_content(self, step: Step) -> bool:
        """Return whether a regular file stands there with the very content of the item.

        Known without the repository: Borg names each piece of a file by its keyed hash.
        """
        if self.plan.conflict is OnConflict.SKIP:
            return False
        parts, chunks = self.mapped(step.parts), self.healthy_of(step.item)
        try:
            folder = self._folder(parts[:-1]) if parts and chunks is not None else None
            return folder is not None and self._matches(folder, parts[-1], chunks)
        except (OSError, Refusal):
            return False

    def is_wanted(self, step: Step) -> bool:
        """Return whether the content of a regular file has to be fetched."""
        if step.is_same:
            return False
        try:
            self.require_room(self.mapped(step.parts))
            return self.judge(step)[0] not in (IDENTICAL, Fate.SKIPPED)
        except (OSError, Refusal):
            return False

    def require_room(self, parts: Parts) -> None:
        """Raise OSError where a file would go to a file system that is full. Raises Refusal."""
        if self.full and self.ground is not None and (error := self.full.get(self.ground.device(parts[:-1]))):
            raise OSError(error, os.strerror(error))

    def judge(self, step: Step) -> tuple[str, str]:
        """Return what becomes of an item: new, identical or a Fate, and what is to be said of it.

        Raises Refusal, OSError.
        """
        item, parts = step.item, self.mapped(step.parts)
        if self.plan.is_foreign and stat.S_IFMT(item.mode) in DEVICES:
            raise Refusal("device")
        if self._is_absent(step.parts):
            return NEW, ""
        if stat.S_ISDIR(item.mode):
            return self._judge_folder(step, parts)
        if not parts:
            raise Refusal("outside")  # the root is a folder
        folder = self._folder(parts[:-1])
        status = None if folder is None else status_of(folder, parts[-1])
        if folder is None or status is None:
            return NEW, ""
        words = self._differing(step, folder, parts[-1], status)
        if not words:
            return IDENTICAL, ""
        return self._rule(step, folder, parts[-1], " ".join(words))

    def is_own(self, step: Step, status: os.stat_result) -> bool:
        """Return whether a file may get attributes: it has no other name, whose they would be too, or has them."""
        return status.st_nlink == 1 or self.has_attributes(step.item, status)

    def has_attributes(self, item: Any, status: os.stat_result) -> bool:
        """Return whether something that is there has the mode, the owner and the time of the archive."""
        return not self._differing_attributes(item, status)

    def _is_absent(self, parts: Parts) -> bool:
        if self.plan.is_dry_run and self.ground is None:
            return True
        return bool(self.absent) and any(parts[:depth] in self.absent for depth in range(len(parts)))

    def _folder(self, parts: Parts) -> int | None:
        return None if self.ground is None else self.ground.folder(parts)

    def _judge_folder(self, step: Step, parts: Parts) -> tuple[str, str]:
        assert self.ground is not None  # noqa: S101 - else all is absent
        try:
            found = self.ground.folder(parts)
        except Refusal:
            above = self._folder(parts[:-1])  # what is wrong above it is a refusal of this entry too
            if above is None:
                raise
            return self._rule(step, above, parts[-1], "type")
        return (NEW if found is None or parts in self.ground.made else IDENTICAL), ""

    def _rule(self, step: Step, folder: int, name: str, words: str) -> tuple[str, str]:
        if self.plan.conflict is OnConflict.SKIP:
            return Fate.SKIPPED, words
        if self.is_damaged(step.item):
            self._require_nothing_lost(step, folder, name)
        if self.plan.conflict is OnConflict.OVERWRITE:
            return Fate.REPLACED, words
        for number in range(1, NAMES_LIMIT):
            other = another_name(name, self.plan.stamp, number)
            status = status_of(folder, other)
            if status is None:
                return Fate.RENAMED, other
            if self.is_damaged(step.item) and self._is_like(step.item, folder, other):
                raise Refusal(DAMAGED)
            if stat.S_ISDIR(step.item.mode):
                if stat.S_ISDIR(status.st_mode):  # made by an attempt that was cut short
                    return Fate.RENAMED, other
            elif not self._differing(step, folder, other, status):
                return IDENTICAL, ""
        raise Refusal("no-name")

    def _require_nothing_lost(self, step: Step, folder: int, name: str) -> None:
        """Raise Refusal where zeros would take the place of what may be healthy, or stand there already."""
        if self.plan.conflict is OnConflict.OVERWRITE:
            is_lost = not self.has_content(step)
        else:
            is_lost = self._is_like(step.item, folder, name)
        if is_lost:
            raise Refusal(DAMAGED)

    def _is_like(self, item: Any, folder: int, name: str) -> bool:
        """Return whether a file stands there with what the repository holds of the item by now."""
        try:
            return self._matches(folder, name, self.chunks_of(item) or ())
        except OSError:  # a link
            return False

    def _differing(self, step: Step, folder: int, name: str, status: os.stat_result) -> list[str]:
        """Return in what a thing that is there differs from the item."""
        item = step.item
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(item.mode):
            return ["type"]
        words = []
        if stat.S_ISREG(item.mode):
            placed = self.placed.get(item.source) if "source" in item and not self.plan.is_dry_run else None
            if placed is not None:
                same = (placed[1].st_dev, placed[1].st_ino) == (status.st_dev, status.st_ino)
                return [] if same else ["link"]
            words += self._differing_content(step, folder, name, status)
        elif stat.S_ISLNK(item.mode):
            words += ["target"] if os.readlink(name, dir_fd=folder) != item.source else []
        elif stat.S_IFMT(item.mode) in DEVICES and status.st_rdev != item.rdev:
            words += ["device"]
        return words + self._differing_attributes(item, status)

    def _differing_content(self, step: Step, folder: int, name: str, status: os.stat_result) -> list[str]:
        item = step.item
        chunks = self.healthy_of(item) or ()
        if status.st_size != sum(chunk.size for chunk in chunks):
            return ["size"]
        is_quick = self.plan.is_dry_run or self.plan.conflict is OnConflict.SKIP or "source" in item
        if is_quick or (step.is_same if name == step.parts[-1] else self._matches(folder, name, chunks)):
            return []
        return ["content"]

    def _differing_attributes(self, item: Any, status: os.stat_result) -> list[str]:
        from borg.archive import get_item_uid_gid  # noqa: PLC0415

        words = ["time"] if status.st_mtime_ns != item.mtime else []
        if stat.S_ISLNK(item.mode):
            return words
        mode = stat.S_IMODE(item.mode) & (0o1777 if self.plan.is_foreign else 0o7777)
        words += ["mode"] if stat.S_IMODE(status.st_mode) != mode else []
        owner = get_item_uid_gid(item, numeric=self.archive.numeric_ids)
        if os.geteuid() == 0 and owner != (status.st_uid, status.st_gid):
            words.append("owner")
        return words

    def _matches(self, folder: int, name: str, chunks: Any) -> bool:
        """Return whether a regular file consists of these pieces."""
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != sum(chunk.size for chunk in chunks):
                return False
            hashed = self.archive.key.id_hash
            return all(hashed(file.read(chunk.size)) == chunk.id for chunk in chunks)
