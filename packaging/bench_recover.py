"""The appliance burns: how long from an empty folder until it serves, and until the first file is back.

usage: packaging/run bench --recover [--scale 1.0] [--rounds 3]

At scale 1.0 the database is that of 1,000 hosts with 100,000 snapshots, and one real host has 1 GB in its repository.
Everything comes from a real store on the same machine; the host is left alone.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from saveos import config
from saveos.database.connection import Database
from saveos.identity.principals import system
from saveos.offsite import orders, stores
from saveos.tenants import users
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.big_fleet import plant
from tests.support.s3 import SECRET, seaweed
from tests.support.selfbackup import burn

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.offsite.model import Place

HOSTS, SNAPSHOTS = 1_000, 100
FILES, FILE_BYTES = 100, 10_000_000
PATIENCE_SECONDS = 3600


def measure(folder: Path, scale: float, rounds: int) -> None:
    """Measure and print."""
    folder.mkdir(parents=True)
    tree = folder / "tree"
    tree.mkdir()
    for number in range(max(1, int(FILES * scale))):
        (tree / f"{number:03d}").write_bytes(os.urandom(FILE_BYTES))
    with seaweed(folder / "store") as weed, Appliance.started(folder / "served", "--address", "127.0.0.1") as appliance:
        place = weed.place(weed.bucket())
        host = _protected(appliance, folder, tree, place)
        try:
            appliance.stop()
            plant(appliance.data / "saveos.db", int(HOSTS * scale), SNAPSHOTS)
            with contextlib.closing(sqlite3.connect(appliance.data / "saveos.db")) as connection:
                connection.execute("ANALYZE")  # as after a life of its own
            appliance.start()
            size = _back_up_itself(appliance)
            times: dict[str, list[float]] = defaultdict(list)
            for number in range(rounds):
                for name, seconds in _burn(appliance, host, place, folder / f"back {number}").items():
                    times[name].append(seconds)
        finally:
            host.stop()
    bytes_there = (appliance.data / "saveos.db").stat().st_size
    print(f"recovery of {int(HOSTS * scale):,} hosts, {int(HOSTS * scale) * SNAPSHOTS:,} snapshots")
    print(f"  database of {bytes_there / 1e6:.0f} MB, self-backup of {size / 1e6:.1f} MB; medians of {rounds}")
    for name, measured in times.items():
        print(f"  {name:<52}{statistics.median(measured):6.1f} s")


def _protected(appliance: Appliance, folder: Path, tree: Path, place: Place) -> RealAgent:
    """Back a host up, and wait for its copy."""
    appliance.set_up()
    put_base(appliance)
    back_up_only(appliance, tree)
    settings = config.load({"data": str(appliance.data)}, {})
    database = Database(settings.database)
    principal = system(users.default_tenant(database), "bench")
    stores.keep_store(database, settings, principal, place, SECRET)
    host = RealAgent.enrolled(appliance, folder / "host", hostname="bench")
    host.start_daemon()
    host.first_backup(PATIENCE_SECONDS)
    wait_until(lambda: orders.of_host(database, principal, host.id).generation, PATIENCE_SECONDS, "the copy")
    database.close()
    return host


def _back_up_itself(appliance: Appliance) -> int:
    began = time.monotonic()
    job = appliance.call("POST", "/api/v1/self-backup").expect(202)
    ended = appliance.wait_for_job(job["id"], PATIENCE_SECONDS)
    if ended["state"] != "done":
        sys.exit(f"bench: the self-backup failed: {ended}")
    newest = max((appliance.data / "self").glob("*.saveos"))
    print(f"  self-backup, sent to the store: {time.monotonic() - began:.1f} s")
    return newest.stat().st_size


def _burn(appliance: Appliance, host: RealAgent, place: Place, target: Path) -> dict[str, float]:
    """Lose the data folder, and bring it back; return the seconds since the empty folder."""
    snapshot = appliance.snapshots(host.id)[0]
    burn(appliance)
    words = ["--bucket", place.bucket, "--endpoint", place.endpoint, "--prefix", place.prefix, "--key-id", "WRITER"]
    began = time.monotonic()
    done = appliance.cli("recover", *words, stdin=f"{appliance.recovery_code}\n{SECRET.value}\n")
    if done.returncode not in (0, 3):  # the hosts that exist in the database alone have no copy
        sys.exit(f"bench: the recovery failed: {done.stdout}{done.stderr}")
    seconds, recovered_at = {"recovered": time.monotonic() - began}, datetime.now(UTC)
    appliance.start()
    seconds["serving"] = time.monotonic() - began
    wait_until(lambda: _seen_at(appliance, host) > recovered_at, PATIENCE_SECONDS, "the host")
    seconds["the host is back by itself"] = time.monotonic() - began
    first = str(next((host.folder.parent / "tree").iterdir()))
    asked = {"snapshot_id": snapshot["id"], "paths": [first.lstrip("/")], "target": str(target)}
    job = appliance.call("POST", "/api/v1/restore", asked).expect(202)
    ended = appliance.wait_for_job(job["id"], PATIENCE_SECONDS)
    if ended["state"] != "done":
        sys.exit(f"bench: the restore failed: {ended}")
    seconds["first file restored, its repository fetched for it"] = time.monotonic() - began
    return seconds


def _seen_at(appliance: Appliance, host: RealAgent) -> datetime:
    return datetime.fromisoformat(appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["seen_at"])
