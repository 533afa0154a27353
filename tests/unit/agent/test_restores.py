"""What is made of Borg's answer to a restore."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from saveos.agent import restores
from saveos.agent.engine_extract import Extracted
from saveos.agent.failures import Failure
from saveos.protocol import JobReport, Outcome, Progress, RestoreFacts, RestoreOrder

if TYPE_CHECKING:
    from saveos.agent.work import Work


def report(**said: Any) -> JobReport:
    """Return the report of a restore whose Borg said this."""
    extracted = Extracted(facts=RestoreFacts(), **said)
    outcome = SimpleNamespace(output=msgspec.json.encode(extracted))
    work = SimpleNamespace(
        note=lambda **_changes: None, run=lambda *_words: outcome, say=lambda *_line: None, progress=Progress()
    )
    return restores.restore(cast("Work", work), RestoreOrder(archive="a", target="/srv/out"))


@pytest.mark.parametrize("refusal", ["link", "not-a-folder", "outside"])
def test_refused_target_is_told_as_such(refusal: str) -> None:
    said = report(refusal=refusal)

    assert (Outcome.FAILED, "target-refused") == (said.outcome, said.error_code)
    assert "/srv/out" in said.message


@pytest.mark.parametrize(("error", "code"), [(errno.ENOSPC, "disk-full-on-host"), (errno.ENAMETOOLONG, "host-error")])
def test_what_the_system_refuses_is_told_as_the_hosts(error: int, code: str) -> None:
    assert (Outcome.FAILED, code) == ((said := report(error=error)).outcome, said.error_code)


@pytest.mark.parametrize("path", ["..", "../out", "/srv/../out"])
def test_target_with_a_step_up_is_refused(path: str) -> None:
    with pytest.raises(Failure, match=r"'\.\.'"):
        restores.target_of(path)


def test_target_is_named_by_its_whole_path(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert [str(tmp_path / "out"), "/srv/out"] == [restores.target_of(path) for path in ("out", "/srv/out")]
