"""The folder that a restore writes into: every step to a place below it is made from an open folder.

A name is never looked up twice: whoever moves a folder away or puts a link in its place while we work changes nothing.
Source: `openat2(2)` RESOLVE_BENEATH and systemd's CHASE_SAFE, made of `openat` so that it needs no certain kernel.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HOPS_LIMIT = 40  # links in one path, as the kernel has it
NEW_FOLDER_MODE = 0o700
UNFINISHED_MODE = NEW_FOLDER_MODE | stat.S_ISVTX  # it gets its attributes last; a kill leaves this mark of ours
_NO_FOLDER = (errno.ENOTDIR, errno.ELOOP)
# Not every system has all of them; this module is loaded on each.
_PATH = getattr(os, "O_PATH", 0)
_ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _PATH | getattr(os, "O_DIRECTORY", 0) | _ITSELF


class Refusal(Exception):
    """A place is not written to. `code`: link, outside, not-a-folder."""

    def __init__(self, code: str) -> None:
        """Keep why."""
        super().__init__(code)
        self.code = code


class Ground:
    """An open folder, and the way to the place that was looked at last.

    `may_follow`: links that root or this user made are followed, those of others never; without it none is.
    """

    def __init__(self, top: int, *, may_follow: bool) -> None:
        """Take over the descriptor of the folder."""
        self._top = top
        self._may_follow = may_follow
        self._way: list[tuple[str, int]] = []
        self.made: set[tuple[str, ...]] = set()  # folders that were not there
        self.unfinished: set[tuple[str, ...]] = set()  # these, and those that a killed restore made

    @classmethod
    def at(cls, path: str, *, make: bool) -> Ground | None:
        """Open a folder by its whole path; nothing below it may lead out. None when it is not there.

        Raises Refusal, OSError.
        """
        with contextlib.closing(cls.whole()) as whole:
            found = whole.folder(parts_of(path.lstrip("/")), make=make, mode=NEW_FOLDER_MODE)
            return None if found is None else cls(os.dup(found), may_follow=False)

    @classmethod
    def whole(cls) -> Ground:
        """Open the host's root."""
        return cls(os.open("/", _FOLDER), may_follow=True)

    def again(self) -> Ground:
        """Return the same ground with a way of its own."""
        return Ground(os.dup(self._top), may_follow=self._may_follow)

    def close(self) -> None:
        """Let go of every folder."""
        self._leave(0)
        os.close(self._top)

    def folder(self, parts: Sequence[str], *, make: bool = False, mode: int = UNFINISHED_MODE) -> int | None:
        """Return a descriptor of the folder, valid until the next call; None when it is not there.

        Raises Refusal, OSError.
        """
        common = 0
        while common < min(len(parts), len(self._way)) and self._way[common][0] == parts[common]:
            common += 1
        self._leave(common)
        at = self._way[-1][1] if self._way else self._top
        for depth, name in enumerate(parts[common:], common + 1):
            step = self._step(at, name)
            if step is None and make:
                os.mkdir(name, mode, dir_fd=at)
                self.made.add(tuple(parts[:depth]))
                self.unfinished.add(tuple(parts[:depth]))
                step = self._step(at, name)
            if step is None:
                return None
            self._way.append((name, step))
            if _is_unfinished(os.fstat(step)):
                self.unfinished.add(tuple(parts[:depth]))
            at = step
        return at

    def device(self, parts: Sequence[str]) -> int:
        """Return the file system of a folder; of what stands above it while it is not there. Raises as `folder`."""
        self.folder(parts)
        return os.fstat(self._way[-1][1] if self._way else self._top).st_dev

    def forget(self, parts: Sequence[str]) -> None:
        """Look again at what stands at a place: it was replaced."""
        if [name for name, _at in self._way[: len(parts)]] == list(parts):
            self._leave(len(parts) - 1)

    def _leave(self, depth: int) -> None:
        while len(self._way) > depth:
            os.close(self._way.pop()[1])

    def _step(self, at: int, name: str) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=at)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
        return self._through(at, name)

    def _through(self, at: int, name: str) -> int:
        """Return the folder that a link leads to, if it may be followed."""
        pending = deque([name])
        here = os.dup(at)
        hops = 0
        try:
            while pending:
                part = pending.popleft()
                try:
                    there = os.open(part, _FOLDER, dir_fd=here)
                except OSError as error:
                    if error.errno not in _NO_FOLDER:
                        raise Refusal("link") from error  # it leads nowhere
                    hops += 1
                    target = self._target(here, part, hops)
                    pending.extendleft(reversed([part for part in target.split("/") if part not in ("", ".")]))
                    there = os.open("/", _FOLDER) if target.startswith("/") else os.dup(here)
                os.close(here)
                here = there
        except BaseException:
            os.close(here)
            raise
        return here

    def _target(self, at: int, name: str, hops: int) -> str:
        """Return where a link leads. Raises Refusal when it is none, or one that is not to be followed."""
        if not _PATH:  # macOS has no descriptor of a link; somebody may exchange it between these two
            self._require_followed(os.stat(name, dir_fd=at, follow_symlinks=False), hops)
            return os.readlink(name, dir_fd=at)
        try:
            link = os.open(name, _PATH | _ITSELF, dir_fd=at)
        except OSError as error:
            raise Refusal("link") from error
        try:
            self._require_followed(os.fstat(link), hops)
            return os.readlink("", dir_fd=link)
        finally:
            os.close(link)

    def _require_followed(self, status: os.stat_result, hops: int) -> None:
        if not stat.S_ISLNK(status.st_mode):
            raise Refusal("not-a-folder")
        if not self._may_follow or status.st_uid not in (0, os.geteuid()) or hops > HOPS_LIMIT:
            raise Refusal("link")


def _is_unfinished(status: os.stat_result) -> bool:
    mode = stat.S_IMODE(status.st_mode) & ~stat.S_ISGID  # the folder above may hand it down
    return mode == UNFINISHED_MODE and status.st_uid == os.geteuid()


def parts_of(path: str) -> tuple[str, ...]:
    """Return the names along a path inside an archive; none for its root. Raises Refusal for one that leads out."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise Refusal("outside")
    return parts


def status_of(folder: int, name: str) -> os.stat_result | None:
    """Return what stands in a folder under a name, itself; None for nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def address_of(folder: int, name: str = ".") -> str:
    """Return a path to something in an open folder, for what takes no descriptor.

    On Linux the folder cannot be exchanged meanwhile. Raises OSError where /proc is not mounted.
    """
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415

        found = fcntl.fcntl(folder, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")
        return os.fsdecode(os.path.join(found, os.fsencode(name)))  # noqa: PTH118
    return f"/proc/self/fd/{folder}/{name}"
