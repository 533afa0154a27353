"""Copies that are killed at every stage: whatever is in the store is whole, or is called nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.offsite import Copying

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.s3 import Weed

PART_BYTES = 5 * 1024**2
# At how many thousandths of what is sent, and how many seconds later: the last ones fall around the manifest.
MOMENTS = [(1, 0.0), (300, 0.0), (700, 0.0), (1000, 0.0), (1000, 0.02), (1000, 0.05), (1000, 0.1), (1000, 0.3)]


@pytest.mark.faults
def test_copy_that_is_killed_anywhere_leaves_whole_generations(s3: Weed, tmp_path: Path) -> None:
    copying = Copying.made(tmp_path, s3.place(s3.bucket()))
    copying.limit(3_000_000)
    counts = []
    for done, seconds in MOMENTS:
        copying.back_up(files=3)
        kill_at(tmp_path, done, seconds)
        copying.bury()
        counts.append(whole_generations(s3, copying))

    copying.limit(0)
    copying.copy()

    assert counts == sorted(counts)
    assert counts[2] == 0
    assert whole_generations(s3, copying) >= max(1, counts[-1])
    assert copying.verify().endswith("all as it was written.")
    shutil.rmtree(copying.repository)
    copying.rehydrate()
    copying.assert_restores(copying.archives[-1])
    copying.world.close()


def kill_at(folder: Path, done: int, seconds: float) -> None:
    words = ["-m", "tests.support.offsite_process", str(folder), str(PART_BYTES)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line.split()[1]) >= done:
                break
        time.sleep(seconds)
        process.kill()


def whole_generations(s3: Weed, copying: Copying) -> int:
    """Return how many manifests there are; fail if one names what is not there."""
    client, bucket = s3.client(), copying.store.place.bucket
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{copying.folder}/")
    there = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
    manifests = [key for key in there if "/generations/" in key]
    for key in manifests:
        for part in json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())["segments"]:
            assert there[f"{copying.folder}/{part['key']}"] == part["bytes"]
    return len(manifests)
