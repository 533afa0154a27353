"""Borg's JSON log, as recorded from Borg 1.4.5: what came out, and which of our codes it is."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.agent.borg_log import Log, Outcome, printable
from saveos.protocol import TunnelRefusal

RECORDED = Path(__file__).parents[2] / "fixtures" / "borg_logs" / "1.4.5"


def replay(name: str, return_code: int) -> tuple[Outcome, list[dict]]:
    log, events = Log(), []
    for line in (RECORDED / f"{name}.stderr").read_text().splitlines():
        event = log.take(line)
        if event is not None:
            events.append(event)
    return log.outcome(return_code, ""), events


@pytest.mark.parametrize(
    ("name", "return_code", "code"),
    [
        ("create", 0, ""),
        ("create-missing-source", 107, ""),
        ("extract", 0, ""),
        ("extract-missing-path", 106, ""),
        ("passphrase-wrong", 52, "passphrase-wrong"),
        ("archive-exists", 30, "archive-exists"),
        ("archive-missing", 13, "snapshot-missing"),
        ("repository-missing", 13, "repository-missing"),
        ("locked", 73, "repository-locked"),
    ],
)
def test_outcome_of_a_recorded_log_has_our_code(name: str, return_code: int, code: str) -> None:
    assert code == replay(name, return_code)[0].code


def test_create_tells_progress() -> None:
    events = [event for event in replay("create", 0)[1] if event["type"] == "archive_progress"]

    assert events
    assert {"nfiles", "original_size", "path"} <= set(events[0])


def test_missing_source_is_a_warning_with_its_words() -> None:
    outcome = replay("create-missing-source", 107)[0]

    assert outcome.is_good
    assert any("missing" in words for _msgid, words in outcome.warnings)


def test_refusal_of_the_tunnel_wins_over_what_borg_makes_of_it() -> None:
    log = Log()
    log.take('{"type": "log_message", "levelname": "ERROR", "msgid": "ConnectionClosed", "message": "closed"}')
    log.refusal = TunnelRefusal(code="disk-full", message="The appliance's disk is full.")

    outcome = log.outcome(80, "")

    assert ("disk-full", "The appliance's disk is full.") == (outcome.code, outcome.message)


def test_stopped_run_is_cancelled_whatever_borg_says() -> None:
    assert "cancelled" == Log().outcome(0, "", is_stopped=True).code


@given(st.text())
def test_take_of_any_line_never_fails(line: str) -> None:
    log = Log()

    log.take(line)

    assert log.outcome(2, "").code


@given(st.binary())
def test_printable_text_can_be_encoded(raw: bytes) -> None:
    printable(raw.decode("utf-8", "surrogateescape")).encode()
