"""Where self-backups lie: a folder of this machine, and the store under `<prefix>/appliance/`.

Names tell what lies there, so that nothing is kept of it anywhere else: whoever has nothing left finds them the same.
"""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import (
    InvalidRequest,
    ObjectLocked,
    ObjectMissing,
    SelfBackupAltered,
    SelfBackupMissing,
    StorageDenied,
    StorageUnsupported,
)
from saveos.offsite import layout
from saveos.offsite.upload import Sending, Uploader
from saveos.selfbackup.model import HASH_LENGTH, Named, named, to_keep
from saveos.selfbackup.sealed import head_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from saveos.offsite.bucket import Bucket
    from saveos.offsite.objects import Listed, Lock

FOLDER, TEXT_NAME = "appliance", "README.txt"
CHUNK = 1 << 20
README = """\
What is kept here
=================

Backups that a SaveOS appliance made of itself: <when, UTC>-<first 16 digits of its SHA-256>.saveos. Each holds all of
it but the repositories, which lie beside this folder: tenants, people, hosts, policies, its certificate authority, its
keys. They are sealed to the recovery kit of whoever runs the appliance; without its code they say when they were made,
and nothing else.

On an empty machine with SaveOS: saveos recover --help
"""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A self-backup that lies somewhere, whole or not. `version_ids`: in a store, the newest first."""

    named: Named
    bytes: int
    version_ids: tuple[str, ...] = ("",)


class Shelf:
    """A folder of self-backups, or one file."""

    def __init__(self, path: Path) -> None:
        """Nothing is looked at yet."""
        self._path = path

    def listing(self) -> list[Found]:
        """Return what is there, newest first. Raises SelfBackupMissing."""
        if self._path.is_file():
            return [Found(named=_named_anew(self._path), bytes=self._path.stat().st_size)]
        known = [(path, one) for path in self._path.glob("*") if path.is_file() and (one := named(path.name))]
        found = [Found(named=one, bytes=path.stat().st_size) for path, one in known]
        return _newest_first(found, str(self._path))

    def fetch(self, found: Found, target: Path) -> None:
        """Bring one to a file, and see that it is what its name says. Raises SelfBackupAltered."""
        source = self._path if self._path.is_file() else self._path / found.named.name
        try:
            shutil.copyfile(source, target)
            with target.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SelfBackupAltered(f"{source} cannot be read: {error.strerror or error}.") from error
        _require_same(found, digest)


class Depot:
    """The self-backups in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        """Nothing is asked yet."""
        self._bucket = bucket
        self._folder = layout.below(bucket.place.prefix, FOLDER)

    def listing(self) -> list[Found]:
        """Return what is there, newest first, also what a mark hides. Raises StorageError, SelfBackupMissing."""
        by_name: dict[Named, list[Listed]] = {}
        for entry in self._entries():
            known = named(entry.key.rpartition("/")[2])
            if known is not None and not entry.is_marker:
                by_name.setdefault(known, []).append(entry)
        found = [
            Found(
                named=one,
                bytes=max(entry.bytes for entry in entries),
                version_ids=tuple(entry.version_id for entry in entries),
            )
            for one, entries in by_name.items()
        ]
        return _newest_first(found, f"{self._bucket.place.bucket}/{self._folder}")

    def fetch(self, found: Found, target: Path) -> None:
        """Bring one to a file: the version that is what its name says. Raises SelfBackupAltered, StorageError."""
        for version_id in found.version_ids:
            try:
                self._fetch(found, version_id, target)
            except (SelfBackupAltered, ObjectMissing):
                if version_id == found.version_ids[-1]:
                    raise
            else:
                return

    def _fetch(self, found: Found, version_id: str, target: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with target.open("wb") as file:
            for piece in self._bucket.read(layout.below(self._folder, found.named.name), version_id):
                size += len(piece)
                if size > max(found.bytes, CHUNK):
                    break  # what somebody put there may be endless
                digest.update(piece)
                file.write(piece)
        _require_same(found, digest.hexdigest())

    def send(self, path: Path, sha256: str, lock: Lock | None, hear: Callable[[int], None]) -> None:
        """Bring a self-backup there. Raises StorageError, Stopped, OSError."""
        text = README.encode()
        key = layout.below(self._folder, TEXT_NAME)
        try:
            self._bucket.head(key)
        except ObjectMissing:
            self._bucket.put(key, text, sha256=hashlib.sha256(text).hexdigest())
        uploader = Uploader(self._bucket, self._folder, lock, hear)
        whole = layout.below(self._folder, path.name)
        uploader.send(Sending(path=str(path), key=whole, bytes=path.stat().st_size, sha256=sha256))
        uploader.tidy()

    def let_go(self) -> int:
        """Delete what is not to be kept and not locked, version by version; return how many. Raises StorageError."""
        entries = [(entry, one) for entry in self._entries() if (one := named(entry.key.rpartition("/")[2]))]
        kept = to_keep({one for entry, one in entries if not entry.is_marker}, clock.now())
        count = 0
        for entry, known in entries:
            if known not in kept:
                try:
                    self._bucket.delete(entry.key, entry.version_id)
                    count += 1
                except ObjectLocked:
                    continue  # until its date; it is asked for again after the next one
        return count

    def _entries(self) -> Iterator[Listed]:
        """Give all versions of all objects; where a key may not ask that, the objects."""
        prefix = self._folder + "/"
        try:
            yield from list(self._bucket.listing(prefix, with_versions=True))
        except (StorageDenied, StorageUnsupported):
            yield from self._bucket.listing(prefix)


def let_go(folder: Path) -> int:
    """Delete the files that are not to be kept; return how many."""
    there = {one: path for path in folder.glob("*") if (one := named(path.name))}
    going = there.keys() - to_keep(there, clock.now())
    for one in going:
        there[one].unlink(missing_ok=True)
    return len(going)


def choose(found: list[Found], at: str) -> list[Found]:
    """Return which may be taken, the best first: with `at`, a name or a moment, that one or the newest up to then."""
    if not at:
        return found
    if (wanted := named(at)) is not None:
        chosen = [one for one in found if one.named == wanted]
    else:
        moment = _moment(at)
        chosen = [one for one in found if one.named.made_at <= moment]
    if not chosen:
        raise SelfBackupMissing(f"There is no self-backup of {at}, nor one before it.")
    return chosen


def _named_anew(path: Path) -> Named:
    """Return what a file is called, or would be: it may have come by mail. Raises SelfBackupAltered."""
    if (known := named(path.name)) is not None:
        return known
    try:
        with path.open("rb") as file:
            made_at = head_of(file).made_at
            file.seek(0)
            return Named(made_at=made_at, sha256=hashlib.file_digest(file, "sha256").hexdigest()[:HASH_LENGTH])
    except OSError as error:
        raise SelfBackupAltered(f"{path} cannot be read: {error.strerror or error}.") from error


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest("A moment is written as 2026-01-31T02:00, in UTC unless it says otherwise.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _newest_first(found: list[Found], where: str) -> list[Found]:
    if not found:
        raise SelfBackupMissing(f"There is no self-backup in {where}.")
    return sorted(found, key=lambda one: one.named, reverse=True)


def _require_same(found: Found, sha256: str) -> None:
    if not sha256.startswith(found.named.sha256):
        raise SelfBackupAltered(f"{found.named.name} is not what was written: altered, or cut off.")
