"""What the appliance and hosts do to repositories, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.jobs.model import RunsOn
from saveos.repositories.model import CheckpointWhy
from saveos.snapshots import outcomes
from saveos.snapshots.outcomes import Ended
from saveos.snapshots.suspicion import Why

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.jobs.model import Job
    from saveos.ui.words import Words

WHYS = {
    CheckpointWhy.RETENTION: "protection.why_retention",
    CheckpointWhy.HOSTILE: "protection.why_hostile",
    CheckpointWhy.ROLL_BACK: "protection.why_roll_back",
    CheckpointWhy.OFFSITE: "protection.why_offsite",
}
COUNTED = {
    Why.ARCHIVES_LOST: "protection.archives_lost",
    Why.OBJECTS_DELETED: "protection.objects_deleted",
    Why.OBJECTS_REPLACED: "protection.objects_replaced",
    Why.ARCHIVES_ADDED: "protection.archives_added",
    Why.MALFORMED: "protection.malformed",
    Why.REPLAYED: "protection.replayed",
    Why.UNTRUE: "protection.untrue",
}
SIZED = {Why.MANIFEST_SHRUNK: "protection.manifest_shrunk", Why.GROWTH: "protection.growth"}
COUNTED_ENDS = {Ended.ORDERED: "upkeep.ordered", Ended.ROLLED_BACK: "upkeep.rolled_back"}
PLAIN_ENDS = {Ended.NOTHING: "upkeep.nothing", Ended.FROZEN: "upkeep.not_frozen"}


def message(words: Words, job: Job) -> str:
    """Return what a job says at its end."""
    known = outcomes.understood(job.message) if job.runs_on is RunsOn.APPLIANCE else None
    if known is None:
        return words.problem(job.error_code, job.message, job.error_facts)
    ended, numbers = known
    if ended in COUNTED_ENDS:
        return words.count(COUNTED_ENDS[ended], numbers["count"])
    if ended in PLAIN_ENDS:
        return words.say(PLAIN_ENDS[ended])
    freed, held = words.size(numbers["freed_bytes"]), words.size(numbers["held_bytes"])
    return words.say("upkeep.compacted", freed=freed, held=held)


def findings(words: Words, found: Mapping[str, int]) -> list[str]:
    """Return a sentence for each thing that no order explains, in an order of its own; a newer kind by its name."""
    said = [words.count(COUNTED[why], found[why]) for why in COUNTED if why in found]
    said += [words.say(SIZED[why], size=words.size(found[why])) for why in SIZED if why in found]
    return said + [name for name in found if name not in set(Why)]
