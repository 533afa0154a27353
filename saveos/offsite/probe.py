"""What can a store do? Tried with objects of our own, under a key that nothing else uses."""

from __future__ import annotations

import contextlib
import hashlib
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from saveos import clock
from saveos.database.identifiers import new_id
from saveos.errors import ObjectExists, ObjectLocked, StorageDenied, StorageError, StorageUnsupported
from saveos.offsite import layout
from saveos.offsite.bucket import Bucket
from saveos.offsite.model import LockMode, ProbeReport, Step, StepName, StepState
from saveos.offsite.objects import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.database.secrets import Secret
    from saveos.offsite.model import Place

FOLDER = "probe"
SIZE = 4096
ATTEMPTS = 2  # somebody waits
LOCK_FOR = timedelta(minutes=1)


def probe(place: Place, secret: Secret) -> ProbeReport:
    """Write, read, list, lock and delete, and say what came of each. Nothing is left but what a lock still keeps."""
    return _Probe(Bucket(place, secret, attempts=ATTEMPTS)).run()


class _Probe:
    """One probe."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._folder = layout.below(bucket.place.prefix, FOLDER) + "/"
        self._key = self._folder + new_id("prb")
        self._content = os.urandom(SIZE)
        self._digest = hashlib.sha256(self._content).hexdigest()
        self._written: list[tuple[str, str]] = []  # keys and versions
        self._has_versions = False

    def run(self) -> ProbeReport:
        """Do the steps in order."""
        first = self._step(StepName.WRITE, self._write)
        if first.state is not StepState.OK:
            rest = [Step(name=name, state=StepState.SKIPPED) for name in StepName if name is not StepName.WRITE]
            return ProbeReport(steps=(first, *rest))
        steps = [first, self._step(StepName.READ, self._read), self._step(StepName.LIST, self._list)]
        steps.append(self._step(StepName.CONDITION, self._condition))
        steps.append(self._step(StepName.VERSIONS, self._versions))
        steps.append(self._step(StepName.LOCK, self._lock))
        for name, work in ((StepName.LOCKED_DELETE, self._locked_delete), (StepName.BYPASS, self._bypass)):
            is_locked = steps[-1].state is StepState.OK
            steps.append(self._step(name, work) if is_locked else Step(name=name, state=StepState.SKIPPED))
        steps.append(self._step(StepName.DELETE, self._delete))
        return ProbeReport(steps=tuple(steps), left=tuple(self._left()))

    def _step(self, name: StepName, work: Callable[[], bool]) -> Step:
        """Do a step; one that returns False tried something that the store does not have."""
        try:
            state, code, message = (StepState.OK if work() else StepState.UNSUPPORTED), "", ""
        except StorageUnsupported as error:
            state, code, message = StepState.UNSUPPORTED, error.code, error.message
        except StorageError as error:
            state, code, message = StepState.REFUSED, error.code, error.message
        return Step(name=name, state=state, code=code, message=message)

    def _put(self, key: str, lock: Lock | None = None, *, is_new: bool = False) -> str:
        version = self._bucket.put(key, self._content, lock=lock, sha256=self._digest, is_new=is_new)
        self._written.append((key, version))
        return version

    def _write(self) -> bool:
        try:
            self._put(self._key)
        except StorageDenied:  # some say that of a bucket which is not there
            list(self._bucket.listing(self._folder))
            raise
        return True

    def _read(self) -> bool:
        found = self._bucket.read_whole(self._key, limit_bytes=SIZE)
        if found != self._content:
            raise StorageError("What came back is not what was written.")
        return True

    def _list(self) -> bool:
        found = [entry for entry in self._bucket.listing(self._folder) if entry.key == self._key]
        if len(found) != 1 or found[0].bytes != SIZE:
            raise StorageError("What was written is not in the list.")
        return True

    def _condition(self) -> bool:
        try:
            self._put(self._key, is_new=True)
        except ObjectExists:
            return True
        return False

    def _versions(self) -> bool:
        self._has_versions = self._bucket.has_versions()
        return self._has_versions

    def _lock(self) -> bool:
        try:
            is_set_up = self._bucket.has_lock()
        except StorageDenied:  # the key may not ask: whether it may lock shows when it does
            is_set_up = True
        except StorageError:  # whatever a store says that has none
            is_set_up = False
        if is_set_up:
            self._locked_key = f"{self._key}-locked"
            self._locked_until = clock.now() + LOCK_FOR
            self._locked = self._put(self._locked_key, Lock(mode=LockMode.GOVERNANCE, until=self._locked_until))
        return is_set_up

    def _locked_delete(self) -> bool:
        try:
            self._bucket.delete(self._locked_key, self._locked)
        except ObjectLocked:
            return True
        raise StorageError("What was locked could be deleted.")

    def _bypass(self) -> bool:
        try:
            self._bucket.delete(self._locked_key, self._locked, is_bypassing=True)
        except StorageError:
            return True
        return False

    def _delete(self) -> bool:
        """Delete all of this probe and of former ones, as far as nothing locks it."""
        for key, version in self._written:
            with contextlib.suppress(ObjectLocked):
                self._bucket.delete(key, version)
        if self._has_versions:
            for entry in list(self._bucket.listing(self._folder, with_versions=True)):
                with contextlib.suppress(ObjectLocked):
                    self._bucket.delete(entry.key, entry.version_id)
        return True

    def _left(self) -> list[str]:
        with contextlib.suppress(StorageError):
            found = self._bucket.listing(self._folder, with_versions=self._has_versions)
            return sorted({entry.key for entry in found})
        return []
