"""The last 24 hours as markup: who, when, how, in words too, and small for many hosts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from saveos.jobs.model import State
from saveos.protocol import AgentId
from saveos.ui import strip
from saveos.ui.words import Words

START = datetime(2026, 3, 3, 13, 0, tzinfo=UTC)


def words(language: str = "en") -> Words:
    made = Words(language)
    made.set_zone("Europe/Paris")
    return made


def fleet(count: int) -> list[strip.Host]:
    return [(f"agt_{number}", f"host-{number:04d}") for number in range(count)]


def parsed(markup: str) -> ET.Element:
    return ET.fromstring(markup)  # noqa: S314 - our own; it is well formed, whatever a host is called


def test_few_hosts_are_named_and_lead_to_their_pages() -> None:
    drawn = parsed(strip.markup(words(), fleet(2), [(AgentId("agt_1"), 23, State.FAILED)], START))

    links = {link.get("href"): link.text for link in drawn.iter("a")}
    assert {"/agents/agt_0": "host-0000", "/agents/agt_1": "host-0001"} == links
    assert ["host-0001, 13:00 to 14:00: failed"] == [title.text for title in drawn.iter("title")]


def test_hours_are_those_of_the_readers_zone() -> None:
    drawn = strip.markup(words(), fleet(1), [], START)

    assert ["14:00", "20:00", "02:00", "08:00"] == re.findall(r">(\d\d:\d\d)<", drawn)


def test_names_are_text_and_never_markup() -> None:
    evil = '"><script>alert(1)</script>'

    drawn = strip.markup(words(), [("agt_1", evil)], [(AgentId("agt_1"), 0, State.DONE)], START)

    assert "<script" not in drawn
    assert evil == next(parsed(drawn).iter("a")).text


@pytest.mark.parametrize("state", list(strip.STATES))
def test_states_differ_in_shape_and_not_only_in_colour(state: State) -> None:
    others = set(strip.STATES) - {state}

    assert strip.SHAPES[state] not in {strip.SHAPES[other] for other in others}
    assert strip.THIN[state] not in {strip.THIN[other] for other in others}


def test_thousand_hosts_stay_small_and_one_path_a_colour() -> None:
    hosts = fleet(1000)
    cells = [(AgentId(host), hour, State.DONE) for host, _name in hosts for hour in (2, 3)]
    cells += [(AgentId("agt_7"), 5, State.FAILED)]

    drawn = strip.markup(words(), hosts, cells, START)

    assert len(drawn) < 70_000
    assert 10 == drawn.count('<path class="done"')
    assert "host-0007, 19:00 to 20:00: failed" in drawn


@pytest.mark.parametrize("language", ["en", "fr"])
def test_summary_tells_what_the_drawing_shows(language: str) -> None:
    cells = [(AgentId("agt_0"), 1, State.DONE), (AgentId("agt_1"), 1, State.FAILED), (AgentId("gone"), 1, State.DONE)]

    said = next(parsed(strip.markup(words(language), fleet(2), cells, START)).iter("p")).text or ""

    assert "host-0001" in said
    assert "host-0000" not in said
    assert ["2", "24", "1", "0", "1"] == re.findall(r"\b\d+\b(?!\d)", said)[:5]
