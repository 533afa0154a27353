"""SaveOS beside plain Borg, Borg over SSH and restic, on the same trees, in one run: medians and ratios.

usage: packaging/run bench [--scale 1.0] [--rounds 3] [--folder FOLDER]
       [--dashboard | --catalogue | --read | --guard | --offsite | --recover]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import bench_catalogue  # noqa: E402 - beside this file
import bench_dashboard  # noqa: E402
import bench_guard  # noqa: E402
import bench_offsite  # noqa: E402
import bench_read  # noqa: E402
import bench_recover  # noqa: E402

from tests.support.appliance import Appliance, environment, wait_until  # noqa: E402 - a checkout, no package
from tests.support.host import WireHost  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

BORG = str(Path(sys.executable).with_name("borg"))
SMALL_FILES = 100_000
LARGE_BYTES = 2_000_000_000
LARGE_FILE = 250_000_000
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
ROOM_BYTES = 9_000_000_000  # trees, a repository and a restored tree, at scale 1.0
CREATE = ["--compression", "lz4", "--files-cache", "ctime,size,inode"]
GOALS = {
    "small files, first": 1.3,
    "large files, first": 1.1,
    "both, unchanged": 1.1,
    "both, restore": 1.1,
}
SYSTEMS = ("borg", "saveos", "borg+ssh", "restic")
HEARTBEAT_HOSTS = 16
HEARTBEAT_SECONDS = 5.0
Times = dict[tuple[str, str], list[float]]


def main() -> int:  # noqa: PLR0911 - one for each part that is measured alone
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the trees; 1.0 is 100,000 files and 2 GB")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn")
    parser.add_argument("--folder", type=Path, help="where to work; memory when there is room, else the disk")
    parser.add_argument("--dashboard", action="store_true", help="measure the dashboard alone")
    parser.add_argument("--catalogue", action="store_true", help="measure the catalogue alone")
    bench_catalogue.add_arguments(parser)
    parser.add_argument("--read", action="store_true", help="measure how soon one file of many comes, alone")
    parser.add_argument("--guard", action="store_true", help="measure the watch over changes, alone")
    parser.add_argument("--offsite", action="store_true", help="measure copies in a store, and the way back, alone")
    parser.add_argument("--recover", action="store_true", help="measure how soon a burnt appliance is back, alone")
    parser.add_argument("--files", type=int, default=200_000, help="how many, for --read")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="saveos-bench-", dir=options.folder or _workplace(options.scale)))
    print(f"in {scratch}, {os.cpu_count()} cores, scale {options.scale}, {options.rounds} rounds")
    try:
        if options.catalogue:
            bench_catalogue.measure_and_show(scratch / "catalogue", options)
            return 0
        if options.read:
            bench_read.measure(scratch, options.files, options.rounds)
            return 0
        if options.guard:
            bench_guard.measure(scratch / "guard", int(SMALL_FILES * options.scale), options.rounds)
            return 0
        if options.offsite:
            bench_offsite.measure(scratch / "offsite", options.scale, options.rounds)
            return 0
        if options.recover:
            bench_recover.measure(scratch / "recover", options.scale, options.rounds)
            return 0
        bench_dashboard.measure(scratch / "dashboard")
        if options.dashboard:
            return 0
        trees = (
            _small_tree(scratch / "small", int(SMALL_FILES * options.scale)),
            _large_tree(scratch / "large", int(LARGE_BYTES * options.scale)),
        )
        with Appliance.started(scratch / "served") as appliance:
            appliance.set_up()
            _personalise(appliance, scratch)
            _figures_of_the_appliance(appliance, scratch)
            with _ssh_server(scratch) as ssh:
                times = _measure(options.rounds, trees, scratch, appliance, ssh)
        _print_table(times)
        _cold_start(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _workplace(scale: float) -> Path | None:
    """Return memory if it has room: what a disk still writes long after a command ended exceeds what we compare."""
    if (
        MEMORY.is_dir()
        and shutil.disk_usage(MEMORY).free > ROOM_BYTES * scale
        and _available() > 1.5 * ROOM_BYTES * scale
    ):
        return MEMORY
    return None


def _available() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def _small_tree(folder: Path, count: int) -> Path:
    """Many small files: 0.2 to 12 kB, half of it compressible, in folders of 100."""
    rng = random.Random(20261123)  # noqa: S311 - the same tree each time
    words = rng.randbytes(1 << 16)
    for number in range(count):
        path = folder / f"{number // 10_000:03d}" / f"{number // 100 % 100:03d}" / f"file-{number:06d}.txt"
        if number % 100 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        size = rng.randrange(100, 6000)
        start = rng.randrange(0, len(words) - 6000)
        path.write_bytes(rng.randbytes(size) + words[start : start + size])
    return folder


def _large_tree(folder: Path, size: int) -> Path:
    """Few large files that do not compress."""
    folder.mkdir(parents=True)
    for number in range(max(1, round(size / LARGE_FILE))):
        with (folder / f"disk-{number}.img").open("wb") as file:
            for _ in range(min(size, LARGE_FILE) // 1_000_000):
                file.write(os.urandom(1_000_000))
    return folder


def _personalise(appliance: Appliance, scratch: Path) -> None:
    """Provision twice: the first call builds the base, which is not counted."""
    path = scratch / "saveos-agent"
    for _ in range(2):
        started = time.perf_counter()
        done = appliance.cli("agent", "provision", "bench", "--output", str(path), "--port", str(appliance.port))
        seconds = time.perf_counter() - started
        if done.returncode:
            sys.exit(f"bench: {done.stderr}")
    start = _run([str(path), "--version"])
    print(
        f"personalised executable    {path.stat().st_size / 1e6:.1f} MB in {seconds:.2f} s (with the command's start)"
    )
    print(f"the executable's start     {start:.2f} s")


def _measure(rounds: int, trees: tuple[Path, Path], scratch: Path, appliance: Appliance, ssh: dict[str, str]) -> Times:
    """Take turns: the small files into an empty repository, the large ones beside them, both again, and back."""
    times: Times = defaultdict(list)
    for turn in range(rounds):
        systems: dict[str, Callable[[], list[float]]] = {
            "borg": lambda: _borg(scratch / "borg", trees, {}),
            "saveos": lambda turn=turn: _saveos(scratch, trees, appliance, turn),
            "borg+ssh": lambda: _borg(scratch / "over-ssh", trees, ssh),
            "restic": lambda: _restic(scratch / "restic", trees),
        }
        for name, measure in systems.items():
            for step, seconds in zip(GOALS, measure(), strict=True):
                times[step, name].append(seconds)
                print(f"  round {turn + 1}: {step:<20} {name:<9} {seconds:7.2f} s", flush=True)
    return times


def _borg(folder: Path, trees: tuple[Path, Path], extra: dict[str, str]) -> list[float]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    repository = f"ssh://root@127.0.0.1{folder}/repo" if extra else str(folder / "repo")
    settings = {
        "BORG_BASE_DIR": str(folder / "home"),
        "BORG_PASSPHRASE": "bench",
        "BORG_REPO": repository,
        "BORG_SELFTEST": "disabled",
        **extra,
    }
    variables = {**environment(), **settings}
    small, large = map(str, trees)
    _run([BORG, "init", "--encryption=repokey-blake2"], variables)
    out = folder / "out"
    out.mkdir()
    result = [
        _run([BORG, "create", *CREATE, "::small", small], variables),
        _run([BORG, "create", *CREATE, "::large", large], variables),
        _run([BORG, "create", *CREATE, "::both", small, large], variables),
        _run([BORG, "extract", "--sparse", "::both"], variables, out),
    ]
    shutil.rmtree(folder)
    return result


def _saveos(scratch: Path, trees: tuple[Path, Path], appliance: Appliance, turn: int) -> list[float]:
    """Each round has its own host, and so an empty repository."""
    home, executable, out = scratch / f"agent-{turn}", scratch / f"agent-{turn}.bin", scratch / "saveos-out"
    appliance.cli("agent", "provision", f"bench-{turn}", "--output", str(executable), "--port", str(appliance.port))
    command = [str(executable), "--config", str(home / "config.json")]
    small, large = map(str, trees)
    _run([*command, "enrol"])
    result = [
        _run([*command, "backup", "--wait", small]),
        _run([*command, "backup", "--wait", large]),
        _run([*command, "backup", "--wait", small, large]),
        _run([*command, "restore", "latest", "--target", str(out)]),
    ]
    for left in (home, out, appliance.data / "repositories"):
        shutil.rmtree(left, ignore_errors=True)
    executable.unlink()
    return result


def _restic(folder: Path, trees: tuple[Path, Path]) -> list[float]:
    """As the others, but for one more backup of both: restic compares with the last snapshot of the same paths only."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    variables = {
        **environment(),
        "RESTIC_REPOSITORY": str(folder / "repo"),
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": str(folder / "cache"),
    }
    small, large = map(str, trees)
    _run(["restic", "init"], variables)
    result = [_run(["restic", "backup", small], variables), _run(["restic", "backup", large], variables)]
    _run(["restic", "backup", small, large], variables)
    result += [
        _run(["restic", "backup", small, large], variables),
        _run(["restic", "restore", "latest", "--target", str(folder / "out")], variables),
    ]
    shutil.rmtree(folder)
    return result


def _run(command: list[str], variables: dict[str, str] | None = None, folder: Path | None = None) -> float:
    """Run a command to its end and return its wall time; a failure ends the bench."""
    os.sync()
    started = time.perf_counter()
    done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"bench: {command[:4]} failed: {(done.stderr or done.stdout)[-1500:]}")
    return seconds


class _ssh_server:  # noqa: N801 - used as a function
    """An SSH server of our own on loopback, for Borg's usual way."""

    def __init__(self, scratch: Path) -> None:
        self._folder = scratch / "ssh"

    def __enter__(self) -> dict[str, str]:
        folder = self._folder
        folder.mkdir(mode=0o700)
        for name in ("host", "user"):
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)])
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        Path("/run/sshd").mkdir(exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(folder / "host")]
        for option in (
            "ListenAddress=127.0.0.1",
            f"AuthorizedKeysFile={folder / 'authorized'}",
            "StrictModes=no",
            "PermitRootLogin=yes",
            "UsePAM=no",
            f"PidFile={folder / 'pid'}",
        ):
            words += ["-o", option]
        self._process = subprocess.Popen(words, stderr=(folder / "log").open("w"))
        wait_until(lambda: _answers(port), 20, "sshd")
        rsh = (
            f"ssh -p {port} -i {folder / 'user'} -o BatchMode=yes -o StrictHostKeyChecking=no"
            f" -o UserKnownHostsFile={folder / 'known'}"
        )
        return {"BORG_RSH": rsh, "BORG_REMOTE_PATH": BORG}

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _figures_of_the_appliance(appliance: Appliance, scratch: Path) -> None:
    time.sleep(3)
    assert appliance.process is not None  # noqa: S101 - it was started
    total = {pid: _memory(pid) for pid in [appliance.process.pid, *_children(appliance.process.pid)]}
    print(f"memory at rest             {sum(total.values()) / 1e6:.0f} MB ({len(total)} processes)")
    hosts = [WireHost.enrolled(appliance, scratch / f"wire-{number}") for number in range(HEARTBEAT_HOSTS)]
    waits: list[float] = []
    threads = [threading.Thread(target=_beat, args=(host, waits)) for host in hosts]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(waits) / (time.perf_counter() - started)
    worst = statistics.quantiles(waits, n=100)[98] * 1000
    print(f"heartbeats                 {rate:.0f} /s, p99 {worst:.0f} ms ({HEARTBEAT_HOSTS} connections, same cores)")


def _beat(host: WireHost, waits: list[float]) -> None:
    context = host.appliance.context(host.folder / "agent.pem", host.folder / "agent.key")
    connection = http.client.HTTPSConnection("localhost", host.appliance.port)
    connection.sock = host.appliance.connect("agent.saveos.internal", context)
    headers = {"authorization": f"Bearer {host.token}", "content-type": "application/json"}
    end = time.monotonic() + HEARTBEAT_SECONDS
    while time.monotonic() < end:
        started = time.perf_counter()
        connection.request("POST", "/api/v1/agents/heartbeat", "{}", headers)
        connection.getresponse().read()
        waits.append(time.perf_counter() - started)
    connection.close()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _memory(pid: int) -> int:
    """Return the proportional share of a process, in bytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _cold_start(scratch: Path) -> None:
    seconds = []
    for number in range(3):
        folder = scratch / f"cold-{number}"
        folder.mkdir()
        started = time.perf_counter()
        with Appliance.started(folder) as appliance:
            appliance.call("GET", "/health").expect(200)
            seconds.append(time.perf_counter() - started)
    print(f"cold start to /health      {statistics.median(seconds):.1f} s")


def _print_table(times: Times) -> None:
    print(f"\n{'seconds, medians':<27}" + "".join(f"{name:>10}" for name in SYSTEMS) + f"{'ratio':>9}{'goal':>7}")
    rows: list[dict[str, Any]] = []
    for step, goal in GOALS.items():
        medians = {name: statistics.median(times[step, name]) for name in SYSTEMS}
        ratio = medians["saveos"] / medians["borg"]
        cells = "".join(f"{medians[name]:10.2f}" for name in SYSTEMS)
        print(f"{step:<27}{cells}{ratio:9.2f}{goal:7.1f}")
        rows.append({"step": step, **medians, "ratio": ratio})
    print("ratio: saveos / borg to a local folder\n" + json.dumps(rows))


if __name__ == "__main__":
    sys.exit(main())
