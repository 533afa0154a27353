"""Borg's extraction, driven by us: what stands already is compared first, and nothing is written outside the target.

Borg 1.4 removes what stands in the way, writes in place, and asks the system for each path as a whole. Here what is
there already is found by the same hashes that Borg keeps, so that it is neither fetched nor written again.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent.engine_foresight import Foresight
from saveos.agent.engine_look import Look, Step
from saveos.agent.engine_nodes import Nodes
from saveos.agent.engine_put import Hand, Hands
from saveos.agent.engine_selection import Parts, Selection
from saveos.agent.ground import Ground, Refusal, parts_of
from saveos.agent.tally import Tally
from saveos.protocol import Fate, OnConflict, RestoreFacts, entry_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_COUNT = 128
BATCH_BYTES = 32 * 1024**2
DESCRIPTORS = 16_384
TELL_SECONDS = 0.5
RESTORING = "restoring"  # an event of ours among Borg's


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to restore where, on stdin; every path as `protocol.entry_path` writes it. `stamp`: for new names."""

    entries: tuple[str, ...] = ()
    target: str | None = None
    conflict: OnConflict = OnConflict.OVERWRITE
    is_dry_run: bool = False
    is_foreign: bool = False
    stamp: str = ""


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it, on stdout. `missing`: entries that are not in the archive. `error`: why not all, an errno.

    `refusal`: why the target itself is not written to; see `ground.Refusal`.
    """

    facts: RestoreFacts
    missing: tuple[str, ...] = ()
    error: int = 0
    refusal: str = ""


def read_plan() -> Plan:
    """Read the plan from stdin."""
    return msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)


def change_extract(archiver: Any, plan: Plan) -> None:
    """Let `borg extract` follow a plan."""
    from borg.helpers import Manifest  # noqa: PLC0415

    _allow_deep_trees()

    def do_extract(_self: Any, _args: Any, repository: Any, manifest: Any, key: Any, archive: Any) -> None:
        del repository, manifest, key
        extracted = Extraction(plan, archive).run()
        sys.stdout.buffer.write(msgspec.json.encode(extracted))
        sys.stdout.buffer.flush()

    with_repository = archiver.with_repository(compatibility=(Manifest.Operation.READ,))
    archiver.Archiver.do_extract = with_repository(archiver.with_archive(do_extract))


def _allow_deep_trees() -> None:
    """Take as many descriptors as may be had: each level of a path holds one."""
    import resource  # noqa: PLC0415 - not on Windows

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


class Extraction:
    """One archive, on its way to one place."""

    def __init__(self, plan: Plan, archive: Any) -> None:
        """Nothing is touched yet."""
        self._plan, self._archive = plan, archive
        self._selection = Selection(plan.entries)
        self._tally = Tally(is_dry_run=plan.is_dry_run)
        self._passed: dict[Parts, Any] = {}
        self._done_files = self._done_bytes = 0
        self._told_at, self._path = 0.0, ""

    def run(self) -> Extracted:
        """Do it all. Raises Borg's errors."""
        try:
            ground = self._ground()
        except Refusal as refusal:
            return Extracted(facts=self._tally.facts(), refusal=refusal.code)
        except OSError as problem:
            return Extracted(facts=self._tally.facts(), error=problem.errno or errno.EIO)
        return self._onto(ground)

    def _ground(self) -> Ground | None:
        if self._plan.target is None:
            return Ground.whole()
        return Ground.at(os.fsdecode(entry_bytes(self._plan.target)), make=not self._plan.is_dry_run)

    def _onto(self, ground: Ground | None) -> Extracted:
        plan = self._plan
        self._look = Look(ground, self._archive, plan)
        hand: Hand = Foresight(self._look, self._tally)
        if ground is not None and not plan.is_dry_run:
            nodes = Nodes(self._archive, is_foreign=plan.is_foreign)
            hand = Hands(ground, self._look, nodes, self._tally, lambda chunks: self._fetch(chunks, is_preloaded=False))
        error = 0
        try:
            self._work(hand)
        except Stopped:
            error = errno.EINTR
        finally:
            hand.finish(self._passed)
        missing = () if error else self._selection.missing()
        error = error or next(iter(self._look.full.values()), 0)
        return Extracted(facts=self._tally.facts(), missing=missing, error=error)

    def _work(self, hand: Hand) -> None:
        batch: list[Step] = []
        for item in self._archive.iter_items():
            self._go_on(item.path)
            step = self._step(item)
            if step is not None:
                batch.append(step)
            if len(batch) >= BATCH_COUNT or sum(step.preloaded_bytes for step in batch) >= BATCH_BYTES:
                self._flush(batch, hand)
        self._flush(batch, hand)

    def _flush(self, batch: list[Step], hand: Hand) -> None:
        for step in batch:
            self._go_on(step.item.path)
            hand.do(step)
            self._done_files += not stat.S_ISDIR(step.item.mode)
            self._done_bytes += step.item.get_size() if step.is_same else 0
        batch.clear()

    def _step(self, item: Any) -> Step | None:
        """Return what to do for an item, with what it needs under way from the repository; None for nothing."""
        try:
            parts = parts_of(item.path)
        except Refusal as refusal:
            if self._selection.is_all:
                self._tally.differs(item.path, Fate.REFUSED, refusal.code)
            return None
        if item.get("hardlink_master", True) and "source" not in item and stat.S_ISREG(item.mode):
            self._look.masters[item.path] = item.get("chunks", ())
            if "chunks_healthy" in item:
                self._look.lost[item.path] = item.chunks_healthy
        if self._selection.holds(parts):
            step = Step(item=item, parts=parts)
            if not self._plan.is_dry_run and stat.S_ISREG(item.mode) and "source" not in item:
                self._ask_ahead(step)
            return step
        if stat.S_ISDIR(item.mode) and self._selection.is_above(parts):
            self._passed[parts] = item
        return None

    def _ask_ahead(self, step: Step) -> None:
        self._look.compare(step)
        if self._look.is_wanted(step):
            chunks = step.item.get("chunks", ())
            self._archive.repository.preload([chunk.id for chunk in chunks])
            step.preloaded_bytes = sum(chunk.size for chunk in chunks)
            step.content = self._fetch(chunks, is_preloaded=True)

    def _fetch(self, chunks: Any, *, is_preloaded: bool) -> Iterator[bytes]:
        for data in self._archive.pipeline.fetch_many([chunk.id for chunk in chunks], is_preloaded=is_preloaded):
            self._go_on()
            self._done_bytes += len(data)
            yield data

    def _go_on(self, path: str | None = None) -> None:
        """Say how far we are, now and then. Raises Stopped."""
        from borg.helpers import sig_int  # noqa: PLC0415

        if sig_int:
            raise Stopped
        if path is not None:
            self._path = path
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            said = {"type": RESTORING, "files": self._done_files, "bytes": self._done_bytes, "path": self._path}
            os.write(2, json.dumps(said).encode() + b"\n")
