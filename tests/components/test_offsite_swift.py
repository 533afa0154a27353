"""Another dialect: OpenStack Swift, which knows neither locks nor conditions. What it cannot do is said."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from saveos.errors import KeyRefused
from saveos.offsite.model import Protection, StepName, StepState
from saveos.offsite.probe import probe
from tests.support import swift as swift_store
from tests.support.offsite import Copying
from tests.support.offsite_reading import hand_over_key, read
from tests.support.swift import KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.swift import Swift


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    with swift_store.swift(tmp_path_factory.mktemp("swift")) as store:
        yield store


def test_store_without_lock_can_be_used_and_is_not_safe_from_its_key(swift: Swift) -> None:
    report = probe(swift.place(), SECRET)

    states = {step.name: step.state for step in report.steps}
    assert report.is_usable, report
    assert Protection.NONE is report.protection  # whoever has the key can delete all of it
    assert StepState.UNSUPPORTED is states[StepName.LOCK]
    assert StepState.SKIPPED is states[StepName.LOCKED_DELETE]
    assert StepState.OK is states[StepName.DELETE]
    assert () == report.left


def test_copy_is_verified_read_and_fetched_back(swift: Swift, tmp_path: Path) -> None:
    copying = Copying.made(tmp_path, swift.place(), SECRET)
    hand_over_key(copying)
    copying.borg("config", "::", "max_segment_size", "12000000")  # in parts
    copying.back_up(files=3, size=6_000_000)
    copying.copy()
    assert copying.verify().endswith("all as it was written.")
    assert copying.copy().startswith("0 segments, 0 bytes sent")
    shutil.rmtree(copying.repository)

    assert (copying.tree / "0-1").read_bytes() == read(copying, "0-1")
    copying.rehydrate()

    copying.assert_restores("archive-0")
    copying.world.close()


def test_wrong_secret_is_named(swift: Swift) -> None:
    report = probe(swift.place(), type(SECRET)("wrong"))

    assert KeyRefused.code == report.steps[0].code
    assert KEY not in report.steps[0].message
