"""Borg's repository as a host may write to it: it only grows, and each commit leaves evidence of what it took away.

Source: borg/repository.py and borg/crypto/key.py, 1.4.5. An encrypted object begins with a byte for the kind of key, 32
bytes of authentication and 8 bytes of nonce; nonces are reserved in the repository and never used again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from borg.helpers import Manifest
from borg.repository import Repository

if TYPE_CHECKING:
    from saveos.repositories.evidence import Counter

KEY_TYPE = 0x05  # repokey-blake2, which our agents make
NONCE = slice(33, 41)
HEAD_BYTES = NONCE.stop
NO_COMMIT = -1
NONCES_OF_A_SESSION = 2**44  # one for each 16 bytes: 256 TiB, also for a host ahead of a repository that was put back


class Guarded(Repository):  # type: ignore[misc]
    """A repository whose changes are counted."""

    index: Any
    io: Any
    storage_quota_use: int

    def __init__(self, path: str, counter: Counter, room_bytes: int | None, **how: Any) -> None:
        """Take what Borg takes, where to count, and how much may be added; None: no limit.

        The limit is not written down: 0 keeps Borg from looking for one in the repository's configuration.
        """
        super().__init__(path, storage_quota=0, **how)
        self._room_bytes = room_bytes
        self._first_use: int | None = None
        self._counter = counter
        self._first_nonce: int | None = None
        self._last_nonce = 0

    @property
    def added_bytes(self) -> int:
        """How much more there is than when the first object came; what is taken back counts no more."""
        return 0 if self._first_use is None else max(0, self.storage_quota_use - self._first_use)

    @property
    def is_changing(self) -> bool:
        """Whether there is something that is not committed."""
        return bool(self._active_txn)

    def put(self, id: bytes, data: bytes, wait: bool = True) -> Any:  # noqa: A002, FBT001, FBT002 - Borg's signature
        """Write an object. Raises StorageQuotaExceeded once it is one too many; it is to be taken back then."""
        if self._first_use is None:
            self._begin()
        self._counter.add(put_count=1, put_bytes=len(data))
        if id == Manifest.MANIFEST_ID:
            self._counter.note_manifest(len(data))
        else:
            self._counter.note_put(id)
        self._look_at(data)
        return super().put(id, data, wait)

    def commit_nonce_reservation(self, next_unreserved: int, start_nonce: int | None) -> None:
        """Reserve nonces. Raises ValueError for some that are reserved, and for far more than a session needs.

        A nonce never goes back, not even by a roll-back: who used them up would end the repository for good.
        """
        first = self._reserved_before()
        if not max(first, self._last_nonce) <= next_unreserved <= first + NONCES_OF_A_SESSION:
            self._counter.add(malformed_count=1)
            raise ValueError("These nonces are not to be had.")
        super().commit_nonce_reservation(next_unreserved, start_nonce)
        self._last_nonce = next_unreserved

    def commit(self, *arguments: Any, **how: Any) -> Any:
        """Commit, once the evidence of it is on the disk. Raises OSError when it cannot be."""
        base = self.io.get_segments_transaction_id()
        self._counter.keep(NO_COMMIT if base is None else base)
        try:
            return super().commit(*arguments, **how)
        finally:
            self._counter.forget()

    def rollback(self) -> None:
        """Take back what is not committed."""
        self._counter.forget()
        super().rollback()

    def note_refused(self) -> None:
        """Leave evidence that there was no room. Raises OSError."""
        base = self.io.get_segments_transaction_id()
        self._counter.keep_refused(NO_COMMIT if base is None else base)

    def give_back(self) -> None:
        """Take back what is not committed, and its room on the disk at once: Borg leaves that to the next one."""
        self._counter.forget()
        with contextlib.suppress(OSError):
            self.io.close_segment()  # on a full disk its last bytes find no room either
        self._rollback(cleanup=self.io.get_segments_transaction_id() is not None)

    def _begin(self) -> None:
        """Count from here, and no further than there is room: Borg's own count, which grows until a compaction."""
        if not self._active_txn:
            self.prepare_txn(self.get_transaction_id())
        self._first_use = self.storage_quota_use
        if self._room_bytes is not None:
            self.storage_quota = max(1, self._first_use + self._room_bytes)

    def _delete(self, id: bytes, segment: int, offset: int) -> None:  # noqa: A002 - Borg's signature
        """Supersede an object: called for each delete, and for each put over one that is there."""
        is_replaced = id in self.index
        if id != Manifest.MANIFEST_ID:
            self._counter.note_gone(id, segment, is_replaced=is_replaced)
        elif not is_replaced:  # Borg only ever writes it anew
            self._counter.add(manifest_deleted=1)
        super()._delete(id, segment, offset)

    def _look_at(self, data: bytes) -> None:
        """Count what no client of ours would send: another kind of key, a nonce that is used up or not reserved."""
        first = self._reserved_before()
        if len(data) < HEAD_BYTES or data[0] != KEY_TYPE:
            self._counter.add(malformed_count=1)
            return
        nonce = int.from_bytes(data[NONCE], "big")
        if nonce < first:
            self._counter.add(replayed_count=1)
        elif nonce >= self._last_nonce:
            self._counter.add(malformed_count=1)

    def _reserved_before(self) -> int:
        """Return up to where nonces were reserved when the session began."""
        if self._first_nonce is None:
            self._first_nonce = self._last_nonce = self.get_free_nonce() or 0
        return self._first_nonce
