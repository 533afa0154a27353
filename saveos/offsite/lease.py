"""One prefix belongs to one appliance: two would each delete what the other needs."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.errors import ObjectAltered, ObjectExists, ObjectMissing, OffsiteTaken, StorageError, StorageUnsupported
from saveos.offsite import layout
from saveos.offsite.layout import Lease

if TYPE_CHECKING:
    from saveos.offsite.bucket import Bucket

NAME, TEXT_NAME = "appliance.json", "README.txt"
RENEW_AFTER = timedelta(days=1)
SIZE_LIMIT = 65536


def hold(bucket: Bucket, appliance_id: str, *, is_forced: bool = False) -> None:
    """Make sure that the prefix is ours, and tell there what it holds. Raises OffsiteTaken.

    `is_forced`: a person says that the other appliance is gone.
    """
    key = layout.below(bucket.place.prefix, NAME)
    found = _read(bucket, key)
    if found is None:
        found = _take(bucket, key, appliance_id)
    if found.appliance_id != appliance_id:
        if not is_forced:
            message = "Another appliance keeps its copies under this prefix: choose another one, or take it over."
            raise OffsiteTaken(message, since=clock.to_text(found.renewed_at))
        _write(bucket, key, appliance_id)
    elif clock.now() - found.renewed_at > RENEW_AFTER:
        _write(bucket, key, appliance_id)


def _take(bucket: Bucket, key: str, appliance_id: str) -> Lease:
    """Write the lease if nobody else does at this moment, and return whose it is then."""
    text = layout.README.encode()
    bucket.put(layout.below(bucket.place.prefix, TEXT_NAME), text, sha256=hashlib.sha256(text).hexdigest())
    try:
        _write(bucket, key, appliance_id, is_new=True)
    except ObjectExists:
        pass
    except StorageUnsupported:
        _write(bucket, key, appliance_id)
    found = _read(bucket, key)  # a store may take the condition and not keep it
    if found is None:
        raise StorageError("The store does not give back what was just written.")
    return found


def _read(bucket: Bucket, key: str) -> Lease | None:
    try:
        return msgspec.json.decode(bucket.read_whole(key, limit_bytes=SIZE_LIMIT), type=Lease)
    except ObjectMissing:
        return None
    except (ObjectAltered, msgspec.MsgspecError):
        return Lease(appliance_id="", renewed_at=clock.now())


def _write(bucket: Bucket, key: str, appliance_id: str, *, is_new: bool = False) -> None:
    content = msgspec.json.encode(Lease(appliance_id=appliance_id, renewed_at=clock.now()))
    bucket.put(key, content, sha256=hashlib.sha256(content).hexdigest(), is_new=is_new)
