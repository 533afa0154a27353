"""What a backup is, told to Borg."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import canaries, guard, sizing, sources
from saveos.agent.borg import LOCK_WAIT_SECONDS
from saveos.agent.borg_log import printable
from saveos.agent.failures import Failure
from saveos.protocol import NOT_IN_BACKUPS, ArchiveFacts, JobReport, Outcome, TunnelMode

if TYPE_CHECKING:
    from saveos.agent import borg_log
    from saveos.agent.work import Work
    from saveos.protocol import BackupOrder

COMMON = ("--log-json", "--lock-wait", str(LOCK_WAIT_SECONDS))


def back_up(work: Work, order: BackupOrder) -> JobReport:
    """Create the ordered archive, or find that an interrupted attempt made it already."""
    if work.assignment.attempt > 1 and (found := _existing(work, order)) is not None:
        return JobReport(outcome=Outcome.DONE, archive=found, message="An earlier attempt had finished it.")
    paths, excludes = _choose(work, order)
    canaries.place(work.home.state, paths, is_wanted=order.canaries)
    total = _Total(work, order, paths)
    # What Borg skips by itself is also told by `engine_excludes`, which is to be changed with this.
    arguments = ["create", *COMMON, "--progress", "--json", "--exclude-caches", "--files-cache", "ctime,size,inode"]
    arguments += ["--exclude-if-present", NOT_IN_BACKUPS, "--keep-exclude-tags"]
    arguments += ["--checkpoint-interval", str(order.checkpoint_seconds), "--compression", order.compression]
    arguments += ["--one-file-system"] if order.one_file_system else []
    arguments += [f"--exclude={pattern}" for pattern in excludes]  # one word each: a pattern may begin with a dash
    outcome = work.run([*arguments, f"::{order.archive}", "--", *paths], TunnelMode.WRITE)
    total.stop()
    if outcome.code == "archive-exists" and (found := _existing(work, order)) is not None:
        return JobReport(outcome=Outcome.DONE, archive=found, message="It was finished when the line was cut.")
    if not outcome.is_good:
        return failed(work, outcome)
    facts = _guarded(work, _facts(json.loads(outcome.output)["archive"], paths))
    work.note(phase="done", files_count=facts.files_count, original_bytes=facts.original_bytes)
    return JobReport(
        outcome=Outcome.WARNED if outcome.return_code else Outcome.DONE,
        message=_first_warning(outcome),
        warnings_count=max(len(outcome.warnings), 1) if outcome.return_code else 0,
        files_count=facts.files_count,
        original_bytes=facts.original_bytes,
        archive=facts,
    )


def _existing(work: Work, order: BackupOrder) -> ArchiveFacts | None:
    """Return the complete archive of exactly the ordered name, if there is one; a checkpoint has another name."""
    outcome = work.run(["info", *COMMON, "--json", f"::{order.archive}"], TunnelMode.READ)
    if outcome.code == "snapshot-missing":
        return None
    if not outcome.is_good:
        raise Failure(outcome.code, outcome.message)
    return _guarded(work, _facts(json.loads(outcome.output)["archives"][0], list(order.sources)))


def _choose(work: Work, order: BackupOrder) -> tuple[list[str], list[str]]:
    """Return what to back up and what to leave out. Raises Failure when nothing is left."""
    paths, excludes, missing = sources.chosen(order.sources, order.excludes, work.home.state)
    for path in missing:
        work.say(f"{path} does not exist on this host.", "warning")
    if not paths:
        wanted = order.sources or sources.defaults()
        raise Failure("no-sources", f"None of these exists on this host: {', '.join(map(printable, wanted))}.")
    return paths, excludes


def _facts(archive: dict[str, Any], paths: list[str]) -> ArchiveFacts:
    stats = archive["stats"]
    return ArchiveFacts(
        name=archive["name"],
        archive_id=archive["id"],
        files_count=stats["nfiles"],
        original_bytes=stats["original_size"],
        compressed_bytes=stats["compressed_size"],
        added_bytes=max(0, stats["deduplicated_size"]),
        new_files_count=stats.get("saveos_new_files"),
        changed_files_count=stats.get("saveos_changed_files"),
        duration_seconds=max(0.0, float(archive.get("duration", 0))),
        sources=tuple(printable(path) for path in paths),
    )


def _guarded(work: Work, facts: ArchiveFacts) -> ArchiveFacts:
    return msgspec.structs.replace(facts, guard=guard.facts_of(work.home, facts.name, facts.sources))


def failed(work: Work, outcome: borg_log.Outcome) -> JobReport:
    """Return the report of a Borg that did not do its work."""
    if work.is_cancelled.is_set():
        return JobReport(outcome=Outcome.CANCELLED, error_code="cancelled", message="Cancelled.")
    return JobReport(outcome=Outcome.FAILED, error_code=outcome.code, message=outcome.message)


def _first_warning(outcome: borg_log.Outcome) -> str:
    return outcome.warnings[0][1][:4000] if outcome.return_code and outcome.warnings else ""


class _Total:
    """The base of the percentage: the last snapshot's size, else a quick walk beside the first backup."""

    def __init__(self, work: Work, order: BackupOrder, paths: list[str]) -> None:
        self._stopping = threading.Event()
        if order.expected_files_count or order.expected_bytes:
            work.note(total_files_count=order.expected_files_count, total_bytes=order.expected_bytes)
            return
        walk = threading.Thread(target=self._walk, args=(work, paths, order.one_file_system), daemon=True)
        walk.start()

    def stop(self) -> None:
        """End the walk."""
        self._stopping.set()

    def _walk(self, work: Work, paths: list[str], one_file_system: bool) -> None:  # noqa: FBT001
        size = sizing.measure(paths, self._stopping, one_file_system=one_file_system)
        if size is not None:
            work.note(total_files_count=size.files_count, total_bytes=size.original_bytes)
