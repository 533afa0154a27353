"""Object Lock: somebody has the appliance's own key, and tries to destroy the copy."""

from __future__ import annotations

import contextlib
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from saveos import clock
from saveos.offsite import stores
from saveos.offsite.model import LockMode
from tests.support.offsite import Copying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import Weed


@pytest.fixture(params=[LockMode.GOVERNANCE, LockMode.COMPLIANCE])
def copying(request: pytest.FixtureRequest, s3: Weed, tmp_path: Path) -> Iterator[Copying]:
    copying = Copying.made(tmp_path, s3.place(s3.bucket(is_locked=True), lock_mode=request.param))
    yield copying
    copying.world.close()
    clock.set_source(None)


def attack(s3: Weed, bucket: str, prefix: str) -> int:
    """Do with the appliance's key what it can do against all that is there; return how many versions went."""
    client, gone = s3.client("WRITER"), 0
    found = client.list_object_versions(Bucket=bucket, Prefix=prefix)
    for entry in found.get("Versions", []):
        where = {"Bucket": bucket, "Key": entry["Key"]}
        version = {**where, "VersionId": entry["VersionId"]}
        soon = {"Mode": "GOVERNANCE", "RetainUntilDate": clock.now() + timedelta(seconds=1)}
        tries: list[Any] = [
            lambda: client.put_object_retention(**version, Retention=soon),  # noqa: B023
            lambda: client.put_object_retention(**version, Retention=soon, BypassGovernanceRetention=True),  # noqa: B023
            lambda: client.delete_object(**version, BypassGovernanceRetention=True),  # noqa: B023
            lambda: client.delete_object(**version),  # noqa: B023
            lambda: client.put_object(**where, Body=b"rubbish"),  # noqa: B023
            lambda: client.delete_object(**where),  # noqa: B023
        ]
        for one in tries:
            with contextlib.suppress(ClientError):
                one()
    with contextlib.suppress(ClientError):
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    left = {
        entry["VersionId"] for entry in client.list_object_versions(Bucket=bucket, Prefix=prefix).get("Versions", [])
    }
    gone += sum(entry["VersionId"] not in left for entry in found["Versions"] if "generations" in entry["Key"])
    return gone + sum(entry["VersionId"] not in left for entry in found["Versions"] if "segments" in entry["Key"])


def test_attacker_with_the_key_destroys_nothing_that_is_locked(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    assert all(one.locked_until and one.version_id for one in copying.segments)

    assert attack(s3, copying.store.place.bucket, copying.store.place.prefix) == 0

    shutil.rmtree(copying.repository)
    copying.rehydrate()
    copying.assert_restores("archive-0")
    assert {"hidden"} == {one.what for one in (copying.verify() and copying.state.findings)}
    assert () == copying.state.damages

    now = clock.now()
    clock.set_source(lambda: now + timedelta(days=2))  # what hides them goes after a day
    stores.take_over(copying.world.database, copying.world.settings, copying.world.principal)
    copying.copy()
    assert copying.verify().endswith("all as it was written.")
    assert () == copying.state.findings


def test_locks_last_as_long_as_what_they_keep(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    first = {one.key: one.locked_until for one in copying.segments}
    now = clock.now()
    clock.set_source(lambda: now + timedelta(days=7))
    copying.back_up(files=1)
    copying.copy()
    between = {one.key: one.locked_until for one in copying.segments}
    clock.set_source(lambda: now + timedelta(days=15))
    copying.back_up(files=1)
    copying.copy()

    assert all(between[key] == until for key, until in first.items())
    client, bucket = s3.client(), copying.store.place.bucket
    newest = copying.generations[0].number
    for one in [one for one in copying.segments if one.last_generation == newest]:
        said = client.get_object_retention(Bucket=bucket, Key=f"{copying.folder}/{one.key}", VersionId=one.version_id)[
            "Retention"
        ]
        assert said["Mode"] == copying.store.place.lock_mode.value.upper()
        assert said["RetainUntilDate"] >= clock.now() + timedelta(days=14)


def test_what_is_locked_is_let_go_later(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    now = clock.now()
    clock.set_source(lambda: now + timedelta(days=15))  # not to be kept any more, and locked for 13 days still
    copying.back_up(files=1)

    copying.copy()

    found = s3.client().list_object_versions(Bucket=copying.store.place.bucket, Prefix=f"{copying.folder}/generations/")
    assert len(found["Versions"]) == 2
    assert [] == found.get("DeleteMarkers", [])
