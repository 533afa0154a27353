"""The dashboard with a large fleet behind it: when pages paint, and what an open one costs. Part of the bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.appliance import EMAIL, PASSWORD, Appliance
from tests.support.big_fleet import plant

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).resolve().parent.parent / "tests" / "ui"
AGENTS, SNAPSHOTS = 1_000, 100  # of each agent
PATHS = ("/", "/agents", "/snapshots", "/jobs", "/policies", "/downloads", "/monitoring", "/settings")
COPIES = 16
GOAL_SECONDS, GOAL_MEGABYTES = 1.5, 3.0


def measure(folder: Path, paths: Iterable[str] = PATHS) -> None:
    """Print the figures for an appliance of its own in `folder`."""
    folder.mkdir()
    with Appliance.started(folder, "--address", "127.0.0.1") as appliance:
        appliance.set_up()
        appliance.stop()
        plant(appliance.data / "saveos.db", AGENTS, SNAPSHOTS)
        appliance.start()
        assert appliance.process is not None  # noqa: S101 - it was started
        asked = {
            "address": appliance.ready["address"],
            "email": EMAIL,
            "password": PASSWORD,
            "paths": list(paths),
            "pid": appliance.process.pid,
            "copies": COPIES,
        }
        done = subprocess.run(
            ["node", "paint.mjs", json.dumps(asked)], cwd=HERE, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"bench: the browser failed: {done.stderr[-1500:]}")
    told = json.loads(done.stdout)
    print(f"dashboard with {AGENTS} agents and {AGENTS * SNAPSHOTS} snapshots (goal: first paint {GOAL_SECONDS} s)")
    for path, seconds in told["paints"].items():
        print(f"  first paint of {path:<13}{seconds:5.2f} s")
    print(f"  memory per open page     {told['megabytes']:.2f} MB (goal {GOAL_MEGABYTES})")
    for complaint in told["complaints"]:
        print(f"  the browser complained: {complaint}")
