"""Delete exactly the archives that the appliance names, and what backups left that never finished."""

from __future__ import annotations

import json
import logging
import re
import shutil
from typing import TYPE_CHECKING

from saveos.agent.archives import COMMON, failed
from saveos.agent.borg_log import printable
from saveos.agent.failures import Failure
from saveos.agent.settings import write_private
from saveos.protocol import JobReport, Outcome, PruneFacts, TunnelMode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.agent.settings import Home
    from saveos.agent.work import Work
    from saveos.protocol import PruneOrder

log = logging.getLogger("saveos.agent")
CHECKPOINT = re.compile(r".+\.checkpoint(\.\d+)?")  # Borg's own name for what an unfinished backup leaves
NAMES_AT_ONCE = 500


def prune(work: Work, order: PruneOrder) -> JobReport:
    """Delete what is named by name and id. What has the name but another id stays."""
    there = _archives(work)
    going = [one.name for one in order.archives if there.get(one.name) == one.archive_id]
    absent = tuple(one.name for one in order.archives if one.name not in there)
    others = [one.name for one in order.archives if there.get(one.name) not in (None, one.archive_id)]
    for name in others:
        work.say(f"{name} is another archive than the one that was to be deleted: it stays.", "warning")
    leftovers = sorted(name for name in there if CHECKPOINT.fullmatch(name))
    work.note(phase="deleting", total_files_count=len(going) + len(leftovers))
    deleted: list[str] = []
    for begin in range(0, len(going) + len(leftovers), NAMES_AT_ONCE):
        names = [*going, *leftovers][begin : begin + NAMES_AT_ONCE]
        outcome = work.run(["delete", *COMMON, "--", f"::{names[0]}", *names[1:]], TunnelMode.WRITE)
        if not outcome.is_good:
            return failed(work, outcome)
        deleted += names
        work.note(files_count=len(deleted))
    ordered = tuple(name for name in deleted if name in set(going))
    work.say(f"{len(ordered)} archives deleted, {len(deleted) - len(ordered)} leftovers of unfinished backups too.")
    return JobReport(
        outcome=Outcome.WARNED if others else Outcome.DONE,
        warnings_count=len(others),
        files_count=len(ordered),
        message="Some archives are others than those that were to be deleted." if others else "",
        pruned=PruneFacts(deleted=ordered, absent=absent),
    )


def follow_generation(home: Home, generation: int) -> None:
    """Drop what Borg keeps about the repository once that has been rolled back on the appliance.

    Its cache would believe in chunks that are no more, and its guard against replays would refuse the repository.
    """
    kept = home.state / "generation"
    try:
        known = int(kept.read_text())
    except (OSError, ValueError):
        known = 0
    if known == generation:
        return
    log.warning("The repository was rolled back on the appliance: what Borg kept about it is dropped.")
    for folder in (".cache/borg", ".config/borg/security"):
        for path in (home.borg / folder).glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
    write_private(kept, str(generation).encode())


def _archives(work: Work) -> Mapping[str, str]:
    """Return the ids of all archives by name, those of unfinished backups among them."""
    outcome = work.run(["list", *COMMON, "--consider-checkpoints", "--json"], TunnelMode.READ)
    if not outcome.is_good:
        raise Failure(outcome.code, outcome.message)
    return {printable(archive["name"]): archive["id"] for archive in json.loads(outcome.output)["archives"]}
