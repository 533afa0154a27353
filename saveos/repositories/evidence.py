"""What a session did to a repository, written down before each of its commits; light: either process may read it.

The session's process writes, the main process judges. A file speaks of a commit that was about to happen: whether it
did is told by the repository's own log.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.protocol import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHIVES_LIMIT = 10_000
COMMITS_LIMIT = 3000  # of one session: a backup makes one in five minutes, for ten days; a flood is many a second
COMMIT = b"\x40\xf4\x3c\x25\x09\x00\x00\x00\x02"  # how a committed segment ends: LoggedIO.COMMIT of Borg 1.4


class Evidence(Wire, frozen=True, kw_only=True):
    """What goes with one commit, since the one before it; or with what found no room.

    `base`: the commit that it builds upon, -1 for none. Objects "of snapshots" lay in what was settled when the last
    snapshot was recorded. `job_id` is empty when no running job of the host stood behind it.
    """

    base: int
    at: datetime
    job_id: str = ""
    put_count: int = 0
    put_bytes: int = 0
    deleted_count: int = 0  # objects of snapshots that are gone
    replaced_count: int = 0  # objects of snapshots that were written anew, the manifest aside
    archive_ids: tuple[str, ...] = ()  # of snapshots whose own object is among these, hex
    malformed_count: int = 0  # objects that no key of this repository wrote
    replayed_count: int = 0  # objects whose nonce was used up before the session began
    manifest_bytes: int = 0  # 0: not written
    manifest_deleted: int = 0  # how often, whatever was written after that
    refused_bytes: int = 0  # that found no room: all of this was taken back, there was no commit
    newest_id: str = ""  # of the last object that was written, the manifest aside, hex: a new archive's own


def write(folder: Path, evidence: Evidence) -> None:
    """Keep it; it is on the disk when this returns. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    temporary = folder / f".{name}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(evidence))
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(folder)


def read_all(folder: Path) -> Iterator[tuple[Path, Evidence]]:
    """Give what is there, oldest first; what is torn never came to its commit and is passed over."""
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(folder.glob("[0-9]*.json")):
            with contextlib.suppress(msgspec.MsgspecError):
                yield path, msgspec.json.decode(path.read_bytes(), type=Evidence)


def last_commit(repository: Path) -> int:
    """Return the segment of a repository's last commit, -1 when there is none. Needs no lock: a commit is one write."""
    folders = sorted((int(path.name) for path in (repository / "data").glob("[0-9]*")), reverse=True)
    for folder in folders:
        numbers = (path.name for path in (repository / "data" / str(folder)).iterdir())
        for number in sorted((int(name) for name in numbers if name.isdigit()), reverse=True):
            with contextlib.suppress(OSError), (repository / "data" / str(folder) / str(number)).open("rb") as file:
                file.seek(-len(COMMIT), os.SEEK_END)
                if file.read() == COMMIT:
                    return number
    return -1


def sync(folder: Path) -> None:
    """Bring the names of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Counter:
    """Gathers the evidence of one session from commit to commit."""

    def __init__(self, folder: Path | None, job_id: str, settled_segment: int, archive_ids: tuple[str, ...]) -> None:
        """`folder` None: nobody wants to know. `archive_ids`: of the good snapshots, hex."""
        self._folder, self._job_id, self._settled = folder, job_id, settled_segment
        self._archives = {bytes.fromhex(archive_id) for archive_id in archive_ids}
        self._lost: set[bytes] = set()
        self._newest = b""
        self._commits = 0
        self._is_refused = False
        self._counts: dict[str, int] = {}

    def add(self, **counts: int) -> None:
        """Count."""
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + count

    def note_manifest(self, size: int) -> None:
        """Note how large the manifest is now."""
        self._counts["manifest_bytes"] = size

    def note_put(self, key: bytes) -> None:
        """Note that an object was written."""
        self._newest = key

    def note_gone(self, key: bytes, segment: int, *, is_replaced: bool) -> None:
        """Note that an object which lay in a segment is no more what it was."""
        if segment <= self._settled:
            self.add(**{"replaced_count" if is_replaced else "deleted_count": 1})
        if key in self._archives:
            self._lost.add(key)

    def keep(self, base: int) -> None:
        """Write down what goes with the commit that follows. Raises OSError: then there must be none."""
        if self._folder is None:
            return
        self._commits += 1
        if self._commits > COMMITS_LIMIT:
            raise OSError(errno.EMFILE, "A session makes no more commits than this.")
        lost = tuple(key.hex() for key in sorted(self._lost)[:ARCHIVES_LIMIT])
        write(
            self._folder,
            Evidence(
                base=base,
                at=clock.now(),
                job_id=self._job_id,
                archive_ids=lost,
                newest_id=self._newest.hex(),
                **self._counts,
            ),
        )

    def keep_refused(self, base: int) -> None:
        """Write down, once, that there was no room for what came since the last commit. Raises OSError."""
        if self._folder is None or self._is_refused:
            return
        self._is_refused = True
        tried = self._counts.get("put_bytes", 0)
        write(self._folder, Evidence(base=base, at=clock.now(), job_id=self._job_id, refused_bytes=tried))

    def forget(self) -> None:
        """Begin anew: what was counted is committed, or taken back."""
        self._newest = b""
        self._lost.clear()
        self._counts.clear()
