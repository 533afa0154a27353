"""A Borg repository at its last commit, read without a lock while others may write to it.

Sound because repositories grow only: segments up to a commit are not changed any more, and whoever compacts a
repository must end its readers first. A reader that met one missing all the same would fail, never read something
else: each object carries a checksum, its id and its authentication. Source: borg/repository.py, 1.4.5.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from borg.crypto.file_integrity import FileIntegrityError
from borg.helpers import IntegrityError
from borg.repository import TAG_DELETE, TAG_PUT, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTLE_SECONDS = 5.0  # a commit that is made meanwhile takes away the index that we look at
LOOK_SECONDS = 0.1


class Unsettled(Exception):
    """Index and segments contradict each other: what the index tells of is not there."""


class Committed(Repository):  # type: ignore[misc]
    """The last commit of a repository: what is written later does not show. Nothing in it can write."""

    io: Any
    index: Any
    _number: int | None = None

    def __init__(self, path: Path | str, settle_seconds: float = SETTLE_SECONDS) -> None:
        """Open it. Raises Unsettled when no commit stays whole for so long, and what Borg raises."""
        super().__init__(str(path), create=False, exclusive=False, lock=False, append_only=True)
        self.open(self.path, exclusive=False, lock=False)
        deadline = time.monotonic() + settle_seconds
        while not self._look():
            if time.monotonic() >= deadline:
                self.close()
                raise Unsettled(path)
            time.sleep(LOOK_SECONDS)

    def __enter__(self) -> Self:
        """Give itself: it is open already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of its files."""
        self.index = None
        if self.io is not None:
            self.io.close()
            self.io = None

    def _look(self) -> bool:
        """Take the index of the last commit; return whether there was a whole one."""
        try:
            number, last = self.get_index_transaction_id(), self.io.get_segments_transaction_id()
            if number is not None and (last is None or last < number):
                return False  # the index is newer than what we saw of the segments: look again
            self.index = self.open_index(number)
            if last != number:
                self._replay(-1 if number is None else number, last)
        except (OSError, ValueError, FileIntegrityError, IntegrityError):
            return False  # another commit has taken its place while we looked
        self._number = last
        return True

    def _replay(self, number: int, last: int) -> None:
        """Bring the index, in memory, from one commit to a later one whose index is not written yet, or never was."""
        for segment, _name in self.io.segment_iterator(number + 1):
            if segment > last:
                return
            for tag, key, offset, _size in self.io.iter_objects(segment, read_data=False):
                if tag == TAG_PUT:
                    self.index[key] = segment, offset
                elif tag == TAG_DELETE:
                    self.index.pop(key, None)

    def open_index(self, transaction_id: int | None, auto_recover: bool = False) -> Any:  # noqa: FBT001, FBT002 - Borg's signature
        """Return the index, never repaired."""
        del auto_recover
        from borg.crypto.file_integrity import IntegrityCheckedFile  # noqa: PLC0415
        from borg.hashindex import NSIndex  # noqa: PLC0415

        if transaction_id is None:
            return NSIndex()
        data = self._read_integrity(transaction_id, b"index")
        with IntegrityCheckedFile(f"{self.path}/index.{transaction_id}", write=False, integrity_data=data) as file:
            return NSIndex.read(file)

    def get_transaction_id(self) -> int | None:
        """Return the commit that is read."""
        return self._number

    def get(self, id: bytes) -> bytes:  # noqa: A002 - Borg's name
        """Return an object. Raises ObjectNotFound."""
        try:
            segment, offset = self.index[id]
            return bytes(self.io.read(segment, offset, id))
        except (KeyError, FileNotFoundError):
            raise self.ObjectNotFound(id, self.path) from None

    def get_many(self, ids: Any, is_preloaded: bool = False) -> Iterator[bytes]:  # noqa: FBT001, FBT002 - Borg's signature
        """Give objects in their order."""
        del is_preloaded
        for id_ in ids:
            yield self.get(id_)

    def __len__(self) -> int:
        return len(self.index)

    def rollback(self) -> None:
        """Keep the view: there is nothing to take back."""

    def _forbidden(self, *_: object, **__: object) -> Any:
        message = "This repository is only read."
        raise RuntimeError(message)

    check = commit = compact_segments = delete = destroy = prepare_txn = put = _forbidden
    check_transaction = commit_nonce_reservation = replay_segments = save_config = _forbidden
    save_key = write_index = _forbidden
