"""The catalogue: how long folders and searches take, how large it gets, and how both grow.

usage: packaging/run bench --catalogue [--hosts 10] [--paths 50000] [--snapshots 5] [--sizes 3] [--draws 1]
                                         [--kinds KIND…]

Hosts with trees that exist nowhere are brought in by the code of host and appliance, and copied; then there are twice
the paths, then twice the hosts too. Of each snapshot half a percent of the paths are changed, a tenth as many are new
and as many are gone.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol_listing import SEPARATOR, parent_of
from saveos.snapshots import catalogue, catalogue_files, catalogue_search
from saveos.snapshots.catalogue_model import SearchQuery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from pathlib import Path

WORDS = (  # noqa: SIM905 - easier to read
    "report invoice photo backup config index main test data user mail draft final copy image video music letter plan"
    " budget contract meeting notes archive client order price stock photo scan summer winter paris lyon berlin project"
    " module server cache build output input log error access session token key public private old new temp share"
).split()
ENDINGS = ("txt", "pdf", "jpg", "png", "py", "js", "json", "xml", "html", "docx", "csv", "log", "gz", "conf", "so", "h")
FOLDER_FILES = 14
ROUNDS = 200
BUILT = 2
RARE = "zq7unique"  # one file of each host has it in its name


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured for one size."""

    hosts: int
    paths: int
    snapshots: int
    first_seconds: float
    delta_seconds: float
    bytes_per_path: float
    folder: tuple[float, float]
    searches: dict[str, tuple[float, float]]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what can be said of the sizes."""
    parser.add_argument("--hosts", type=int, default=10, help="of the catalogue; beyond the first two they are copies")
    parser.add_argument("--paths", type=int, default=50_000, help="of each host")
    parser.add_argument("--snapshots", type=int, default=5, help="of each host")
    parser.add_argument(
        "--sizes", type=int, default=3, help="3: also with twice the paths, and with twice the hosts too"
    )
    parser.add_argument("--draws", type=int, default=1, help="of texts to search for, each measured by itself")
    parser.add_argument("--kinds", nargs="+", default=[], help="of searches, such as 'a name'; else all of them")


def measure_and_show(folder: Path, options: Namespace) -> None:
    """Measure three sizes and print them beside each other."""
    sizes = [
        (options.hosts, options.paths),
        (options.hosts, options.paths * 2),
        (options.hosts * 2, options.paths * 2),
    ]
    measured = []
    for hosts, paths in sizes[: options.sizes]:
        measured += measure(folder / "size", hosts, paths, options)
        shutil.rmtree(folder)
    show(measured)


def measure(folder: Path, hosts: int, paths: int, options: Namespace) -> list[Figures]:
    """Build, wait until all of it is written, and ask; once for each draw of texts."""
    world = World.made(folder)
    chance = random.Random(1)  # noqa: S311 - no secret
    firsts, deltas, built = [], [], []
    for number in range(min(hosts, BUILT)):
        agent = world.add_host(f"host{number:04d}")
        lines = tree(chance, paths)
        for moment in range(options.snapshots):
            began = time.perf_counter()
            snapshot = world.back_up_lines(agent, lines)
            (deltas if moment else firsts).append(time.perf_counter() - began)
            lines = day_of_work(chance, lines, moment)
        built.append((agent, snapshot))
    for number in range(BUILT, hosts):
        world.copy_host(built[number % BUILT][0], f"host{number:04d}")
    ids = built
    sizes = [
        catalogue_files.catalogue(world.settings, world.tenant, agent).stat().st_size / paths
        for agent, _snapshot in ids
    ]
    os.sync()  # else the first searches wait behind gigabytes
    figures = [
        Figures(
            hosts=hosts,
            paths=paths,
            snapshots=options.snapshots,
            first_seconds=statistics.median(firsts),
            delta_seconds=statistics.median(deltas) if deltas else 0.0,
            bytes_per_path=statistics.median(sizes),
            folder=spread(folders(world, chance, ids)),
            searches={
                name: spread(searches(world, texts))
                for name, texts in queries(chance).items()
                if not options.kinds or name in options.kinds
            },
        )
        for _ in range(options.draws)
    ]
    world.close()
    return figures


def tree(chance: random.Random, paths: int) -> list[bytes]:
    """Return the sorted lines of a tree: folders of some fourteen files, as deep as they come."""
    keys = [b"home"]
    lines = [
        b"home\0d 0 1700000000000 755 0\n",
        b"home" + SEPARATOR + RARE.encode() + b".bin\0f 9 1700000000000 644 0\n",
    ]
    while len(lines) < paths:
        parent = keys[int(len(keys) * chance.random() ** 2)]
        key = parent + SEPARATOR + b"%b-%d" % (chance.choice(WORDS).encode(), len(keys))
        keys.append(key)
        lines.append(b"%b\0d 0 1700000000000 755 %d\n" % (key, len(lines) // 400))
        lines += [line_of(chance, key, number, len(lines) // 400) for number in range(FOLDER_FILES)]
    return sorted(lines)


def line_of(chance: random.Random, folder: bytes, number: int, place: int) -> bytes:
    """Return a file."""
    name = f"{chance.choice(WORDS)}_{chance.choice(WORDS)}-{number}.{chance.choice(ENDINGS)}".encode()
    size, moment = chance.randrange(10**6), 1_600_000_000_000 + chance.randrange(10**11)
    return b"%b%b%b\0f %d %d 644 %d\n" % (folder, SEPARATOR, name, size, moment, place)


def day_of_work(chance: random.Random, lines: list[bytes], day: int) -> list[bytes]:
    """Return the lines of the next snapshot."""
    changed = max(1, len(lines) // 200)
    kept = list(lines)
    files = [at for at in (chance.randrange(len(lines)) for _ in range(changed)) if b"\0f " in lines[at]]
    for at in files:
        kept[at] = (
            lines[at].replace(b" 644 ", b" 600 ") if b" 644 " in lines[at] else lines[at].replace(b" 600 ", b" 644 ")
        )
    gone = set(files[: changed // 10])
    new = [line_of(chance, parent_of(lines[at].partition(b"\0")[0]), 1000 + day, 0) for at in files[: changed // 10]]
    left = [line for at, line in enumerate(kept) if at not in gone] + new
    left.sort()
    return [
        line for at, line in enumerate(left) if not at or line.partition(b"\0")[0] != left[at - 1].partition(b"\0")[0]
    ]


def folders(world: World, chance: random.Random, ids: list[tuple[str, str]]) -> Iterator[float]:
    """Walk down from the root of random hosts, timing each page."""
    taken = 0
    while taken < ROUNDS:
        snapshot, path = chance.choice(ids)[1], ""
        while taken < ROUNDS:
            began = time.perf_counter()
            page = catalogue.folder(world.database, world.settings, world.principal, snapshot, path)
            yield time.perf_counter() - began
            taken += 1
            below = [entry.path for entry in page.entries if entry.kind == "folder"]
            if not below:
                break
            path = chance.choice(below)


def queries(chance: random.Random) -> dict[str, list[str]]:
    """Return texts to look for: rare ones, those of a person, those that are in no name, and short ones."""
    usual = [f"{chance.choice(WORDS)}_{chance.choice(WORDS)}" for _ in range(20)]
    narrow = [f"{one}-{chance.randrange(14)}.{chance.choice(ENDINGS)}" for one in usual]
    return {
        "part of a name": usual,
        "a name": narrow,
        "a rare name": [RARE, "zq7", "7uniq"],
        "in no name": ["qqxxzz", "invoice_zzz", "paris_tokyo"],
        "by * and ?": ["*_invoice-?.pdf", "report*paris*.csv", "zq7*"],
        "two letters": ["py", "qx", "zq"],
    }


def searches(world: World, texts: list[str]) -> Iterator[float]:
    """Search all hosts."""
    for _ in range(max(1, ROUNDS // 4 // len(texts))):
        for text in texts:
            began = time.perf_counter()
            catalogue_search.search(world.database, world.settings, world.principal, SearchQuery(text=text))
            yield time.perf_counter() - began


def spread(seconds: Iterator[float]) -> tuple[float, float]:
    """Return median and 95th percentile in ms."""
    taken = sorted(seconds)
    return statistics.median(taken) * 1000, taken[int(len(taken) * 0.95)] * 1000


def show(measured: list[Figures]) -> None:
    """Print one column per size."""

    def row(name: str, cells: list[str]) -> None:
        print(f"{name:<34}" + "".join(f"{cell:>22}" for cell in cells))

    row("", [f"{one.hosts} x {one.paths} x {one.snapshots}" for one in measured])
    row("first listing, s", [f"{one.first_seconds:.2f}" for one in measured])
    row("each difference, s", [f"{one.delta_seconds:.2f}" for one in measured])
    row("bytes per path", [f"{one.bytes_per_path:.0f}" for one in measured])
    row("a folder, ms (p50 / p95)", [f"{one.folder[0]:.1f} / {one.folder[1]:.1f}" for one in measured])
    for name in measured[0].searches:
        row(
            f"search, {name}, ms",
            [f"{one.searches[name][0]:.1f} / {one.searches[name][1]:.1f}" for one in measured],
        )
