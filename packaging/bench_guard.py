"""The guard: what it costs a first backup and the comparison after each, and whether 30 % encrypted is found at once.

usage: packaging/run bench --guard [--scale 1.0] [--rounds 3]

At scale 1.0 there are 100,000 small files. The repository lies in a folder, so that Borg's own work is all there is to
compare with: over the tunnel a backup takes more, and the guard's share is smaller.
"""

from __future__ import annotations

import shutil
import statistics
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

from saveos.agent import engine_guard, guard
from saveos.agent.engine_guard import Watch
from saveos.snapshots.anomaly import Run, findings
from tests.support.guarded import LocalHost, encrypted, make_tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from saveos.protocol import ArchiveFacts

SHARE = 0.3
STATISTICS = SimpleNamespace(osize=0)


def measure(folder: Path, files_count: int, rounds: int) -> None:
    """Measure and print."""
    folder.mkdir(parents=True)
    tree = folder / "tree"
    files = make_tree(tree, files_count)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for is_guarded in (False, True):
            host = LocalHost(folder / f"host-{number}-{is_guarded}")
            host.back_up(tree, is_guarded=is_guarded)
            seconds[is_guarded].append(host.cpu_seconds)
            shutil.rmtree(host.folder)
    plain, guarded = (statistics.median(seconds[is_guarded]) for is_guarded in (False, True))
    own = _own_work(files)
    print(
        f"first backup of {files_count:,} files, processor time: {plain:.2f} s without the guard, {guarded:.2f} s with"
    )
    print(f"  medians of {rounds}; what the guard does, alone: {own:.2f} s, {own / plain:.1%} of the former")
    _harm(LocalHost(folder / "harmed"), tree, files)


def _own_work(files: list[Path]) -> float:
    """Return the processor time of all that the guard does for new files, without Borg: steadier than a difference."""
    contents = [(str(path), memoryview(path.read_bytes())) for path in files]
    spent = []
    for is_guarded in (False, True):
        watch = Watch(files[0].with_name("guard.json"))
        tell = engine_guard.telling(_nothing, watch) if is_guarded else _nothing
        read = engine_guard.reading(_take, watch) if is_guarded else _take
        began = time.process_time()
        for path, data in contents:
            tell(None, "A", path)
            read(None, SimpleNamespace(path=path), None, STATISTICS, None, (SimpleNamespace(data=data),))
        spent.append(time.process_time() - began)
    return spent[1] - spent[0]


def _nothing(_self: object, _status: str, _path: str) -> None:
    """Do nothing, as Borg does where nobody asks for a list."""


def _take(
    _self: object, _item: object, _cache: object, _stats: object, _show: object, chunks: Iterable[object]
) -> None:
    for _chunk in chunks:
        pass


def _harm(host: LocalHost, tree: Path, files: list[Path]) -> None:
    host.back_up(tree)
    calm = host.back_up(tree)
    began = time.process_time()
    guard.compare(guard.files(host.home.listings, "archive-0"), guard.files(host.home.listings, "archive-1"))
    print(f"comparing the two listings: {time.process_time() - began:.2f} s")
    _tell("nothing changed", calm, [host.archives[0]])
    harmed = set(encrypted(files, SHARE))
    _tell(f"{len(harmed):,} files encrypted where they are", host.back_up(tree), host.archives[:2])
    left = [path for path in files if path not in harmed]
    renamed = 0
    for path in encrypted(left, SHARE, seed=3):
        path.rename(path.with_name(f"{path.name}.locked"))
        renamed += 1
    _tell(f"{renamed:,} more encrypted under another ending", host.back_up(tree), host.archives[:2])


def _tell(what: str, facts: ArchiveFacts, history: list[ArchiveFacts]) -> None:
    """Print what the appliance would find."""
    found = findings(_run(facts), [_run(one) for one in reversed(history)])
    said = ", ".join(f"{one.sign} ({one.count:,} files, {one.value:.0%})" for one in found)
    print(f"{what}: {said or 'nothing out of the ordinary'}")


def _run(facts: ArchiveFacts) -> Run:
    assert facts.guard is not None  # noqa: S101 - it was guarded
    return Run(
        facts=facts.guard,
        files_count=facts.files_count,
        original_bytes=facts.original_bytes,
        added_bytes=facts.added_bytes,
    )
