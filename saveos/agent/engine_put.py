"""Puts what an archive holds onto the ground, as the rule on conflicts says."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any, Protocol

from saveos.agent.engine_foresight import count
from saveos.agent.engine_leftovers import sweep
from saveos.agent.engine_look import DAMAGED, IDENTICAL, NEW, Step
from saveos.agent.ground import NEW_FOLDER_MODE, Ground, Refusal, address_of, status_of
from saveos.protocol import Fate, OnConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.agent.engine_look import Look
    from saveos.agent.engine_nodes import Nodes
    from saveos.agent.engine_selection import Parts
    from saveos.agent.tally import Tally

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # the next file there would fail too


class Hand(Protocol):
    """What is done with each step of a restore."""

    def do(self, step: Step) -> None:
        """Do it, and count it."""

    def finish(self, passed: dict[Parts, Any]) -> None:
        """Do what comes last. `passed`: folders above what was chosen, as the archive knows them."""


class Hands:
    """Writes. `fetch`: gives the content of chunks that were not asked for ahead."""

    def __init__(
        self, ground: Ground, look: Look, nodes: Nodes, tally: Tally, fetch: Callable[[Any], Iterator[bytes]]
    ) -> None:
        """Nothing is touched yet."""
        self._ground, self._look, self._nodes, self._tally, self._fetch = ground, look, nodes, tally, fetch
        self._others = ground.again()  # the way to places far from the one in hand
        self._folders: list[tuple[Parts, Parts, Any]] = []  # entered: in the archive, on the ground, the item
        self._swept: list[Parts] = []  # the folder in hand and those above it, on the ground

    def do(self, step: Step) -> None:
        """Put one entry where it belongs, and count it."""
        from borg.helpers import IntegrityError  # noqa: PLC0415
        from borg.repository import Repository  # noqa: PLC0415

        self._leave(step.parts)
        path = step.item.path
        try:
            self._put(step)
        except Refusal as refusal:
            is_skipped = self._look.plan.conflict is OnConflict.SKIP and refusal.code == "not-a-folder"
            self._tally.differs(path, Fate.SKIPPED if is_skipped else Fate.REFUSED, refusal.code)
        except (IntegrityError, Repository.ObjectNotFound) as error:
            self._tally.differs(path, Fate.FAILED, f"damaged: {type(error).__name__}")
        except OSError as error:
            if error.errno in NO_ROOM:
                self._note_full(step, error.errno)
            self._tally.differs(path, Fate.FAILED, error.strerror or str(error))
        with contextlib.suppress(IntegrityError, Repository.ObjectNotFound):
            for _rest in step.content or ():  # what was asked for has to be taken
                pass

    def _note_full(self, step: Step, error: int) -> None:
        with contextlib.suppress(Refusal, OSError):
            device = self._ground.device(self._look.mapped(step.parts)[:-1])
            self._look.full[device] = error

    def _put(self, step: Step) -> None:
        """Put an item where it belongs, as the conflict rule says."""
        self._sweep(self._look.mapped(step.parts)[:-1])
        if stat.S_ISDIR(step.item.mode):
            self._put_folder(step)
            return
        if step.place is not None:
            self._look.compare(step)
        fate, detail = self._look.judge(step)
        parts = self._look.mapped(step.parts)
        if fate is Fate.RENAMED:
            self._make(step, (*parts[:-1], detail), replace=False)
        elif fate is Fate.REPLACED:
            if not (step.is_same and self._keep(step)):
                if self._look.is_damaged(step.item):
                    raise Refusal(DAMAGED)
                self._make(step, parts, replace=True)
        elif fate == IDENTICAL:
            self._keep(step)
        elif fate == NEW:
            self._make(step, parts, replace=False)
        count(self._tally, step, fate, detail)

    def _sweep(self, parts: Parts) -> None:
        """Remove what a restore that was killed left in a folder, when the first entry for it comes."""
        while self._swept and parts[: len(self._swept[-1])] != self._swept[-1]:
            self._swept.pop()
        if self._swept[-1:] == [parts]:
            return
        if parts not in self._ground.made and (folder := self._ground.folder(parts)) is not None:
            sweep(folder)
        self._swept.append(parts)

    def _put_folder(self, step: Step) -> None:
        fate, detail = self._look.judge(step)
        if fate is Fate.RENAMED:
            self._look.renamed[step.parts] = detail
        parts = self._look.mapped(step.parts)
        if fate is Fate.REPLACED:
            os.unlink(parts[-1], dir_fd=self._ground.folder(parts[:-1]))
            self._ground.forget(parts)
        if fate is not Fate.SKIPPED:
            self._ground.folder(parts, make=True)
            if self._look.plan.conflict is OnConflict.OVERWRITE or parts in self._ground.unfinished:
                self._folders.append((step.parts, parts, step.item))
        count(self._tally, step, fate, detail)

    def _make(self, step: Step, parts: tuple[str, ...], *, replace: bool) -> None:
        item = step.item
        folder = self._ground.folder(parts[:-1], make=True)
        assert folder is not None  # noqa: S101 - made if need be
        name = parts[-1]
        if stat.S_ISLNK(item.mode):
            self._nodes.symbolic_link(folder, name, item, replace=replace)
            return
        first = item.get("source", item.path)
        if (placed := self._look.placed.get(first)) is not None:
            self._link(folder, name, placed, replace=replace)
            return
        if stat.S_ISREG(item.mode):
            self._look.require_room(parts)
            status = self._nodes.file(folder, name, item, self._content(step), replace=replace)
            self._tally.written_bytes += status.st_size
            if self._look.is_damaged(item):
                self._tally.differs(item.path, Fate.FAILED, "damaged: zeros stand for what the repository has lost")
        else:
            self._nodes.special(folder, name, item, replace=replace)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if "source" in item or item.get("hardlink_master", not stat.S_ISREG(item.mode)):
            self._look.placed[first] = (parts, status)

    def _link(self, folder: int, name: str, placed: tuple[tuple[str, ...], os.stat_result], *, replace: bool) -> None:
        (*above, source), status = placed
        source_folder = self._others.folder(above)
        if source_folder is None:
            raise OSError(errno.ENOENT, "The file that it is a hard link to has gone")
        self._nodes.hard_link(folder, name, (source_folder, source, status), replace=replace)

    def _content(self, step: Step) -> Iterator[bytes]:
        if step.content is not None:
            return step.content
        chunks = self._look.chunks_of(step.item)
        if chunks is None:
            raise OSError(errno.EIO, "The snapshot does not hold what it is a hard link to")
        return self._fetch(chunks)

    def _keep(self, step: Step) -> bool:
        """Leave a file that has the very content, with the archive's attributes; return whether that can be."""
        item, parts = step.item, self._look.mapped(step.parts)
        if not stat.S_ISREG(item.mode):
            return True
        folder = self._ground.folder(parts[:-1])
        status = None if folder is None else status_of(folder, parts[-1])
        if folder is None or status is None:
            return False
        if self._look.plan.conflict is OnConflict.OVERWRITE and step.is_same:
            if not self._look.is_own(step, status):
                return False
            try:
                self._nodes.set_on_file(folder, parts[-1], item, status)
            except PermissionError:
                return False
            except OSError as error:
                if not self._is_as_it_should(error, item, status):
                    raise
        if item.get("hardlink_master", False) and "source" not in item and step.is_same:
            self._look.placed[item.path] = (parts, status)
        return True

    def _leave(self, parts: tuple[str, ...]) -> None:
        """Give the folders that are done their attributes: what is put into a folder changes its time."""
        while self._folders and (not parts or parts[: len(self._folders[-1][0])] != self._folders[-1][0]):
            _archived, made, item = self._folders.pop()
            self._finish(made, item)
            self._ground.made.discard(made)

    def _is_as_it_should(self, error: OSError, item: Any, status: os.stat_result) -> bool:
        """Return whether something on a file system that takes no change needs none."""
        return error.errno == errno.EROFS and self._look.has_attributes(item, status)

    def _finish(self, parts: Parts, item: Any) -> None:
        self._ground.unfinished.discard(parts)
        try:
            folder = self._others.folder(parts)
            if folder is not None:
                self._set_on_folder(folder, item)
        except (Refusal, OSError) as error:
            self._tally.differs(item.path, Fate.FAILED, str(error))

    def _set_on_folder(self, folder: int, item: Any) -> None:
        try:
            self._nodes.set_on_folder(folder, item)
        except OSError as error:
            if not self._is_as_it_should(error, item, os.fstat(folder)):
                raise

    def finish(self, passed: dict[Parts, Any]) -> None:
        """Give folders their attributes; those above what was chosen only if they were not there.

        However the restore ends: nobody could enter them.
        """
        self._leave(())
        for parts in sorted(passed, key=len, reverse=True):
            mapped = self._look.mapped(parts)
            if mapped in self._ground.unfinished:
                self._finish(mapped, passed[parts])
        for parts in tuple(self._ground.unfinished):  # the archive does not know them
            with contextlib.suppress(Refusal, OSError):
                folder = self._others.folder(parts)
                if folder is not None:
                    os.chmod(address_of(folder), NEW_FOLDER_MODE)  # noqa: PTH101 - a magic link, no path
