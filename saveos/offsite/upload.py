"""Brings one segment into the store: whole when it is small, else in parts; those that are there stay there."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import ObjectMissing, StorageDenied, StorageError, StorageUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.offsite.bucket import Bucket
    from saveos.offsite.objects import Lock

PART_BYTES = 8 * 1024**2  # quicker than 16; see note 28


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is to become an object. `key`: whole; `is_anew`: what is there is of no use."""

    path: str
    key: str
    bytes: int
    sha256: str
    is_anew: bool = False


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `sent_bytes`: that travelled now; `is_locked`: as it was asked for."""

    version_id: str
    sent_bytes: int
    is_locked: bool


class Uploader:
    """Sends files of one host; by any thread. `hear` is told each number of bytes that has arrived."""

    def __init__(self, bucket: Bucket, folder: str, lock: Lock | None, hear: Callable[[int], None]) -> None:
        """Ask what was begun and not finished: of a former run, as nobody else works on this host's copy."""
        self._bucket, self._lock, self._hear = bucket, lock, hear
        self._begun: dict[str, str] = {}
        self._surplus: list[tuple[str, str]] = []
        for key, upload_id in _unfinished(bucket, folder):
            if key in self._begun:
                self._surplus.append((key, self._begun[key]))
            self._begun[key] = upload_id

    def send(self, sending: Sending) -> Sent:
        """Bring a file there, unless it is. Raises StorageError, Stopped, OSError."""
        if not sending.is_anew and (version := self._there(sending)) is not None:
            self._hear(sending.bytes)
            return Sent(version_id=version, sent_bytes=0, is_locked=False)
        if sending.bytes <= PART_BYTES:
            content = Path(sending.path).read_bytes()
            _require(hashlib.sha256(content).hexdigest() == sending.sha256)
            version = self._bucket.put(sending.key, content, lock=self._lock, sha256=sending.sha256)
            self._hear(len(content))
            return Sent(version_id=version, sent_bytes=len(content), is_locked=self._lock is not None)
        return self._send_parts(sending)

    def tidy(self) -> None:
        """Give up what was begun for segments that nobody needs any more."""
        for key, upload_id in [*self._begun.items(), *self._surplus]:
            self._bucket.give_up(key, upload_id)

    def _there(self, sending: Sending) -> str | None:
        """Return the version of an object that a former run brought there before it could note that."""
        try:
            held = self._bucket.head(sending.key)
        except ObjectMissing:
            return None
        is_same = held.bytes == sending.bytes and sending.sha256 == (held.checksum or held.sha256)
        return held.version_id if is_same else None

    def _send_parts(self, sending: Sending) -> Sent:
        upload_id = None if sending.is_anew else self._begun.pop(sending.key, None)
        there = self._parts(sending.key, upload_id) if upload_id else {}
        if upload_id is None or there is None:
            upload_id = self._bucket.begin(sending.key, lock=self._lock, sha256=sending.sha256)
            there = {}
        parts: dict[int, tuple[str, str]] = {}
        whole, sent_bytes = hashlib.sha256(), 0
        with Path(sending.path).open("rb", buffering=0) as file:
            while content := file.read(PART_BYTES):
                number = len(parts) + 1
                whole.update(content)
                sha256 = hashlib.sha256(content).hexdigest()
                etag = _etag_if_same(content, there.get(number))
                if etag is None:
                    etag = self._bucket.put_part(sending.key, upload_id, number, content, sha256)
                    sent_bytes += len(content)
                parts[number] = (etag, sha256)
                self._hear(len(content))
        _require(whole.hexdigest() == sending.sha256)
        version = self._bucket.finish(sending.key, upload_id, parts)
        # An upload that was begun long ago was told a date of then.
        return Sent(version_id=version, sent_bytes=sent_bytes, is_locked=self._lock is not None and not there)

    def _parts(self, key: str, upload_id: str) -> dict[int, tuple[int, str]] | None:
        try:
            return self._bucket.parts(key, upload_id)
        except ObjectMissing:
            return None


def _unfinished(bucket: Bucket, folder: str) -> list[tuple[str, str]]:
    """Return what was begun; where a key may not ask that, all begins anew."""
    try:
        return bucket.uploads(folder + "/")
    except (StorageDenied, StorageUnsupported):
        return []


def _etag_if_same(content: bytes, part: tuple[int, str] | None) -> str | None:
    """Return the ETag of a part that is there and is this one: stores name parts by their MD5."""
    if part is None or part[0] != len(content):
        return None
    return part[1] if part[1].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest() else None


def _require(is_same: bool) -> None:  # noqa: FBT001 - what is required
    if not is_same:
        raise StorageError("A segment changed while it was copied: the disk gives other bytes than before.")
