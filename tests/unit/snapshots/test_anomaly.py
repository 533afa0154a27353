"""The guard's judgement: silent through ordinary life on five kinds of machine, loud in the run that brings harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from saveos.protocol import GuardFacts, SampledFacts
from saveos.snapshots import anomaly
from saveos.snapshots.anomaly import Run, Sign, findings
from tests.support.machines import (
    MACHINES,
    OfficeServer,
    in_parts,
    in_place,
    slowly,
    wiped,
    with_ending,
    with_random_endings,
    with_random_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.machines import Day, Machine

DAYS = 30
SEEDS = range(20)
ATTACK_SEEDS = range(6)


def signs(run: Run, history: list[Run]) -> list[Sign]:
    return [finding.sign for finding in findings(run, history)]


def lived(machine: Machine, days: int) -> list[Run]:
    """The history after so many days, newest first."""
    history = [machine.first()]
    for _ in range(days):
        history.insert(0, machine.back_up())
    return history


@pytest.mark.parametrize("kind", MACHINES)
def test_thirty_days_of_ordinary_life_give_no_alarm(kind: type[Machine]) -> None:
    alarms = []
    for seed in SEEDS:
        machine = kind(seed)
        history = [machine.first()]
        assert [] == signs(history[0], [])
        for day in range(DAYS):
            run = machine.back_up()
            if found := findings(run, history):
                alarms.append((seed, day, found))
            history.insert(0, run)

    assert alarms == []


@pytest.mark.parametrize("attack", [in_place, with_ending, with_random_endings])
@pytest.mark.parametrize("kind", MACHINES)
def test_harm_is_found_in_the_same_run(kind: type[Machine], attack: Callable[[Machine], Day]) -> None:
    missed = []
    for seed in ATTACK_SEEDS:
        machine = kind(seed)
        history = lived(machine, 20)
        run = machine.back_up(attack(machine))
        if not findings(run, history):
            missed.append((seed, run))

    assert missed == []


@pytest.mark.parametrize("attack", [with_random_names, in_parts, wiped])
def test_quiet_harm_is_mostly_found_too(attack: Callable[[Machine], Day]) -> None:
    found = [
        bool(findings(machine.back_up(attack(machine)), history))
        for kind in MACHINES
        for machine in map(kind, ATTACK_SEEDS)
        for history in [lived(machine, 20)]
    ]

    assert 0.6 * len(found) <= sum(found)


def test_first_backups_of_a_host_are_compared_with_nothing() -> None:
    machine = OfficeServer(1)
    history = lived(machine, 3)
    day = machine.live()
    day.changed, day.added_bytes = machine.files // 2, machine.size // 2

    assert [] == signs(machine.back_up(day), history)


def test_certain_evidence_needs_no_history() -> None:
    machine = OfficeServer(1)

    assert Sign.BROKEN in signs(machine.back_up(in_place(machine)), [machine.first()])
    assert Sign.RENAMED in signs(machine.back_up(with_ending(machine)), [machine.first()])


def test_little_by_little_is_found_before_a_tenth_is_lost() -> None:
    machine = OfficeServer(3)
    history, lost = lived(machine, 20), 0.0
    for _day in range(30):
        lost += 0.004
        run = machine.back_up(slowly(machine, 0.004))
        if findings(run, history):
            break
        history.insert(0, run)

    assert lost < 0.05


def test_a_host_that_lost_what_it_knew_gives_no_alarm() -> None:
    machine = OfficeServer(4)
    history = lived(machine, 20)
    again = machine.first()

    assert [] == signs(again, history)


def test_one_touched_decoy_is_enough() -> None:
    facts = GuardFacts(unchanged_files=50, canaries=4, canaries_lost=1)
    found = findings(Run(facts=facts, files_count=50, original_bytes=1, added_bytes=0), [])

    assert [Sign.CANARY] == [one.sign for one in found]
    assert (1, 0.25) == (found[0].count, found[0].value)


@pytest.mark.parametrize(("files", "is_found"), [(40, True), (20, False)])
def test_a_small_host_is_guarded_from_some_tens_of_files_on(files: int, is_found: bool) -> None:  # noqa: FBT001
    harmed = files * 3 // 10
    sampled = SampledFacts(count=harmed, random=harmed, promised=harmed, broken=harmed, entropy=7.9)
    facts = GuardFacts(unchanged_files=files - harmed, changed_files=harmed, changed=sampled)

    assert is_found == bool(findings(Run(facts=facts, files_count=files, original_bytes=1, added_bytes=1), []))


def test_an_encrypted_heap_beside_the_files_is_no_harm() -> None:
    """Somebody begins to keep another tool's encrypted backups on this host: noise, but nothing is gone for it."""
    machine = OfficeServer(5)
    history = lived(machine, 20)
    day = machine.live()
    day.new, day.new_noise, day.promised = machine.files // 3, 1.0, 0.0

    assert [] == signs(machine.back_up(day), history)


def test_a_share_is_judged_beside_what_is_usual() -> None:
    habit = anomaly.habit_of([0.01] * 20)

    assert habit.usual == 0.01
    assert 0.02 < habit.limit < 0.05
    assert anomaly.habit_of([0.0] * 20).limit == pytest.approx(0.001)
