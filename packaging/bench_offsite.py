"""Offsite copies: a copy beside boto3's own upload of the same bytes, the way back, and one file without fetching all.

usage: packaging/run bench --offsite [--scale 1.0] [--rounds 3]

At scale 1.0 there are 200 MB. The store is SeaweedFS on this machine, over TLS; so the figures compare, they do not
promise: a store elsewhere is slower, and each request takes its time there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from saveos.offsite import fetching, segments
from saveos.offsite.hands import HANDS
from saveos.offsite.reaches import desk_of, manifest_of
from saveos.repositories.serving import SEGMENT_BYTES
from tests.support.offsite import Copying
from tests.support.offsite_reading import hand_over_key, readers
from tests.support.s3 import SECRET, Weed, seaweed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TREE_BYTES = 200_000_000
FILE_BYTES = 4_000_000
LETTER = "letter"
LETTER_BYTES = 20_000
GOAL = 0.8  # of boto3's own throughput
MB = 1_000_000


def measure(folder: Path, scale: float, rounds: int) -> None:
    """Measure and print."""
    folder.mkdir(parents=True)
    with seaweed(folder / "store") as weed:
        copying = Copying.made(folder / "host")
        hand_over_key(copying)
        copying.borg("config", "::", "max_segment_size", str(SEGMENT_BYTES))
        _make(copying, int(TREE_BYTES * scale))
        sources = segments.of_folder(copying.repository)
        size = sum(local.bytes for local in sources)
        print(f"offsite: {len(sources)} segments, {size / MB:.0f} MB, {HANDS} hands, medians of {rounds}, in turn")
        timed = {
            "boto3 upload_file": lambda: _plain(weed, sources),
            "copy": lambda: _copy(weed, copying),
        }
        taken = _in_turn(timed, rounds)
        ratio = taken["boto3 upload_file"] / taken["copy"]
        for name, seconds in taken.items():
            print(f"  {name:<22}{size / MB / seconds:7.1f} MB/s")
        print(f"  ratio {ratio:.2f} (goal {GOAL})")
        ways = {"verification": copying.verify, "fetch back": lambda: _fetch(copying, folder)}
        for name, seconds in _in_turn(ways, rounds).items():
            print(f"  {name:<22}{size / MB / seconds:7.1f} MB/s")
        asyncio.run(_one_file(copying, rounds, size))
        copying.world.close()


def _make(copying: Copying, size: int) -> None:
    for number in range(max(1, size // FILE_BYTES)):
        (copying.tree / f"file {number:05}").write_bytes(os.urandom(FILE_BYTES))
    (copying.tree / LETTER).write_bytes(os.urandom(LETTER_BYTES))
    copying.back_up(files=0)


def _in_turn(timed: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each; in turn, so that who else is at work here is there for all of them."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, run in timed.items():
            began = time.monotonic()
            run()
            taken[name].append(time.monotonic() - began)
    return {name: statistics.median(values) for name, values in taken.items()}


def _place(weed: Weed) -> Any:
    """Return a place where nothing is yet."""
    return weed.place(weed.bucket(), endpoint=f"https://127.0.0.1:{weed.secure_port}", ca_pem=weed.ca_pem)


def _plain(weed: Weed, sources: list[segments.Local]) -> None:
    place = _place(weed)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as trusted:
        trusted.write(place.ca_pem)
        trusted.flush()
        _upload(place, trusted.name, sources)


def _upload(place: Any, trusted: str, sources: list[segments.Local]) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        aws_access_key_id=place.access_key_id,
        aws_secret_access_key=SECRET.value,
        region_name=place.region,
        verify=trusted,
        config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=2 * HANDS),
    )
    transfer = TransferConfig(use_threads=False)
    with ThreadPoolExecutor(HANDS) as hands:
        sent = [
            hands.submit(client.upload_file, one.path, place.bucket, f"{place.prefix}/{one.number}", Config=transfer)
            for one in sources
        ]
        for each in sent:
            each.result()


def _copy(weed: Weed, copying: Copying) -> None:
    copying.use(_place(weed))
    copying.copy()


def _fetch(copying: Copying, folder: Path) -> None:
    desk = desk_of(copying.world.database, copying.world.settings, copying.agent_id)
    target = folder / "fetched"
    fetching.fetch(desk, manifest_of(desk, copying.generations[0].number), folder / "nothing", target)
    shutil.rmtree(target)


async def _one_file(copying: Copying, rounds: int, size: int) -> None:
    """One small file by ranges: with nothing here yet, then again while the copy is at hand."""
    first, again = [], []
    for _ in range(rounds):
        async with readers(copying) as made:
            for seconds in (first, again):
                began = time.monotonic()
                content = await made.read(LETTER)
                seconds.append(time.monotonic() - began)
                if content != (copying.tree / LETTER).read_bytes():
                    sys.exit("bench: the file is another one")
            reach = await made.reaches.open(copying.agent_id, copying.generations[0].number)
            index = reach.manifest.index
            travelled = reach.read_bytes // 2 + (index.bytes if index else 0)
    print(
        f"  one file of {LETTER_BYTES:,} bytes: {travelled:,} bytes travelled of {size:,} ({travelled / size:.1%});"
        f" {statistics.median(first):.2f} s, the next one {statistics.median(again):.2f} s"
    )
