"""One small file out of many, until its first byte is here: SaveOS beside `borg extract` and `restic dump`."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER_FILES = 1000
EVERY = 500  # so many are empty to one that is not
GOAL_SECONDS = 2.0
BACKUP_SECONDS = 3600


def measure(folder: Path, files: int, rounds: int) -> None:
    """Print the figures for an archive of so many files, made in `folder`."""
    tree = folder / "tree"
    wanted = _make(tree, files)
    with Appliance.started(folder / "served", "--address", "127.0.0.1") as appliance:
        appliance.set_up()
        put_base(appliance)
        back_up_only(appliance, tree)
        agent = RealAgent.enrolled(appliance, folder / "host", hostname="bench")
        agent.start_daemon()
        try:
            agent.first_backup(BACKUP_SECONDS)
            snapshot = appliance.snapshots(agent.id)[0]
            path = str(wanted).lstrip("/")
            place, count = _place(agent, snapshot["archive"], path)
            address = f"/api/v1/snapshots/{snapshot['id']}/download?path={path}"
            timed = {
                "saveos, place known": lambda: _first_byte(appliance, f"{address}&place={place}"),
                "saveos, hint gone wrong": lambda: _first_byte(appliance, f"{address}&place={max(0, place - 100)}"),
                "saveos, no hint": lambda: _first_byte(appliance, address),
                "borg extract": lambda: _borg(agent, snapshot["archive"], path),
                **_restic(folder, tree, wanted),
            }
            print(f"first byte of one small file of {files} (goal {GOAL_SECONDS} s; {count} chunks of metadata)")
            _print(timed, rounds)
        finally:
            agent.stop()


def _make(tree: Path, files: int) -> Path:
    """Make the tree, and return a file with content three quarters down."""
    wanted = tree
    for number in range(files):
        path = tree / f"d{number // FOLDER_FILES:04d}" / f"file-with-a-name-{number % FOLDER_FILES:05d}"
        if number % FOLDER_FILES == 0:
            path.parent.mkdir(parents=True)
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
        if number % EVERY == 1:
            os.write(descriptor, f"{number}\n".encode() * 20)
            if number <= files * 3 // 4:
                wanted = path
        os.close(descriptor)
    return wanted


def _print(timed: dict[str, Callable[[], float]], rounds: int) -> None:
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):  # in turn: who else is at work on the machine is there for all of them
        for name, run in timed.items():
            taken[name].append(run())
    seconds = {name: statistics.median(values) for name, values in taken.items()}
    for name, value in seconds.items():
        print(f"  {name:<25}{value:7.2f} s  ratio {value / seconds['saveos, place known']:6.2f}")


def _first_byte(appliance: Appliance, address: str) -> float:
    began = time.monotonic()
    connection = http.client.HTTPSConnection("127.0.0.1", appliance.port, timeout=60)
    with contextlib.closing(connection):
        connection.sock = appliance.connect()
        connection.request("GET", address, headers={"authorization": f"Bearer {appliance.token}"})
        response = connection.getresponse()
        if response.status != http.client.OK or not response.read(1):
            sys.exit(f"bench: the download failed: {response.status} {response.read()!r}")
        return time.monotonic() - began


def _place(agent: RealAgent, archive: str, path: str) -> tuple[int, int]:
    """Return where the catalogue would say that the file lies, and of how many chunks."""
    told = agent.stock_borg("list", "--short")
    code = (
        "import sys; from saveos.agent import engine_archive, engine_items; name, path = sys.argv[1:]\n"
        "with engine_archive.opened(name) as archive:\n"
        "    mark = engine_items.needle(path.encode())\n"
        "    found = engine_items.items(archive, (mark,))\n"
        "    print(next(n for n, item in found if item[b'path'] == path.encode()), archive.count)"
    )
    if archive not in told.stdout.split():
        sys.exit(f"bench: the archive is not there: {told.stderr}")
    environment = os.environ | {
        "BORG_REPO": str(agent.repository),
        "BORG_PASSPHRASE": (agent.folder / "agent" / "passphrase").read_text().strip(),
        "BORG_BASE_DIR": str(agent.folder / "stock"),
    }
    words = [sys.executable, "-c", code, archive, path]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    place, count = done.stdout.split()
    return int(place), int(count)


def _borg(agent: RealAgent, archive: str, path: str) -> float:
    began = time.monotonic()
    done = agent.stock_borg("extract", "--stdout", f"::{archive}", path)
    if done.returncode or not done.stdout:
        sys.exit(f"bench: borg extract failed: {done.stderr}")
    return time.monotonic() - began


def _restic(folder: Path, tree: Path, wanted: Path) -> dict[str, Callable[[], float]]:
    if shutil.which("restic") is None:
        print("  restic is not here: left out")
        return {}
    words = ["restic", "-q", "-r", str(folder / "restic")]
    environment = os.environ | {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(folder / "cache")}
    for verb in (["init"], ["backup", str(tree)]):
        subprocess.run([*words, *verb], env=environment, check=True, capture_output=True)

    def dump() -> float:
        began = time.monotonic()
        subprocess.run([*words, "dump", "latest", str(wanted)], env=environment, check=True, capture_output=True)
        return time.monotonic() - began

    return {"restic dump": dump}
