"""Did the files of a host change as they never do? Pure: the numbers of a backup beside its host's former ones.

Two kinds of evidence. What ordinary life does not bring forth counts at once: decoys that were touched, files whose
name promises a format and whose content is noise, many files with new endings and noise inside. What a busy day brings
forth too (many files changed, much new data, much noise, many paths gone) counts only beyond all that this host has
done before, and only together.
"""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol import GuardFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HISTORY = 60  # backups that are compared with
WARM_UP = 7  # backups before a host's habits are known
SLOW_RUNS = 7  # backups over which little is added up
DEVIATIONS = 5.0
LEAST_DEVIATION = 0.2  # in powers of ten: habits are never taken for narrower
ABOVE_ALL, FAR_ABOVE_ALL = 1.5, 3.0  # times the most that ever was: the limit lies between them
LEAST_RATE = 1e-4

BROKEN_SHARE = 0.1  # of the files that were looked into and promise a format
BROKEN_FILES = (10, 0.005, 200)  # at least so many, or such a share of the host's files, but no more are asked for
RENAMED_FILES = (20, 0.005, 500)
NOISE_SHARE = 0.5  # of the files that were looked into
RENAMED_NOISE, RENAMED_DENSE, RENAMED_RATE = 0.8, 0.2, 0.05
NOISE_ALONE_RATE = 0.1
MANY_FILES = 100
CHANGED_RATE, CHANGED_ALONE_RATE = 0.1, 0.25
NEW_DATA_RATE = 0.05
VANISHED_RATE, VANISHED_ALONE_RATE = 0.2, 0.6


class Sign(StrEnum):
    """What is out of the ordinary."""

    CANARY = "canary"  # decoys were changed or taken
    BROKEN = "broken"  # content is noise that the name of the file does not promise
    RENAMED = "renamed"  # many files got the same new ending, and noise for content
    NOISE = "noise"  # much of what is new or changed is noise of no known format
    CHANGED = "changed"
    NEW_DATA = "new-data"
    VANISHED = "vanished"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One backup in numbers."""

    facts: GuardFacts
    files_count: int
    original_bytes: int
    added_bytes: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A sign with its number: `value` and what is `usual` for this host are shares from 0 to 1, `count` are files.

    `usual` None: not known yet, or of no meaning. New data has no count of files.
    """

    sign: Sign
    value: float
    usual: float | None = None
    count: int = 0


class Habit(msgspec.Struct, frozen=True):
    """What a host usually does: the median, and the most that is not out of the ordinary."""

    usual: float
    limit: float


def findings(run: Run, history: Sequence[Run]) -> list[Finding]:
    """Return what is out of the ordinary in a backup, the weightiest first; nothing, and it is as ever.

    `history`: the same host's former backups that were, newest first.
    """
    history = history[:HISTORY]
    certain = [*_canary(run), *_broken(run, history), *_renamed(run)]
    compared = [one for one in history if _known_files(one)]
    unusual = _unusual(run, compared) if len(compared) >= WARM_UP and _known_files(run) else []
    if certain or _is_enough(run, unusual):
        return [*certain, *unusual]
    return []


def _canary(run: Run) -> list[Finding]:
    facts = run.facts
    if not facts.canaries_lost:
        return []
    return [Finding(sign=Sign.CANARY, value=_share(facts.canaries_lost, facts.canaries), count=facts.canaries_lost)]


def _broken(run: Run, history: Sequence[Run]) -> list[Finding]:
    """Find names that promise what the content is not, in this backup or little by little in the last ones."""
    usual = median([_broken_share(one) for one in history]) if history else 0.0
    for runs in ([run], [run, *history[: SLOW_RUNS - 1]]):
        broken, promised = sum(map(_broken_files, runs)), sum(map(_promised_files, runs))
        share = _share(broken, promised)
        if broken >= _at_least(BROKEN_FILES, run) and share >= max(BROKEN_SHARE, 5 * usual) and _broken_files(run):
            return [Finding(sign=Sign.BROKEN, value=share, usual=usual if history else None, count=broken)]
    return []


def _renamed(run: Run) -> list[Finding]:
    """Find files that came back under other endings as noise: as many of the new ones are noise as were renamed."""
    facts, share = run.facts, _share(run.facts.renamed_files, run.files_count)
    noise = facts.new.random
    is_noise = noise >= RENAMED_NOISE * facts.renamed_files
    is_dense = noise >= RENAMED_DENSE * facts.new.count or share >= RENAMED_RATE
    if facts.renamed_files < _at_least(RENAMED_FILES, run) or not (is_noise and is_dense):
        return []
    return [Finding(sign=Sign.RENAMED, value=share, count=facts.renamed_files)]


def _unusual(run: Run, history: Sequence[Run]) -> list[Finding]:
    """Return the numbers that are beyond this host's habits."""
    facts, found = run.facts, []
    looked = facts.changed.count + facts.new.count
    measures: tuple[tuple[Sign, Callable[[Run], float], float, int | None], ...] = (
        (Sign.NOISE, noise_rate, 0.0, _noise_files(run)),
        (Sign.CHANGED, changed_rate, CHANGED_RATE, facts.changed_files),
        (Sign.NEW_DATA, new_data_rate, NEW_DATA_RATE, None),
        (Sign.VANISHED, vanished_rate, VANISHED_RATE, _lost_files(run)),
    )
    for sign, rate, least, count in measures:
        value, habit = rate(run), habit_of(map(rate, history))
        is_many = count is None or count >= MANY_FILES
        is_dense = sign is not Sign.NOISE or _noise_files(run) >= NOISE_SHARE * looked
        if value >= least and value > habit.limit and is_many and is_dense:
            found.append(Finding(sign=sign, value=value, usual=habit.usual, count=count or 0))
    return found


def _is_enough(run: Run, unusual: Iterable[Finding]) -> bool:
    """Return whether unusual numbers together are worth an alarm."""
    found = {finding.sign: finding.value for finding in unusual}
    others = found.keys() & {Sign.CHANGED, Sign.NEW_DATA, Sign.VANISHED}
    facts = run.facts
    in_the_place_of_files = facts.changed.random + min(facts.new.random, facts.vanished_files or 0)
    is_instead = 2 * in_the_place_of_files >= _noise_files(run)  # and not a heap of noise that came beside the files
    return (
        (Sign.NOISE in found and is_instead and (bool(others) or found[Sign.NOISE] >= NOISE_ALONE_RATE))
        or (found.get(Sign.CHANGED, 0.0) >= CHANGED_ALONE_RATE and Sign.NEW_DATA in found)
        or found.get(Sign.VANISHED, 0.0) >= VANISHED_ALONE_RATE
    )


def habit_of(rates: Iterable[float]) -> Habit:
    """Return what former rates come to: the median, and five robust deviations above it on a scale of powers of ten.

    Rates that are nought on most days have no scale: then the most that ever was decides.
    """
    known = list(rates)
    logs = [math.log10(max(rate, LEAST_RATE)) for rate in known]
    middle = median(logs)
    deviation = max(LEAST_DEVIATION, 1.4826 * median([abs(log - middle) for log in logs]))
    most = max(known)
    limit = min(10 ** (middle + DEVIATIONS * deviation), max(FAR_ABOVE_ALL * most, 10 * LEAST_RATE))
    return Habit(usual=median(known), limit=max(limit, ABOVE_ALL * most))


def changed_rate(run: Run) -> float:
    """Return which share of the files that were known had changed."""
    return _share(run.facts.changed_files, _known_files(run))


def new_data_rate(run: Run) -> float:
    """Return how much the repository grew by, beside all that was backed up."""
    return min(1.0, _share(run.added_bytes, run.original_bytes))


def vanished_rate(run: Run) -> float:
    """Return which share of the files is gone, but for those that as many others came for: a folder was moved."""
    lost = _lost_files(run)
    return _share(lost, run.files_count + lost)


def noise_rate(run: Run) -> float:
    """Return how many files became noise of no known format, beside all files."""
    return min(1.0, _share(_noise_files(run), run.files_count))


def _known_files(run: Run) -> int:
    """Return how many files were known before; 0: the first backup, or the host has lost what it knew."""
    return run.facts.changed_files + run.facts.unchanged_files


def _noise_files(run: Run) -> int:
    return run.facts.changed.random + run.facts.new.random


def _lost_files(run: Run) -> int:
    return max(0, (run.facts.vanished_files or 0) - (run.facts.appeared_files or 0))


def _broken_files(run: Run) -> int:
    return run.facts.changed.broken + run.facts.new.broken


def _promised_files(run: Run) -> int:
    return run.facts.changed.promised + run.facts.new.promised


def _broken_share(run: Run) -> float:
    return _share(_broken_files(run), _promised_files(run))


def _at_least(floor: tuple[int, float, int], run: Run) -> float:
    least, share, most = floor
    return min(most, max(least, share * run.files_count))


def _share(part: float, whole: float) -> float:
    return min(1.0, part / whole) if whole > 0 else 0.0  # a host may say anything
